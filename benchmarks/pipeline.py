"""What everything around decoding and the engine costs, with an engine that computes nothing.

Run: python -m benchmarks.pipeline [--seconds 60] [--size 1280x720]

Prints the end-to-end rate against bare PyAV decode-and-scale on the same file, and the time a frame of batch, head,
track and publish at ten pairs. Both sides use one decoding thread and the same single-threaded swscale pass. They run
in turn, so that each round's ratio has seen the same machine; the median of the ratios is told. The start of the
decoder process (a new interpreter, once a source) is told apart, and processor time as well: it says what a busy
machine would do.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import av
import numpy as np

from benchmarks.machine import print_machine
from benchmarks.random_model import write_random_tiny
from engines.loading import load_model
from engines.null_engine import NullEngine
from hoiclip.config import tiny
from hoiclip.types import Canvas
from stream.decode.scaling import CanvasScaler
from stream.decode.sources import SourceSettings
from stream.ingest.batcher import FrameBatcher
from stream.ingest.supervisor import SourceSupervisor
from stream.publish.publisher import Publisher
from stream.run.inference import EnginePool
from stream.run.pipeline import Pipeline, StageTimes
from stream.run.source_run import Head, SourceRun, source_tracker
from stream.track.settings import TrackerSettings

CANVAS = Canvas(256, 448)


def write_clip(path: Path, seconds: float, width: int, height: int) -> int:
    """Write moving, noisy pictures, which cost about as much to decode as a camera's; return the number of frames."""
    rng = np.random.default_rng(1)
    texture = rng.integers(0, 255, (height // 8 + 64, width // 8 + 64, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    count = round(seconds * 25)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": "26", "g": "50"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(count):
            shift = (number * 3) % 256
            picture = np.ascontiguousarray(texture[shift : shift + height, shift : shift + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return count


def bare(path: Path) -> int:
    """Decode and scale every frame as the decoder does: into one picture, again and again."""
    count, scaler = 0, CanvasScaler()
    picture = np.empty((CANVAS.height, CANVAS.width, 3), np.uint8)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            scaler.write(frame, 0, picture)
            count += 1
    return count


def processor_s() -> tuple[float, float]:
    """Return the processor seconds of this process and of its children that have ended, so far."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime, children.ru_utime + children.ru_stime


def whole(path: Path, head: Head, spool: Path) -> tuple[StageTimes, float]:
    """Run the pipeline over the file with ten confident pairs a frame; events go to a file.

    Returns the time by stage, and the seconds until the first frame came out of the new decoder process.
    """
    started, first = time.perf_counter(), list[float]()
    config = tiny()
    run = SourceRun("bench", "bench", head, source_tracker("bench", head.classifier, TrackerSettings(enter_score=0.2)))
    source = SourceSettings(id="bench", url=str(path), kind="file", canvases=(CANVAS,), target_fps=None)
    with (
        Publisher([f"jsonl:{spool / 'events.jsonl'}"]) as publisher,
        SourceSupervisor([source]) as supervisor,
        EnginePool(lambda canvas: NullEngine(config, canvas, pairs=10)) as engines,
    ):
        batcher = FrameBatcher(supervisor, 8, 0.03)
        pipeline = Pipeline(
            batcher=batcher,
            engines=engines,
            sources={"bench": run},
            publish=publisher.publish,
            on_frame=lambda _: first or first.append(time.perf_counter() - started),
        )
        pipeline.run(threading.Event())
    return pipeline.times, first[0]


def random_head(folder: Path) -> Head:
    """Return a head over the world's thirty interactions with random rows."""
    loaded = load_model(write_random_tiny(folder / "model.safetensors"))
    return Head(loaded.classifier(), loaded.fingerprint)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--size", default="1280x720", help="WIDTHxHEIGHT of the file")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    print_machine("python -m benchmarks.pipeline")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        count = write_clip(path, options.seconds, width, height)
        head = random_head(Path(folder))
        rates: dict[str, list[float]] = {"bare": [], "whole": [], "running": []}
        processor: dict[str, list[float]] = {"bare": [], "decoder": [], "pipeline": []}
        starts: list[float] = []
        stages: dict[str, list[float]] = {}
        for _ in range(options.rounds):
            started, before = time.perf_counter(), processor_s()
            bare(path)
            rates["bare"].append(count / (time.perf_counter() - started))
            between = processor_s()
            processor["bare"].append(1000 * (between[0] - before[0]) / count)
            started = time.perf_counter()
            times, start_s = whole(path, head, Path(folder))
            whole_s = time.perf_counter() - started
            after = processor_s()
            processor["pipeline"].append(1000 * (after[0] - between[0]) / count)
            processor["decoder"].append(1000 * (after[1] - between[1]) / count)
            rates["whole"].append(count / whole_s)
            rates["running"].append(count / (whole_s - start_s))
            starts.append(start_s)
            for stage, seconds in times.seconds.items():
                stages.setdefault(stage, []).append(1000 * seconds / count)
        ratios = [[w / b for w, b in zip(rates[name], rates["bare"], strict=True)] for name in ("running", "whole")]
        told = ", ".join(f"{ratio:.2f}" for ratio in ratios[0])
        print(f"{options.size} H.264, {count} frames, median of {options.rounds} rounds, bare and whole in turn")
        print(f"bare PyAV decode and scale   {median(rates['bare']):8.0f} frames/s")
        name = "whole pipeline, null engine"
        print(f"{name}  {median(rates['running']):8.0f} frames/s   ratio {median(ratios[0]):.2f} ({told}; target 0.90)")
        print(f"  with the decoder's start   {median(rates['whole']):8.0f} frames/s   ratio {median(ratios[1]):.2f}")
        print(f"  decoder process starts in  {median(starts):8.2f} s")
        for name, values in processor.items():
            print(f"  processor, {name:<9}{median(values):7.3f} ms a frame")
        for stage, values in stages.items():
            print(f"  {stage:<16} {median(values):7.3f} ms a frame")


if __name__ == "__main__":
    main()
