"""Cameras that are away, and when what was going on before them is over."""

from __future__ import annotations

import math
import time

from stream.ingest.source_state import FINAL_KINDS, SourceMessage
from stream.run.source_run import SourceRun

GRACE_S = 0.25  # a camera that is back within its gap has so long to get a frame through


class Absences:
    """Keeps, for each live source that is lost or blind, when its open interactions end.

    Nothing comes of a source that is away, so nothing moves its tracker: that a pair was not seen for `gap_s` is for
    the clock on the wall to say.
    """

    def __init__(self) -> None:
        self._due_s: dict[str, float] = {}  # monotonic; infinite once it was told

    def note(self, message: SourceMessage, run: SourceRun) -> None:
        """Take in what happened to a live source."""
        if message.kind in ("lost", "blind"):
            since_s = run.seen_at_s if run.seen_at_s is not None else time.monotonic()
            self._due_s.setdefault(run.source_id, since_s + run.tracker.settings.gap_s + GRACE_S)
        elif message.kind in ("opened", "resumed") or message.kind in FINAL_KINDS:
            self.back(run.source_id)

    def back(self, source_id: str) -> None:
        """The source shows something again, or is over."""
        self._due_s.pop(source_id, None)

    def over(self) -> list[str]:
        """Return the sources that have been away for too long by now, once each absence."""
        now_s = time.monotonic()
        found = [source_id for source_id, due_s in self._due_s.items() if due_s <= now_s]
        self._due_s |= dict.fromkeys(found, math.inf)
        return found
