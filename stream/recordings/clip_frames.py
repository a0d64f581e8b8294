"""Frames of a recording on a model's canvas, in this process: for teaching, calibration and comparing engines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hoiclip.errors import InputError
from hoiclip.types import Canvas
from stream.decode.frame_times import FramePicker
from stream.decode.opening import SourceFailureError
from stream.decode.recording import read_recording
from stream.decode.scaling import CanvasScaler
from stream.decode.sources import SourceSettings


class ClipFrame(NamedTuple):
    """One frame of a recording."""

    t_s: float  # media time
    pixels: NDArray[np.uint8]  # RGB [H, W, 3] on the canvas
    size_hw: tuple[int, int]  # of the recording's own frame, in pixels, upright


def read_clip(
    path: Path, canvas: Canvas, *, fps: float | None = 5.0, start_s: float = 0.0, end_s: float | None = None
) -> Iterator[ClipFrame]:
    """Yield the frames from `start_s` to `end_s` (media time), about `fps` a second, or all of them for None.

    Damaged packets are passed over. Raises InputError naming the file when it cannot be read or has no frame there.
    """
    settings = SourceSettings(id=path.name, url=str(path), kind="file", canvases=(canvas,), target_fps=fps)
    picker, scaler, found = FramePicker(fps), CanvasScaler(), False
    try:
        for frame in read_recording(settings, start_s=start_s, end_s=end_s):
            if picker.choose(frame.media_s):
                found = True
                pixels = np.empty((*canvas, 3), np.uint8)
                scaler.write(frame.picture, frame.quarter_turns, pixels)
                width, height = frame.size
                yield ClipFrame(frame.media_s, pixels, (height, width))
    except SourceFailureError as failure:
        raise InputError(f"{path}: {failure.detail}") from failure
    if not found:
        until = "the end" if end_s is None else f"{end_s:g} s"
        raise InputError(f"{path}: no frame from {start_s:g} s to {until}")


def read_spread(path: Path, canvas: Canvas, count: int) -> NDArray[np.uint8]:
    """Return up to `count` frames uint8 [N, H, W, 3] (RGB), spread evenly over a recording.

    At most twice as many are in memory at a time. Raises InputError naming the file when it cannot be read.
    """
    kept: list[NDArray[np.uint8]] = []
    every = 1
    for index, frame in enumerate(read_clip(path, canvas, fps=None)):
        if index % every == 0:
            kept.append(frame.pixels)
        if len(kept) > 2 * count:
            kept, every = kept[::2], 2 * every
    picks = np.linspace(0, len(kept) - 1, min(count, len(kept))).round().astype(int)
    return np.stack([kept[i] for i in picks])
