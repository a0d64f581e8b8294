"""When a frame was: media time from pts, capture time on the wall clock, and which frames to look at.

Declared frame rates lie; only pts tells time.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

JUMP_S = 5.0  # a pts that moves this much more than the clock is a new time line, not a late frame


class Rational(Protocol):
    """A fraction: Python's, or PyAV's own since version 19."""

    @property
    def numerator(self) -> int:
        """Upper part."""
        ...

    @property
    def denominator(self) -> int:
        """Lower part."""
        ...


class FrameTime(NamedTuple):
    """When a frame was."""

    media_s: float  # position in the source; strictly increasing
    captured_s: float | None  # monotonic clock at capture; None for recordings


def seconds(ticks: int, time_base: Rational) -> float:
    """Return `ticks` of `time_base` in seconds."""
    return ticks * time_base.numerator / time_base.denominator


class RecordingClock:
    """Media times of a recording: seconds from the stream's declared start, the same every time it is read.

    A pts that repeats or goes back (joined files, wrapped counters) continues one frame after the last.
    """

    def __init__(self, time_base: Rational, start_pts: int | None, average_rate: Rational | None) -> None:
        self._time_base, self._start = time_base, start_pts
        self._frame_s = average_rate.denominator / average_rate.numerator if average_rate else 0.04
        self._offset_s = 0.0
        self._last_s = -math.inf

    def at(self, pts: int | None) -> FrameTime:
        """Return the time of the frame with `pts`, called for every frame in order."""
        if pts is None:
            media_s = max(0.0, self._last_s + self._frame_s)
        else:
            if self._start is None:
                self._start = pts
            media_s = seconds(pts - self._start, self._time_base) + self._offset_s
            if media_s <= self._last_s:
                self._offset_s += self._last_s + self._frame_s - media_s
                media_s = self._last_s + self._frame_s
        self._last_s = media_s
        return FrameTime(media_s, None)


class LiveClock:
    """Media and capture times of one connection to a camera.

    Media time counts from `run_started_s` (monotonic clock), also over reconnections. Capture time is the pts on the
    line through the earliest arrivals, so that a frame which waited in a buffer shows its age; the line may rise by 0.5
    ms a second, for clocks that drift.
    """

    def __init__(self, time_base: Rational, run_started_s: float, last_media_s: float) -> None:
        self._time_base = time_base
        self._run_started_s = run_started_s
        self._last_media_s = last_media_s
        self._line_s: float | None = None  # monotonic clock at pts 0, as the earliest arrivals say
        self._media_line_s = 0.0  # media time at pts 0
        self._last_pts_s = self._last_arrival_s = 0.0

    def at(self, pts: int | None, arrival_s: float) -> FrameTime:
        """Return the time of the frame with `pts` that came out of the decoder at `arrival_s` (monotonic)."""
        pts_s = seconds(pts, self._time_base) if pts is not None else None
        if pts_s is None:  # the first frame of some cameras
            pts_s = self._last_pts_s + (arrival_s - self._last_arrival_s) if self._line_s is not None else None
            if pts_s is None:
                return self._frame_at(arrival_s, arrival_s - self._run_started_s)
        elapsed_s = arrival_s - self._last_arrival_s
        moved_s = pts_s - self._last_pts_s
        if self._line_s is None or moved_s < -0.5 or moved_s > elapsed_s + JUMP_S:
            self._line_s = arrival_s - pts_s
            self._media_line_s = self._line_s - self._run_started_s
        else:
            self._line_s = min(arrival_s - pts_s, self._line_s + 0.0005 * elapsed_s)
        self._last_pts_s, self._last_arrival_s = pts_s, arrival_s
        return self._frame_at(self._line_s + pts_s, self._media_line_s + pts_s)

    def _frame_at(self, captured_s: float, media_s: float) -> FrameTime:
        self._last_media_s = max(media_s, self._last_media_s + 0.001)
        return FrameTime(self._last_media_s, captured_s)


class FramePicker:
    """Choose the frames nearest to a grid of `target_fps`, by media time alone: the same frames every time."""

    def __init__(self, target_fps: float | None) -> None:
        self._step_s = 1.0 / target_fps if target_fps is not None else None
        self._due_s: float | None = None
        self._last_s: float | None = None
        self._frame_s = 0.0  # between frames, smoothed

    def choose(self, media_s: float) -> bool:
        """Return whether to look at the frame at `media_s`; called for every frame in order."""
        if self._step_s is None:
            return True
        if self._due_s is None or self._last_s is None:
            self._due_s = self._last_s = media_s
        elif self._frame_s == 0.0:
            self._frame_s = media_s - self._last_s
        else:
            self._frame_s += 0.1 * (min(media_s - self._last_s, 4 * self._frame_s) - self._frame_s)
        self._last_s = media_s
        # A frame within half a frame before the due time is nearer to it than the next one will be.
        slack_s = min(self._frame_s, self._step_s) / 2
        if media_s < self._due_s - max(slack_s, 1e-3):
            return False
        behind = max(0, math.floor((media_s + slack_s - self._due_s) / self._step_s))
        self._due_s += (behind + 1) * self._step_s
        return True
