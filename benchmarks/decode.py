"""Compare the decoders with bare PyAV, on the same files. Run: python benchmarks/decode.py [FILES…].

Bare: one loop in one process that decodes every frame and scales it to the canvas. Ours: the same work in decoder
processes, through the rings into batches of a null engine, from the first to the last frame (start-up apart).
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import av
from av.video.reformatter import VideoReformatter

from hoiclip.types import Canvas
from stream.decode.sources import SourceSettings
from stream.ingest.batcher import Batch, FrameBatcher
from stream.ingest.supervisor import SourceSupervisor

CANVAS = Canvas(256, 448)


def bare(path: Path) -> float:
    """Return the frames a second of decoding and scaling alone."""
    reformatter, frames = VideoReformatter(), 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        started = time.perf_counter()
        for frame in container.decode(stream):
            reformatter.reformat(frame, CANVAS.width, CANVAS.height, "rgb24").to_ndarray()
            frames += 1
        return frames / (time.perf_counter() - started)


def ours(paths: list[Path]) -> float:
    """Return the frames a second, of all files together, that reach a null engine."""
    sources = [SourceSettings(f"s{i}", str(path), "file", (CANVAS,), None) for i, path in enumerate(paths)]
    frames, first_s, last_s = 0, 0.0, 0.0
    with SourceSupervisor(sources) as supervisor:
        for item in FrameBatcher(supervisor, max_batch=8, max_wait_s=0.03):
            if isinstance(item, Batch):
                last_s = time.perf_counter()
                if not frames:
                    first_s = last_s
                    frames_at_first = len(item.meta)
                frames += len(item.meta)
        lost = sum(sum(account.dropped.values()) for account in supervisor.coverage().values())
    if lost:
        raise SystemExit(f"{lost} frames of files were dropped")
    return (frames - frames_at_first) / (last_s - first_s)


def main() -> None:
    """Print a table; the two are measured in turn, and the best of each compared: other work only ever slows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, default=[Path("assets/demo.mp4")])
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    for path in arguments.files:
        pairs = [(bare(path), ours([path])) for _ in range(arguments.repeats)]
        best = [max(rates) for rates in zip(*pairs, strict=True)]
        median = [statistics.median(rates) for rates in zip(*pairs, strict=True)]
        print(
            f"{path.name}: bare {best[0]:.0f} frames/s (median {median[0]:.0f}), "
            f"null engine {best[1]:.0f} (median {median[1]:.0f}), ratio {best[1] / best[0]:.2f}"
        )
    several = list(arguments.files) * (1 if len(arguments.files) > 1 else 3)
    print(f"{len(several)} files at once: {ours(several):.0f} frames/s together")


if __name__ == "__main__":
    main()
