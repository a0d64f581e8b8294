"""A recording through the whole pipeline with the demonstration model, against what decoding and engine allow.

Run: python -m benchmarks.real_pipeline [--size 1920x1080] [--seconds 20] [--engine openvino] [--precision mixed]

Decoding costs one core 1/D seconds a frame, the engine all cores 1/E: on C cores no pipeline that decodes and infers
every frame can do more than C / (1/D + C/E) frames a second. Rounds of decoding only, engine only and everything take
turns; the ratio is the median over rounds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.machine import print_machine
from benchmarks.pipeline import bare, write_clip
from engines.loading import load_model
from engines.registry import open_engine
from hoiclip.shipped import shipped_model
from stream.decode.sources import SourceSettings
from stream.ingest.batcher import FrameBatcher
from stream.ingest.supervisor import SourceSupervisor
from stream.publish.publisher import Publisher
from stream.run.canvases import model_canvas
from stream.run.inference import EnginePool
from stream.run.pipeline import Pipeline, StageTimes
from stream.run.source_run import Head, SourceRun, source_tracker
from stream.track.settings import TrackerSettings


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="1920x1080", help="WIDTHxHEIGHT of the file")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--precision")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    print_machine(f"python -m benchmarks.real_pipeline --engine {options.engine} --precision {options.precision}")
    loaded = load_model(shipped_model())
    canvas = model_canvas(loaded)
    head = Head(loaded.classifier(), loaded.fingerprint)
    frames = np.random.default_rng(0).integers(0, 256, (1, canvas.height, canvas.width, 3), np.uint8)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_engine(options.engine, loaded, canvas, precision=options.precision) as engine,
        EnginePool(lambda _: engine) as engines,
    ):
        path = Path(folder) / "clip.mp4"
        count = write_clip(path, options.seconds, width, height)
        engines.warm([canvas])

        def whole() -> StageTimes:
            tracker = source_tracker("bench", head.classifier, TrackerSettings())
            source = SourceSettings(id="bench", url=str(path), kind="file", canvases=(canvas,), target_fps=None)
            with (
                Publisher([f"jsonl:{Path(folder) / 'events.jsonl'}"]) as publisher,
                SourceSupervisor([source]) as supervisor,
            ):
                pipeline = Pipeline(
                    batcher=FrameBatcher(supervisor, 8, 0.03),
                    engines=engines,
                    sources={"bench": SourceRun("bench", "bench", head, tracker)},
                    publish=publisher.publish,
                )
                pipeline.run(threading.Event())
            return pipeline.times

        rates: dict[str, list[float]] = {"decode": [], "engine": [], "whole": []}
        stages: dict[str, list[float]] = {}
        for _ in range(options.rounds):
            started = time.perf_counter()
            bare(path)
            rates["decode"].append(count / (time.perf_counter() - started))
            started = time.perf_counter()
            for _ in range(count // 2):
                engine.infer(frames)
            rates["engine"].append((count // 2) / (time.perf_counter() - started))
            started = time.perf_counter()
            times = whole()
            rates["whole"].append(count / (time.perf_counter() - started))
            for stage, seconds in times.seconds.items():
                stages.setdefault(stage, []).append(1000 * seconds / count)
        bounds = [min(d, e, cores / (1 / d + cores / e)) for d, e in zip(rates["decode"], rates["engine"], strict=True)]
        ratio = median(w / b for w, b in zip(rates["whole"], bounds, strict=True))
        print(f"{options.size} H.264, {count} frames, median of {options.rounds}")
        print(f"decode and scale only, one core    {median(rates['decode']):7.1f} frames/s")
        print(f"engine only, {cores} cores               {median(rates['engine']):7.1f} frames/s")
        print(f"both on {cores} cores, at best           {median(bounds):7.1f} frames/s")
        print(f"whole pipeline                     {median(rates['whole']):7.1f} frames/s")
        print(f"ratio to the best {ratio:.2f} (target 0.90)")
        for stage, values in stages.items():
            print(f"  {stage:<16} {median(values):7.3f} ms a frame")


if __name__ == "__main__":
    main()
