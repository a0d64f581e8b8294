"""Footage as cameras send it, made on the spot: a place, sensor noise, people who pass; so many megabits a second."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Final, Literal, NamedTuple

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from hoiclip.errors import HoistreamError

Codec = Literal["h264", "hevc"]
FPS: Final = 25
_ENCODERS: Final = {"h264": "libx264", "hevc": "libx265"}
_BITS_A_PIXEL: Final = {
    "h264": 0.08,
    "hevc": 0.05,
}  # a 1080p25 camera at 4 and 2.6 Mbit/s, as they come from the makers
_NOISE: Final = 4.0  # grey levels
_WALKERS: Final = 3


class CameraKind(NamedTuple):
    """What a camera sends."""

    width: int
    height: int
    codec: Codec

    def __str__(self) -> str:
        return f"{self.width}x{self.height} {'H.264' if self.codec == 'h264' else 'HEVC'}"


def write_footage(path: Path, kind: CameraKind, seconds: float) -> int:
    """Write a clip of one camera, `FPS` frames a second, a key frame every two; return the number of frames.

    Every frame is needed by the next, as cameras encode for low delay. Raises HoistreamError where FFmpeg has no such
    encoder.
    """
    width, height, count = kind.width, kind.height, round(seconds * FPS)
    place, noise = _place(width, height)
    try:
        with av.open(str(path), "w") as container:
            stream = container.add_stream(_ENCODERS[kind.codec], rate=FPS)
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.time_base = Fraction(1, FPS)
            stream.bit_rate = round(width * height * FPS * _BITS_A_PIXEL[kind.codec])
            stream.options = {
                "g": str(2 * FPS),
                "bf": "0",
                "preset": "ultrafast" if kind.codec == "hevc" else "veryfast",
            }
            if kind.codec == "hevc":
                stream.options |= {"x265-params": "log-level=none"}
            for number in range(count):
                frame = av.VideoFrame.from_ndarray(_picture(place, noise, number), format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, FPS)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    except (av.error.FFmpegError, av.codec.codec.UnknownCodecError) as error:
        raise HoistreamError(f"{kind}: footage cannot be encoded here: {error}") from error
    return count


def _place(width: int, height: int) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
    """Return a planar YUV 4:2:0 picture uint8 [H * 3 / 2, W] of walls and doors, and noise for larger pictures."""
    rng = np.random.default_rng(1)
    picture = np.full((height * 3 // 2, width), 128, np.uint8)
    luma = picture[:height]
    luma[:] = np.linspace(180, 80, height)[:, None]
    for _ in range(60):
        top, left = int(rng.integers(0, height)), int(rng.integers(0, width))
        luma[top : top + height // 8, left : left + width // 10] = rng.integers(30, 220)
    texture = rng.normal(0, 8, (height, width))
    luma[:] = np.clip(luma + texture, 0, 255).astype(np.uint8)
    return picture, rng.normal(0, _NOISE, (height + 64, width)).round().astype(np.int16)


def _picture(place: NDArray[np.uint8], noise: NDArray[np.int16], number: int) -> NDArray[np.uint8]:
    height, width = place.shape[0] * 2 // 3, place.shape[1]
    picture = place.copy()
    luma = picture[:height].astype(np.int16)
    for walker in range(_WALKERS):
        tall, wide = height // (3 + walker), width // (16 + 4 * walker)
        left = (width // 5 * (2 * walker + 1) + number * width // (200 + 60 * walker)) % (width - wide)
        top = height - tall - height // 12 * (walker + 1)
        luma[top : top + tall, left : left + wide] = 60 + 50 * walker
    shift = number * 37 % 64  # the same noise at another place: making it anew would take longer than encoding
    picture[:height] = np.clip(luma + noise[shift : shift + height], 0, 255).astype(np.uint8)
    return picture
