"""How far a batch job is: the part of all that is done, frames a second, time left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from stream.recordings.job_types import Progress, VideoResult
from stream.recordings.media import Video

WINDOW_S = 10.0  # over which frames a second are counted


class Bar(NamedTuple):
    """One line of what is under way."""

    label: str
    part: float | None  # done, 0 to 1; None where that is not known
    note: str


class JobMeter:
    """Adds up what a job tells; a video counts by the bytes of its file."""

    def __init__(self, videos: Sequence[Video], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._bytes = {video.name: max(1, video.path.stat().st_size if video.path.exists() else 0) for video in videos}
        self._under_way: dict[str, Progress] = {}  # by name, in the order in which they began
        self._frames: dict[str, int] = {}  # of videos that were watched, by name
        self._first: dict[str, float] = {}  # what was done of a video when it was first heard of
        self._over: set[str] = set()
        self._watched: set[str] = set()  # over, by this job
        self._began_s: float | None = None
        self._counted: deque[tuple[float, int]] = deque()  # when, and frames until then

    @property
    def num_done(self) -> int:
        """Videos that are over."""
        return len(self._over)

    def note(self, step: Progress) -> None:
        """Take in how far a video is."""
        now_s, name = self._clock(), step.video.name
        self._under_way[name] = step
        if step.stage != "reading":
            self._began_s = now_s if self._began_s is None else self._began_s
            self._first.setdefault(name, _part(step))
            self._frames[name] = step.frames
        self._count(now_s)

    def over(self, result: VideoResult) -> None:
        """Take in how a video ended."""
        name = result.video.name
        self._under_way.pop(name, None)
        self._over.add(name)
        if name in self._first:
            self._watched.add(name)

    def _count(self, now_s: float) -> None:
        if not self._counted or now_s - self._counted[-1][0] >= WINDOW_S / 20:
            self._counted.append((now_s, sum(self._frames.values())))
        while len(self._counted) > 2 and self._counted[1][0] <= now_s - WINDOW_S:
            self._counted.popleft()

    @property
    def frames_a_second(self) -> float | None:
        """Frames looked at a second, in the last ten; None at the beginning."""
        if len(self._counted) < 2:
            return None
        (from_s, before), (to_s, after) = self._counted[0], self._counted[-1]
        return (after - before) / (to_s - from_s) if to_s > from_s else None

    @property
    def part(self) -> float:
        """The part of all videos' bytes that is done, 0 to 1."""
        done: float = sum(self._bytes[name] for name in self._over)
        done += sum(self._bytes[name] * _part(step) for name, step in self._under_way.items())
        return min(1.0, done / sum(self._bytes.values()))

    @property
    def left_s(self) -> float | None:
        """Seconds until all is done, at the speed so far; None while nothing is known."""
        if self._began_s is None:
            return None
        worked: float = sum(self._bytes[name] * (1 - self._first[name]) for name in self._watched)
        for name, step in self._under_way.items():
            if name in self._first:
                worked += self._bytes[name] * (_part(step) - self._first[name])
        elapsed_s = self._clock() - self._began_s
        left = (1 - self.part) * sum(self._bytes.values())
        return left * elapsed_s / worked if worked > 0 and elapsed_s > 0 else None

    def bars(self) -> list[Bar]:
        """Return a bar for each video under way."""
        return [_bar(step) for step in self._under_way.values()]

    def whole(self) -> Bar:
        """Return the bar of the whole job."""
        rate, left_s = self.frames_a_second, self.left_s
        notes = [f"{rate:.1f} frames/s"] if rate is not None else []
        notes += [f"{_clock_text(left_s)} left"] if left_s is not None else []
        return Bar(f"{self.num_done} of {len(self._bytes)} videos", self.part, ", ".join(notes))


def _part(step: Progress) -> float:
    if step.stage == "reading":
        return 0.0
    if step.stage == "drawing":
        return 1.0
    return min(1.0, step.done / step.total) if step.total else 0.0


def _bar(step: Progress) -> Bar:
    name = step.video.path.name
    part = min(1.0, step.done / step.total) if step.total else None
    if step.stage == "reading":
        return Bar(f"{name}: reading", part, f"{step.done / 2**20:.0f} MiB")
    return Bar(f"{name}: drawing" if step.stage == "drawing" else name, part, _clock_text(step.done))


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
