"""How many 1080p25 RTSP cameras the demonstration bundle carries, the RTSP server on the same cores.

Run: python -m benchmarks.rtsp_cameras --cameras 20 [--seconds 60] [--footage street] [--precision mixed]

One real RTSP server plays the same clip to every camera, each from another place on, since cameras do not see the same
at the same time; decoders, batcher, gate, engine, head, tracker and spool do what they
do in `hoistream run`. Carried is what drops no frame and has a 95th percentile of latency (capture to tracked) below
one second. `street` is a quiet place in which something happens 5 % of the time, `demo` the demonstration clip, where
somebody always moves.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks.machine import print_machine
from benchmarks.still_pictures import quiet_street
from engines.loading import load_model
from engines.registry import open_engine
from hoiclip.shipped import shipped, shipped_model
from stream.capacity.trial import processor_s, watch_live
from stream.run.canvases import model_canvas
from stream.run.config import STILL_S
from stream.run.source_run import Head

WIDTH, HEIGHT, FPS = 1920, 1080, 25
STREET_S = 180.0
SERVE = """
import asyncio, sys
from concurrent.futures import ThreadPoolExecutor
import aio_rtsp_toolkit.server as toolkit
async def main():
    server = toolkit.RtspServer(sys.argv[1], "127.0.0.1", int(sys.argv[2]))
    await server.start()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(200))  # it keeps a thread for each client
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def write_clip(footage: str, path: Path) -> None:
    """Write a clip as a 1080p camera sends it: no B frames, a key frame every two seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"g": str(2 * FPS), "bf": "0", "preset": "veryfast", "crf": "26"}
        for number, picture in enumerate(_demo() if footage == "demo" else _street()):
            frame = picture.reformat(WIDTH, HEIGHT, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_rotated(source: Path, target: Path, start_s: float) -> None:
    """Write the packets of a clip from the key frame after `start_s` on, and then those before it."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        packets = [packet for packet in reader.demux(stream) if packet.size]
        first = next((n for n, packet in enumerate(packets) if packet.is_keyframe and n >= start_s * FPS), 0)
        length = packets[1].pts - packets[0].pts
        for number, packet in enumerate(packets[first:] + packets[:first]):
            packet.pts = packet.dts = number * length
            packet.stream = copy
            writer.mux(packet)


class Server:
    """A real RTSP server of all clips in a folder, a process of its own."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.url, self._process, self._started_s = url, process, time.monotonic()

    def processor_share(self) -> float:
        """Return the share of one core that it has taken so far."""
        return processor_s(self._process.pid) / (time.monotonic() - self._started_s)


@contextmanager
def served(folder: Path) -> Iterator[Server]:
    """Serve the clips in a folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", SERVE, str(folder), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield Server(process, f"rtsp://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


def _demo():
    with av.open(str(shipped("assets/demo.mp4"))) as reader:
        yield from reader.decode(video=0)


def _street():
    """Yield three minutes in which one walk lasts nine seconds; a noisy sensor, light that drifts."""
    street = quiet_street(7_000_002, STREET_S, 0.05)
    for number in range(round(STREET_S * FPS)):
        yield av.VideoFrame.from_ndarray(np.ascontiguousarray(street.draw(number / FPS, 512, 896)[0]), format="rgb24")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, nargs="+", default=[20])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--footage", choices=["street", "demo"], default="street")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--precision", default="mixed")
    parser.add_argument("--max-still-s", type=float, default=STILL_S, help="0: every frame goes through the engine")
    parser.add_argument("--clip", type=Path, help="play this clip; where there is none it is written there first")
    options = parser.parse_args()
    print_machine(f"python -m benchmarks.rtsp_cameras {' '.join(sys.argv[1:])}")
    loaded = load_model(shipped_model())
    head = Head(loaded.classifier(), loaded.fingerprint)
    with tempfile.TemporaryDirectory() as folder:
        clip = options.clip or Path(folder) / "camera.mp4"
        if not clip.exists():
            write_clip(options.footage, clip)
        most = max(options.cameras)
        length_s = STREET_S if options.footage == "street" else 24.0
        for number in range(most):
            write_rotated(clip, Path(folder) / f"cam{number}.mp4", length_s * number / most)
        canvas = model_canvas(loaded)
        with open_engine(options.engine, loaded, canvas, max_batch=16, precision=options.precision) as engine:
            engine.infer(np.zeros((1, *canvas, 3), np.uint8))
            for cameras in options.cameras:
                with served(Path(folder)) as server:
                    trial = watch_live(
                        engine,
                        head,
                        [f"{server.url}/cam{number}.mp4?play_count=0" for number in range(cameras)],
                        fps=5.0,
                        seconds=options.seconds,
                        max_still_s=options.max_still_s,
                        warm_s=10.0 + cameras / 2,
                    )
                    server_share = server.processor_share()
                report = asdict(trial) | {"carried": trial.carried}
                report["processor_share"]["rtsp server"] = server_share
                print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
