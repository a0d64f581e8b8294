"""Group the frames of all sources into batches of one canvas."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoiclip.types import Canvas
from stream.ingest.source_state import FrameMeta, ReadyFrame, SourceMessage, SourceState
from stream.ingest.supervisor import SourceSupervisor

__all__ = ["Batch", "FrameBatcher", "FrameMeta"]


@dataclass(frozen=True)
class Batch:
    """Frames for one run of the engine."""

    canvas: Canvas
    frames: NDArray[np.uint8]  # [B, H, W, 3] RGB, contiguous, the caller's own; B is 1 to max_batch
    meta: list[FrameMeta]  # B of them, in the order of `frames`; those of one source in its order


class FrameBatcher:
    """Take frames from a supervisor: a batch is full, or its oldest frame has waited `max_wait_s`.

    Sources take turns, so none starves. Frames wait in their rings while the engine is busy: when a ring is full, the
    decoder of a recording waits, and a camera loses its oldest frame ("overwritten"). Camera frames older than the
    source's staleness budget are dropped here ("stale").

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
        with self._supervisor.changed:
            return all(state.over and not state.pending for state in self._supervisor.states.values())

    def collect(self, timeout_s: float) -> Batch | SourceMessage | None:
        """Return the next batch or message; None when there was none within `timeout_s`.

        Raises what ended the supervisor, if anything did.
        """
        deadline = time.monotonic() + timeout_s
        with self._supervisor.changed:
            while True:
                self._supervisor.raise_error()
                if (message := self._message()) is not None:
                    return message
                ready = self._ready()
                now = time.monotonic()
                due = {canvas: self._due_s(states) for canvas, states in ready.items()}
                canvas = min(due, key=lambda canvas: due[canvas], default=None)
                if canvas is not None and due[canvas] <= now:
                    return self._take(canvas, ready[canvas])
                if now >= deadline:
                    return None
                self._supervisor.changed.wait(min([deadline, *due.values()]) - now)

    def _message(self) -> SourceMessage | None:
        """Take the next message at the head of a source; drop the frames that have become stale."""
        now = time.monotonic()
        for state in list(self._supervisor.states.values()):
            budget_s = state.settings.staleness_s
            while state.pending:
                head = state.pending[0]
                if isinstance(head, SourceMessage):
                    state.pending.popleft()
                    self._pass_on(state, head)
                    return head
                if head.captured_s is None or now - head.captured_s <= budget_s:
                    break
                state.drop_oldest("stale")
        return None

    def _pass_on(self, state: SourceState, message: SourceMessage) -> None:
        """Do what belongs to this place among the source's frames."""
        if message.kind == "lost":
            state.coverage.blind(message.reason, message.detail, message.wall_s)
        elif message.kind == "removed":
            del self._supervisor.states[message.source_id]
            state.ring.close()

    def _ready(self) -> dict[Canvas, list[SourceState]]:
        ready: dict[Canvas, list[SourceState]] = {}
        for state in self._supervisor.states.values():
            if state.pending and isinstance(head := state.pending[0], ReadyFrame):
                ready.setdefault(head.canvas, []).append(state)
        return ready

    def _due_s(self, states: list[SourceState]) -> float:
        """Return when a batch of these sources' first frames must go; in the past when it is full."""
        if sum(state.num_ready for state in states) >= self._max_batch:
            return 0.0
        if any(not state.settings.live and state.num_ready >= state.settings.slots - 2 for state in states):
            return 0.0  # the decoder is about to wait: more frames will not come
        return min(_head(state).arrived_s for state in states) + self._max_wait_s

    def _take(self, canvas: Canvas, states: list[SourceState]) -> Batch | SourceMessage | None:
        """Copy up to `max_batch` frames out of the rings, sources in turn; a message, if one comes before them all."""
        first = self._turn % len(states)
        self._turn += 1
        taking = states[first:] + states[:first]
        chosen: list[tuple[SourceState, ReadyFrame]] = []
        while taking and len(chosen) < self._max_batch:
            for state in list(taking):
                if not _next_is_frame(state, canvas):
                    taking.remove(state)
                elif len(chosen) < self._max_batch:
                    chosen.append((state, state.pop_frame()))
        if not chosen:
            return self._message()
        frames = np.empty((len(chosen), canvas.height, canvas.width, 3), np.uint8)
        for row, (state, frame) in zip(frames, chosen, strict=True):
            row[:] = state.ring.frame(frame.meta.slot, canvas)
            state.coverage.delivered += 1
        for taken in states:
            taken.free(frame for state, frame in chosen if state is taken)
        return Batch(canvas, frames, [frame.meta for _, frame in chosen])


def _head(state: SourceState) -> ReadyFrame:
    head = state.pending[0]
    assert isinstance(head, ReadyFrame)
    return head


def _next_is_frame(state: SourceState, canvas: Canvas) -> bool:
    """Return whether a frame of `canvas` comes next; if it ends a blind stretch, that message comes before it."""
    frame = state.pending[0] if state.pending else None
    if not isinstance(frame, ReadyFrame) or frame.canvas != canvas:
        return False
    if not frame.accounted:
        frame.accounted = True
        meta = frame.meta
        gap = state.coverage.gap_before(meta.pts_s, meta.capture_wall_s, meta.corrupt, frame.errors)
        if gap is not None:
            state.pending.appendleft(SourceMessage(meta.source_id, "gap", time.time(), gap.reason, gap.why, gap))
            return False
    return True
