"""One file on all cores with an engine that computes nothing: against FFmpeg's own threads and against Roboflow.

Run: python -m benchmarks.one_file [--size 1280x720] [--seconds 60] [--roboflow PYTHON]

FFmpeg's own threads: PyAV with `thread_type="AUTO"` decodes every frame and scales it to the canvas, and does nothing
else. Roboflow: `InferencePipeline` of the package `inference` with a model that finds nothing, in the environment whose
interpreter is given; left out where there is none. Ours: decoder process, ring, batches, head, tracker and publisher,
with ten pairs a frame and with none; one thread that decodes, and one a core. From the first to the last frame; rounds
take turns, the medians of the rounds are told.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from benchmarks.machine import print_machine
from benchmarks.pipeline import CANVAS, random_head, write_clip
from engines.null_engine import NullEngine
from hoiclip.config import tiny
from stream.decode.sources import SourceSettings
from stream.ingest.batcher import FrameBatcher
from stream.ingest.supervisor import SourceSupervisor
from stream.publish.publisher import Publisher
from stream.recordings.admission import usable_cores
from stream.run.inference import EnginePool
from stream.run.pipeline import Pipeline
from stream.run.source_run import Head, SourceRun, source_tracker
from stream.track.settings import TrackerSettings


def rate(times: list[float]) -> float:
    """Return frames/s from the first to the last."""
    return (len(times) - 1) / (times[-1] - times[0])


def ffmpeg(path: Path, threads: int) -> float:
    """Return frames/s of FFmpeg's own threads, every frame scaled to the canvas."""
    times, reformatter = list[float](), VideoReformatter()
    picture = np.empty((CANVAS.height, CANVAS.width, 3), np.uint8)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "AUTO", threads
        for frame in container.decode(stream):
            picture[:] = reformatter.reformat(frame, CANVAS.width, CANVAS.height, "rgb24").to_ndarray()
            times.append(time.perf_counter())
    return rate(times)


def ours(path: Path, head: Head, folder: Path, threads: int, pairs: int) -> float:
    """Return frames/s of the whole pipeline."""
    times = list[float]()
    run = SourceRun("bench", "bench", head, source_tracker("bench", head.classifier, TrackerSettings(enter_score=0.2)))
    source = SourceSettings("bench", str(path), "file", (CANVAS,), None, threads=threads)
    with (
        Publisher([f"jsonl:{folder / 'events.jsonl'}"]) as publisher,
        SourceSupervisor([source]) as supervisor,
        EnginePool(lambda canvas: NullEngine(tiny(), canvas, pairs=pairs)) as engines,
    ):
        pipeline = Pipeline(
            batcher=FrameBatcher(supervisor, 8, 0.03),
            engines=engines,
            sources={"bench": run},
            publish=publisher.publish,
            on_frame=lambda _: times.append(time.perf_counter()),
        )
        pipeline.run(threading.Event())
    return rate(times)


def roboflow(python: str, path: Path) -> float | None:
    """Return frames/s of Roboflow's pipeline; None where that environment lacks it."""
    script = Path(__file__).with_name("roboflow_pipeline.py")
    done = subprocess.run([python, str(script), str(path)], capture_output=True, text=True, timeout=300)
    return float(done.stdout.split()[-1]) if done.returncode == 0 else None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="1280x720", help="WIDTHxHEIGHT of the file")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--roboflow", metavar="PYTHON", help="interpreter of an environment with `inference`")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    cores = usable_cores()
    print_machine("python -m benchmarks.one_file")
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base)
        path, head = folder / "clip.mp4", random_head(folder)
        count = write_clip(path, options.seconds, width, height)
        ways: dict[str, Callable[[], float | None]] = {
            "FFmpeg's own threads, scaled": lambda: ffmpeg(path, cores),
            "ours, 1 thread, 10 pairs": lambda: ours(path, head, folder, 1, 10),
            f"ours, {cores} threads, 10 pairs": lambda: ours(path, head, folder, cores, 10),
            f"ours, {cores} threads, no pairs": lambda: ours(path, head, folder, cores, 0),
        }
        if options.roboflow:
            ways["Roboflow InferencePipeline"] = lambda: roboflow(options.roboflow, path)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, measure in ways.items():
                if (found := measure()) is not None:
                    rates[name].append(found)
    print(f"{options.size} H.264, {count} frames, {cores} cores, median of {options.rounds} rounds")
    found_rates = {name: median(values) for name, values in rates.items() if values}
    for name, value in found_rates.items():
        print(f"{name:<32}{value:8.0f} frames/s")
    for target, other in ((0.9, "FFmpeg's own threads, scaled"), (1.3, "Roboflow InferencePipeline")):
        for pairs in ("10", "no"):
            if other in found_rates:
                ratio = found_rates[f"ours, {cores} threads, {pairs} pairs"] / found_rates[other]
                print(f"{pairs} pairs: {ratio:.2f} of {other} (target {target})")


if __name__ == "__main__":
    main()
