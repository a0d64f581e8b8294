"""What it saves to decode only what is looked at. Run: python -m benchmarks.selective_decode [FILES…].

Processor time of one thread that decodes and scales a recording, selectively and entirely, in turn, and the wall time
of a thread a core that decodes selectively, against one that decodes everything; the least of each counts, since other
work only ever slows. The pictures are compared. Without files: 1080p clips that are made here, as cameras and phones
encode them (three B frames), with a key frame every second and every ten seconds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from benchmarks.machine import print_machine
from hoiclip.types import Canvas
from stream.decode.recording import Recording
from stream.decode.scaling import CanvasScaler
from stream.decode.sources import SourceSettings
from stream.decode.stretches import StretchedRecording
from stream.recordings.admission import usable_cores

CANVAS = Canvas(256, 448)
RATES = (1.0, 5.0, 8.0)


def processor_time(path: Path, fps: float, selective: bool) -> tuple[float, int, int]:
    """Return seconds, frames that the recording had, and a checksum of all that was looked at."""
    picture, scaler, checksum = np.empty((*CANVAS, 3), np.uint8), CanvasScaler(), 0
    started = time.process_time()
    with Recording(SourceSettings("clip", str(path), "file", (CANVAS,)), fps, selective=selective) as recording:
        for frame in recording.frames():
            scaler.write(frame.picture, frame.quarter_turns, picture)
            checksum += frame.number + int(picture[::8, ::8].sum())
        return time.process_time() - started, recording.num_frames, checksum


def wall_time(path: Path, fps: float, threads: int) -> tuple[float, int]:
    """Return seconds of selective decoding by `threads` threads, and the checksum of all that was looked at."""
    checksum, settings = 0, SourceSettings("clip", str(path), "file", (CANVAS,), threads=threads)
    started = time.perf_counter()
    with StretchedRecording(settings, fps) as recording:
        for frame in recording.frames():
            checksum += frame.number + int(frame.pixels[::8, ::8].sum())
        return time.perf_counter() - started, checksum


def entire_wall_time(path: Path, fps: float) -> float:
    """Return seconds of one thread that decodes everything."""
    started = time.perf_counter()
    processor_time(path, fps, selective=False)
    return time.perf_counter() - started


def make_clip(path: Path, key_frame_every: int, seconds: int = 20) -> Path:
    """Write noise that moves over itself, 25 frames a second."""
    scene = np.random.default_rng(0).integers(0, 256, (135, 480, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        options = {"g": str(key_frame_every), "bf": "3", "preset": "veryfast"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        for number in range(25 * seconds):
            left = 4 * number % 1920
            view = np.ascontiguousarray(scene[:, left : left + 1920])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(view, format="rgb24")))
        container.mux(stream.encode())
    return path


def main() -> None:
    """Print a line a file and rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--looks", type=float, nargs="+", default=RATES, help="looks a second")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    cores = usable_cores()
    print_machine("python -m benchmarks.selective_decode")
    with tempfile.TemporaryDirectory() as folder:
        made = {25: "key frame a second", 250: "key frame in ten seconds"}
        files = arguments.files or [make_clip(Path(folder) / f"{name}.mp4", every) for every, name in made.items()]
        for path in files:
            for fps in arguments.looks:
                walls = [(entire_wall_time(path, fps), wall_time(path, fps, cores)) for _ in range(arguments.repeats)]
                runs = [[processor_time(path, fps, how) for how in (False, True)] for _ in range(arguments.repeats)]
                checksums = {run[2] for pair in runs for run in pair} | {wall[1][1] for wall in walls}
                if len(checksums) != 1:
                    raise SystemExit(f"{path}: the pictures differ")
                (entire, frames, _), (selective, _, _) = (min(pair[i] for pair in runs) for i in (0, 1))
                print(
                    f"{path.stem}, {fps:g} looks a second: {frames / entire:.0f} -> {frames / selective:.0f} frames/s "
                    f"of processor time, x{entire / selective:.2f}"
                )
                one, all_cores = min(wall[0] for wall in walls), min(wall[1][0] for wall in walls)
                print(
                    f"  on the clock: everything, one thread {frames / one:.0f} -> selectively, {cores} threads "
                    f"{frames / all_cores:.0f} frames/s, x{one / all_cores:.2f} (target 2.5 at 5 looks)"
                )


if __name__ == "__main__":
    main()
