"""Watch many live cameras with a null engine: latency drift, memory, and every frame accounted for.

Run: python benchmarks/live_cameras.py --seconds 300. The cameras play a clip in real time (10 frames/s, looked at 5
times a second), each in a decoder process of its own; with --rtsp one real RTSP server plays it to all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from fractions import Fraction
from pathlib import Path

import av

from hoiclip.types import Canvas
from stream.decode.sources import SourceSettings
from stream.ingest.batcher import Batch, FrameBatcher
from stream.ingest.supervisor import SourceSupervisor

CANVAS = Canvas(256, 448)
SERVE = """
import asyncio, functools, sys
from pathlib import Path
from stream.commands.support.rtsp_camera import serve_clip
ready = functools.partial(print, flush=True)
asyncio.run(serve_clip(Path(sys.argv[1]), "127.0.0.1", int(sys.argv[2]), loop=True, ready=ready))
"""


def small_clip(source: Path, target: Path, fps: int, width: int, height: int) -> None:
    """Write `source` as a camera's sub-stream: smaller, at `fps`."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream("libx264", rate=fps, options={"g": str(2 * fps), "bf": "0", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        step = max(1, round(float(reader.streams.video[0].average_rate or fps) / fps))
        for number, frame in enumerate(reader.decode(video=0)):
            if number % step == 0:
                picture = frame.reformat(width, height, "yuv420p")
                picture.pts, picture.time_base = number // step, Fraction(1, fps)
                writer.mux(stream.encode(picture))
        writer.mux(stream.encode())


def resident_mb(pids: list[int]) -> float:
    """Return the memory of this process and `pids` in MiB, shared pages counted in part (PSS)."""
    total_kb = 0
    for pid in [os.getpid(), *pids]:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total_kb += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total_kb / 1024


def main() -> None:
    """Run and print a JSON report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--cameras", type=int, default=16)
    parser.add_argument("--fps", type=int, default=10, help="of the camera; 5 a second are looked at")
    parser.add_argument("--clip", type=Path, default=Path("assets/demo.mp4"))
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--rtsp", action="store_true", help="play over a real RTSP server")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    server: subprocess.Popen[str] | None = None
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "camera.mp4"
        small_clip(arguments.clip, clip, arguments.fps, width, height)
        url = str(clip)
        if arguments.rtsp:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            command = [sys.executable, "-c", SERVE, str(clip), str(port)]
            server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            assert server.stdout is not None
            url = server.stdout.readline().strip()
        try:
            print(json.dumps(watch(url, arguments.cameras, arguments.seconds, stop), indent=2))
        finally:
            if server is not None:
                server.kill()
                server.wait()


def watch(url: str, cameras: int, seconds: float, stop: threading.Event) -> dict[str, object]:
    """Watch `cameras` cameras for `seconds` after a warm-up of 10 s; return the report."""
    sources = [SourceSettings(f"cam{i:02}", url, "live", (CANVAS,), target_fps=5.0) for i in range(cameras)]
    latency: list[tuple[float, float]] = []
    memory: list[float] = []
    batches = 0
    started_cpu, started = time.process_time(), time.monotonic()
    with SourceSupervisor(sources) as supervisor:
        begin = started + 10.0
        end, next_sample = begin + seconds, begin
        for item in FrameBatcher(supervisor, max_batch=16, max_wait_s=0.03).run(stop):
            now = time.monotonic()
            if now >= end:
                break
            if now >= next_sample:
                memory.append(resident_mb(list(supervisor.pids().values())))
                next_sample += 5.0
            if isinstance(item, Batch):
                batches += 1
                wall = time.time()
                if now >= begin:
                    latency += [(now - begin, wall - meta.capture_wall_s) for meta in item.meta if meta.capture_wall_s]
        accounts = supervisor.coverage()
    parts = [[late for at, late in latency if k * seconds / 5 <= at < (k + 1) * seconds / 5] for k in range(5)]
    decoded = sum(a.decoded for a in accounts.values())
    skipped = sum(a.skipped for a in accounts.values())
    delivered = sum(a.delivered for a in accounts.values())
    pending = sum(a.pending for a in accounts.values())
    dropped: dict[str, int] = {}
    for account in accounts.values():
        for reason, count in account.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    quarter = max(1, len(memory) // 4)
    return {
        "cameras": cameras,
        "seconds": seconds,
        "latency_p50_ms_by_fifth": [round(1000 * statistics.median(part), 1) for part in parts if part],
        "latency_p99_ms": round(1000 * statistics.quantiles([late for _, late in latency], n=100)[98], 1),
        "memory_mb_first": round(memory[0], 1),
        "memory_mb_last": round(memory[-1], 1),
        "memory_growth": round(statistics.mean(memory[-quarter:]) / statistics.mean(memory[:quarter]) - 1, 4),
        "frames_per_second": round(len(latency) / seconds, 1),
        "frames_per_batch": round(delivered / max(1, batches), 2),
        "cpu_share_of_pipeline": round((time.process_time() - started_cpu) / (time.monotonic() - started), 3),
        "decoded": decoded,
        "skipped": skipped,
        "delivered": delivered,
        "dropped": dropped,
        "pending": pending,
        "accounted_exactly": decoded == skipped + delivered + sum(dropped.values()) + pending,
        "gaps": sum(a.num_gaps for a in accounts.values()),
        "blind_s": round(sum(a.blind_s for a in accounts.values()), 1),
    }


if __name__ == "__main__":
    main()
