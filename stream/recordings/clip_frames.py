"""Frames of a stretch of a recording, on a model's canvas, in this process: for teaching and calibration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from hoiclip.errors import InputError
from hoiclip.types import Canvas
from stream.decode.frame_times import FramePicker, RecordingClock
from stream.decode.opening import SourceFailureError, describe, open_source
from stream.decode.scaling import CanvasScaler, displayed_size, quarter_turns
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
    try:
        container, stream = open_source(settings)
    except SourceFailureError as failure:
        raise InputError(f"{path}: {failure.detail}") from failure
    last_s, found = 0.0, False
    with container:
        clock = RecordingClock(stream.time_base or av.time_base, stream.start_time, stream.average_rate)
        picker, scaler = FramePicker(fps), CanvasScaler()
        if start_s > 2.0 and stream.time_base:
            container.seek(int(start_s / stream.time_base) + (stream.start_time or 0), stream=stream)
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                if packet.size == 0:
                    raise InputError(f"{path}: {describe(error)}") from error
                continue
            for frame in frames:
                last_s = clock.at(frame.pts).media_s
                if last_s < start_s or (end_s is not None and last_s > end_s) or not picker.choose(last_s):
                    continue
                found = True
                yield _on_canvas(frame, canvas, scaler, last_s)
            if end_s is not None and last_s > end_s + 1.0:  # frames may come out of order by less
                break
    if not found:
        until = "the end" if end_s is None else f"{end_s:g} s"
        raise InputError(f"{path}: no frame from {start_s:g} s to {until}; the last one read is at {last_s:.1f} s")


def _on_canvas(frame: av.VideoFrame, canvas: Canvas, scaler: CanvasScaler, t_s: float) -> ClipFrame:
    turns = quarter_turns(frame.rotation)
    width, height = displayed_size(frame, turns)
    pixels = np.empty((*canvas, 3), np.uint8)
    scaler.write(frame, turns, pixels)
    return ClipFrame(t_s, pixels, (height, width))
