"""Group the frames of all sources into batches of one canvas."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoiclip.types import Canvas
from stream.ingest.source_state import FrameMeta, SourceMessage, Waiting
from stream.ingest.supervisor import SourceSupervisor

__all__ = ["Batch", "FrameBatcher", "FrameMeta"]


@dataclass(frozen=True)
class Batch:
    """Frames for one run of the engine."""

    canvas: Canvas
    frames: NDArray[np.uint8]  # [B, H, W, 3] RGB, contiguous, the caller's own; B is 1 to max_batch
    meta: list[FrameMeta]  # B of them, in the order of `frames`; those of one source in its order

    @property
    def to_look_at(self) -> NDArray[np.uint8]:
        """The frames that are not still, uint8 [L, H, W, 3], contiguous; L may be 0."""
        looked = [index for index, meta in enumerate(self.meta) if not meta.still]
        return self.frames if len(looked) == len(self.meta) else self.frames[looked]


class FrameBatcher:
    """Take frames from a supervisor: a batch is full, or its oldest frame has waited `max_wait_s`.

    Sources take turns, so none starves. Frames wait in their rings while the engine is busy: when a ring is full, the
    decoder of a recording waits, and a camera loses its oldest frame ("overwritten"). Camera frames older than the
    source's staleness budget are dropped as well ("stale").

    Use::

        for item in FrameBatcher(supervisor, max_batch=8, max_wait_s=0.03).run(stop):
            ...  # a Batch, or a SourceMessage: in order for each source, its last message after its last frame
    """

    def __init__(self, supervisor: SourceSupervisor, max_batch: int, max_wait_s: float) -> None:
        if max_batch < 1 or max_wait_s < 0:
            raise ValueError(f"max_batch must be at least 1 and max_wait_s not negative: {max_batch}, {max_wait_s}")
        self._supervisor, self._max_batch, self._max_wait_s = supervisor, max_batch, max_wait_s
        self._turn = 0

    def __iter__(self) -> Iterator[Batch | SourceMessage]:
        return self.run(threading.Event())

    def run(self, stop: threading.Event) -> Iterator[Batch | SourceMessage]:
        """Yield batches and messages until every source has said its last word or `stop` is set."""
        while not stop.is_set():
            item = self.collect(timeout_s=0.1)
            if item is not None:
                yield item
            elif self.finished:
                return

    @property
    def finished(self) -> bool:
        """Whether no source can bring anything more; sources that are added later change that."""
        return self._supervisor.finished()

    def collect(self, timeout_s: float) -> Batch | SourceMessage | None:
        """Return the next batch or message; None when there was none within `timeout_s`.

        Raises what ended the supervisor, if anything did.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            changes = self._supervisor.changes
            self._supervisor.raise_error()
            if (message := self._supervisor.next_message()) is not None:
                return message
            groups = self._groups()
            due_s = {canvas: self._due_s(group) for canvas, group in groups.items()}
            canvas = min(due_s, key=lambda canvas: due_s[canvas], default=None)
            now_s = time.monotonic()
            if canvas is not None and due_s[canvas] <= now_s:
                frames, meta = self._supervisor.take(canvas, self._in_turn(groups[canvas]), self._max_batch)
                if meta:
                    return Batch(canvas, frames, meta)
            elif now_s >= deadline_s:
                return None
            else:
                self._supervisor.wait(changes, min([deadline_s, *due_s.values()]))

    def _groups(self) -> dict[Canvas, list[Waiting]]:
        groups: dict[Canvas, list[Waiting]] = {}
        for waiting in self._supervisor.waiting():
            groups.setdefault(waiting.canvas, []).append(waiting)
        return groups

    def _due_s(self, group: list[Waiting]) -> float:
        """Return when a batch of these sources' first frames must go; in the past when it is full."""
        if sum(waiting.num_frames for waiting in group) >= self._max_batch or any(w.held_up for w in group):
            return 0.0
        return min(waiting.since_s for waiting in group) + self._max_wait_s

    def _in_turn(self, group: list[Waiting]) -> list[str]:
        """Return the sources of a batch; another one is first each time."""
        first = self._turn % len(group)
        self._turn += 1
        return [waiting.source_id for waiting in group[first:] + group[:first]]
