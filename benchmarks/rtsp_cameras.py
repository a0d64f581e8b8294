"""How many 1080p25 RTSP cameras the demonstration bundle carries, the RTSP server on the same cores.

Run: python -m benchmarks.rtsp_cameras --cameras 20 [--seconds 60] [--footage street] [--precision mixed]

One real RTSP server plays a clip to every camera; decoders, batcher, gate, engine, head, tracker and spool do what they
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
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks.live_cameras import SERVE
from benchmarks.machine import print_machine
from benchmarks.still_pictures import quiet_street
from engines.loading import load_model
from engines.registry import open_engine
from hoiclip.shipped import shipped, shipped_model
from stream.capacity.trial import watch_live
from stream.run.canvases import model_canvas
from stream.run.config import STILL_S
from stream.run.source_run import Head

WIDTH, HEIGHT, FPS = 1920, 1080, 25
STREET_S = 180.0


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
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        clip = options.clip or Path(folder) / "camera.mp4"
        if not clip.exists():
            write_clip(options.footage, clip)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        command = [sys.executable, "-c", SERVE, str(clip), str(port)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        canvas = model_canvas(loaded)
        try:
            with open_engine(options.engine, loaded, canvas, max_batch=16, precision=options.precision) as engine:
                engine.infer(np.zeros((1, *canvas, 3), np.uint8))
                for cameras in options.cameras:
                    trial = watch_live(
                        engine,
                        head,
                        [url] * cameras,
                        fps=5.0,
                        seconds=options.seconds,
                        max_still_s=options.max_still_s,
                        warm_s=10.0 + cameras / 2,
                    )
                    print(json.dumps(asdict(trial) | {"carried": trial.carried}), flush=True)
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
