"""Clips of many encodings, small, every frame another; and what a reader makes of them."""

from __future__ import annotations

import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from hoiclip.types import Canvas
from stream.decode.recording import Recording
from stream.decode.sources import SourceSettings
from stream.decode.wire import Counts

WIDTH, HEIGHT, FPS = 160, 96, 25

ENCODINGS: dict[str, tuple[str, dict[str, str]]] = {
    "without B frames": ("libx264", {"g": "50", "bf": "0"}),
    "B frames": ("libx264", {"g": "50", "bf": "2", "x264-params": "b-pyramid=none"}),
    "pyramid of B frames": ("libx264", {"g": "50", "bf": "3"}),
    "short closed groups": ("libx264", {"g": "8", "bf": "2"}),
    "open groups": ("libx264", {"g": "20", "bf": "3", "x264-params": "open-gop=1"}),
    "no key frames after the first": ("libx264", {"g": "50", "bf": "0", "x264-params": "intra-refresh=1"}),
    "interlaced": ("libx264", {"g": "30", "bf": "2", "flags": "+ildct+ilme"}),
    "HEVC, closed groups": ("libx265", {"x265-params": "log-level=none:open-gop=0:keyint=30:bframes=3"}),
    "HEVC, open groups": ("libx265", {"x265-params": "log-level=none:open-gop=1:keyint=24:bframes=4"}),
    "MPEG-4": ("mpeg4", {"g": "25", "bf": "2"}),
}


def moving_clip(
    path: Path,
    encoding: str,
    seconds: float = 4.0,
    *,
    jitter: bool = False,
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> Path:
    """Write a clip of noise that moves, so that every frame is another and predicted from its neighbours."""
    codec, options = ENCODINGS[encoding]
    random = np.random.default_rng(0)
    width, height = size
    scene = random.integers(0, 256, (height, 3 * width, 3), dtype=np.uint8)
    unit = Fraction(1, 1000) if jitter else Fraction(1, FPS)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = unit
        pts = 0
        for number in range(round(seconds * FPS)):
            left = number * 2 % (2 * width)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(scene[:, left : left + width]), format="rgb24")
            frame.pts, frame.time_base = pts, unit
            pts += int(random.integers(15, 90)) if jitter else 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


class SeenFrame(NamedTuple):
    """All that a recording says about a frame that is looked at."""

    number: int
    media_s: float
    corrupt: bool
    shape: tuple[int, ...]
    checksum: int  # of the picture
    counts: Counts


def source_of(path: Path, **settings: Any) -> SourceSettings:
    """Return the settings of a recording."""
    return SourceSettings("clip", str(path), "file", (Canvas(32, 48),), **settings)


def frames_of(path: Path, fps: float | None, **how: Any) -> list[SeenFrame]:
    """Read a recording; return the frames that are looked at."""
    with Recording(source_of(path), fps, **how) as recording:
        found = []
        for frame in recording.frames():
            pixels = frame.picture.to_ndarray()
            counts = Counts(recording.num_frames, recording.num_skipped, recording.errors)
            checksum = zlib.crc32(pixels.tobytes())
            found.append(SeenFrame(frame.number, frame.media_s, frame.corrupt, pixels.shape, checksum, counts))
        return found
