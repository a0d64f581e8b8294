"""From a decoded picture to RGB on a canvas: one swscale pass, then the rotation the file asks for."""

from __future__ import annotations

import inspect

import numpy as np
from av import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

# One thread a source: many sources share the cores, and swscale's own threads cost more than they bring.
_ONE_THREAD = {"threads": 1} if "threads" in (inspect.getdoc(VideoReformatter.reformat) or "") else {}


class CanvasScaler:
    """Scale frames of any size and pixel format; the full-size RGB picture never exists."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def write(self, frame: VideoFrame, quarter_turns: int, target: NDArray[np.uint8]) -> None:
        """Fill `target` uint8 [H, W, 3] (contiguous) with `frame`, turned counter-clockwise by quarters of a circle."""
        if not target.flags.c_contiguous:
            raise ValueError("the target picture must be contiguous")
        height, width = target.shape[:2]
        if quarter_turns % 2:
            height, width = width, height
        scaled = self._reformatter.reformat(frame, width, height, "rgb24", **_ONE_THREAD)
        plane = scaled.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8, plane.line_size * height).reshape(height, plane.line_size)
        rows = rows[:, : width * 3]  # FFmpeg may pad each row
        if quarter_turns:
            target[:] = np.rot90(rows.reshape(height, width, 3), quarter_turns)
        else:
            target.reshape(height, width * 3)[:] = rows


def quarter_turns(rotation_degrees: float) -> int:
    """Return how often to turn by 90 degrees counter-clockwise, 0 to 3, for the rotation a frame carries."""
    return round(rotation_degrees / 90) % 4


def displayed_size(frame: VideoFrame, turns: int) -> tuple[int, int]:
    """Return (width, height) in px of `frame` after `turns` quarter turns."""
    return (frame.height, frame.width) if turns % 2 else (frame.width, frame.height)
