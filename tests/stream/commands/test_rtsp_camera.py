from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from hoiclip.errors import InputError
from stream.commands.camera import camera

REPOSITORY = Path(__file__).resolve().parents[3]
RUN = "import sys, typer; from stream.commands.camera import camera; typer.run(camera)"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """One second of H.264 at 20 frames/s."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20, options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(20):
            picture = np.full((64, 96, 3), number * 10, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def playing(clip: Path, free_tcp_port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-c", RUN, str(clip), "--port", str(free_tcp_port)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert process.stderr is not None
    line = process.stderr.readline().strip()
    assert line.startswith("playing at rtsp://127.0.0.1:")
    yield process, line.removeprefix("playing at ")
    process.kill()
    process.wait()


def test_a_clip_plays_as_a_camera_over_and_over_until_it_is_told_to_stop(playing) -> None:
    process, url = playing
    options = {"rtsp_transport": "tcp", "timeout": "3000000", "analyzeduration": "200000"}
    seen = 0
    with av.open(url, options=options) as container:
        for frame in container.decode(video=0):
            assert (frame.width, frame.height) == (96, 64)
            seen += 1
            if seen == 30:  # longer than the clip
                break
    assert seen == 30
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0


def test_no_other_file_beside_the_clip_is_served(playing, clip: Path) -> None:
    (clip.parent / "private.mp4").write_bytes(clip.read_bytes())
    _, url = playing
    with pytest.raises(av.error.FFmpegError):
        av.open(url.replace("clip.mp4", "private.mp4"), options={"rtsp_transport": "tcp", "timeout": "1000000"})


def test_a_missing_clip_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.mp4"):
        camera(tmp_path / "nowhere.mp4", port=8554)
