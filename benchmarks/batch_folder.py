"""A folder of clips through `hoistream batch`'s job: several at once against one after the other, and the engine alone.

Run: python -m benchmarks.batch_folder [--clips 20] [--seconds 20] [--size 1280x720] [--fps 8] [--engine openvino]

Rounds of the engine alone, one after the other, and several at once take turns; medians of the rounds are told. Without
a GPU decoding and engine share the cores, so the best that any job can do is told as well: C / (d + C/E) frames/s on C
cores, where d is the processor time of decoding and scaling for each frame that is looked at, and
E the rate of the engine alone. What both ways leave is compared byte for byte.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.machine import print_machine
from benchmarks.pipeline import write_clip
from engines.loading import load_model
from engines.registry import open_engine
from hoiclip.loaded import LoadedModel
from hoiclip.shipped import shipped_model
from hoiclip.types import Canvas, Engine
from stream.decode.recording import Recording
from stream.decode.scaling import CanvasScaler
from stream.decode.sources import SourceSettings
from stream.recordings.admission import usable_cores
from stream.recordings.batch_job import BatchJob, BatchSettings
from stream.recordings.media import find_videos
from stream.run.canvases import model_canvas
from stream.run.config import EngineConfig
from stream.run.source_run import Head
from stream.track.settings import TrackerSettings


def engine_alone(engine: Engine, max_batch: int, seconds: float) -> float:
    """Return frames/s of the engine with nothing else to do."""
    size = min(max_batch, engine.max_batch)
    frames = np.random.default_rng(0).integers(0, 256, (size, *engine.canvas, 3), np.uint8)
    engine.infer(frames)
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        engine.infer(frames)
        count += size
    return count / (time.perf_counter() - started)


def decoding_s(path: Path, canvas: Canvas, fps: float) -> float:
    """Return the processor seconds of decoding and scaling for each frame that is looked at."""
    picture, scaler, count = np.empty((*canvas, 3), np.uint8), CanvasScaler(), 0
    started = time.process_time()
    with Recording(SourceSettings("clip", str(path), "file", (canvas,)), fps) as recording:
        for frame in recording.frames():
            scaler.write(frame.picture, frame.quarter_turns, picture)
            count += 1
    return (time.process_time() - started) / count


def left_behind(folder: Path) -> dict[str, bytes]:
    """Return the files of a job by name; of receipts all but the wall clock."""
    found = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    for name in [name for name in found if name.endswith(".receipt.json")]:
        receipt: dict[str, Any] = json.loads(found[name])
        del receipt["seconds"]
        found[name] = json.dumps(receipt).encode()
    return found


class KeptOpen:
    """An engine that a job does not close."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def __enter__(self) -> KeptOpen:
        return self

    def __exit__(self, *reason: object) -> None:
        """Stay open."""


def job_rate(
    folder: Path, out: Path, loaded: LoadedModel, engine: Engine, options: argparse.Namespace, jobs: int | None
) -> float:
    """Return frames/s of a whole job, from the call to its last file."""
    settings = BatchSettings(
        (engine.canvas,), EngineConfig(kind="null", max_batch=options.max_batch), TrackerSettings(), options.fps
    )
    head = Head(loaded.classifier(), loaded.fingerprint)
    job = BatchJob(loaded, head, settings, out, own_engine=lambda _: KeptOpen(engine), jobs=jobs)  # type: ignore[return-value, arg-type]
    started = time.perf_counter()
    results = job.run(find_videos([folder]), threading.Event(), lambda step: None, lambda result: None)
    elapsed_s = time.perf_counter() - started
    if any(result.state != "done" for result in results):
        raise SystemExit(f"not all are done: {results}")
    waited_s = job.times.seconds["wait for frames"]
    print(f"  jobs {jobs or 'auto'}: {elapsed_s:.1f} s, of which the engine waited {waited_s:.1f} s", flush=True)
    return sum(result.frames for result in results) / elapsed_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each clip")
    parser.add_argument("--size", default="1280x720", help="WIDTHxHEIGHT of the clips")
    parser.add_argument("--fps", type=float, default=8.0, help="looks a second")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--precision", default="mixed")
    parser.add_argument("--max-batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    print_machine("python -m benchmarks.batch_folder")
    loaded = load_model(shipped_model())
    canvas, cores = model_canvas(loaded), usable_cores()
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "in"
        folder.mkdir()
        first = folder / "clip00.mp4"
        write_clip(first, options.seconds, width, height)
        for number in range(1, options.clips):  # other bytes behind the last box: another recording, the same frames
            (folder / f"clip{number:02}.mp4").write_bytes(first.read_bytes() + b"\0\0\0\x0cfree" + number.to_bytes(4))
        rates: dict[str, list[float]] = {"engine": [], "serial": [], "parallel": []}
        with open_engine(
            options.engine, loaded, canvas, max_batch=options.max_batch, precision=options.precision
        ) as engine:
            for number in range(options.rounds):
                one, several = Path(base) / f"one{number}", Path(base) / f"several{number}"
                rates["engine"].append(engine_alone(engine, options.max_batch, 4.0))
                rates["serial"].append(job_rate(folder, one, loaded, engine, options, 1))
                rates["parallel"].append(job_rate(folder, several, loaded, engine, options, None))
                if left_behind(one) != left_behind(several):
                    raise SystemExit("several at once and one after the other leave different files")
        decode_s = decoding_s(first, canvas, options.fps)
        files = len(left_behind(several))
    alone = median(rates["engine"])
    best = cores / (decode_s + cores / alone)
    ratios = [p / s for p, s in zip(rates["parallel"], rates["serial"], strict=True)]
    print(
        f"{options.clips} clips of {options.seconds:g} s, {options.size}, {options.fps:g} looks a second, {cores} cores"
    )
    print(f"engine alone                     {alone:7.1f} frames/s")
    print(f"decoding and scaling, one core   {1 / decode_s:7.1f} frames/s that are looked at")
    print(f"both on these cores, at best     {best:7.1f} frames/s")
    print(f"one after the other              {median(rates['serial']):7.1f} frames/s")
    parallel = median(rates["parallel"])
    print(f"several at once                  {parallel:7.1f} frames/s, x{median(ratios):.2f}")
    print(f"  of the engine alone {parallel / alone:.2f} (target 0.95), of the best {parallel / best:.2f}")
    print(f"  {files} files byte for byte equal in every round")


if __name__ == "__main__":
    main()
