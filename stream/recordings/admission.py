"""How many recordings are read at once: as many as keep the engine full."""

from __future__ import annotations

import os
import threading
import time
from typing import Final

_FIRST: Final = 2  # while one begins or ends, another goes on
_LOOK_EVERY_S: Final = 1.0
_IDLE: Final = 0.1  # an engine that waits for frames for a larger part of the time could do more
_STOP_EVERY_S: Final = 0.1


class Admission:
    """Places for recordings under way; one thread enters, any leaves.

    With `jobs` there are so many. Without there are two at first and one more after each second in which the engine
    waited for frames for more than a tenth of it, up to one more than there are cores: each
    is decoded on one.
    """

    def __init__(self, jobs: int | None = None, cores: int | None = None) -> None:
        self._places = jobs or _FIRST
        self._most = jobs or max(_FIRST, 1 + (cores or usable_cores()))
        self._taken = 0
        self._changed = threading.Condition()
        self._looked_s = time.monotonic()
        self._waited_s = 0.0

    @property
    def places(self) -> int:
        """How many recordings may be under way now."""
        return self._places

    @property
    def most(self) -> int:
        """How many there may ever be."""
        return self._most

    def enter(self, *stops: threading.Event) -> bool:
        """Take a place, waiting for one; False once one of `stops` is set."""
        with self._changed:
            while not any(stop.is_set() for stop in stops):
                if self._taken < self._places:
                    self._taken += 1
                    return True
                self._changed.wait(_STOP_EVERY_S)
        return False

    def leave(self) -> None:
        """Free a place."""
        with self._changed:
            self._taken -= 1
            self._changed.notify()

    def note(self, waited_s: float) -> None:
        """Take in how long the engine has waited for frames so far, in seconds; called now and then."""
        now_s = time.monotonic()
        elapsed_s = now_s - self._looked_s
        if elapsed_s < _LOOK_EVERY_S:
            return
        is_idle = waited_s - self._waited_s > _IDLE * elapsed_s
        self._looked_s, self._waited_s = now_s, waited_s
        with self._changed:
            if is_idle and self._taken >= self._places < self._most:
                self._places += 1
                self._changed.notify()


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
