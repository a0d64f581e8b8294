"""Start a decoder process per source, watch it, restart it, and queue what it sends; one dead camera touches no other.

One thread reads the messages of all decoders. Frames stay in their rings; `stream.ingest.batcher` takes them.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import selectors
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import IO, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from hoiclip.errors import HoistreamError, InputError
from hoiclip.types import Canvas
from stream.decode.sources import SourceSettings
from stream.decode.wire import WireError
from stream.ingest.coverage import Coverage, Moment
from stream.ingest.decoder_process import DecoderProcess
from stream.ingest.source_state import (
    FrameMeta,
    ReadyFrame,
    RecordingPosition,
    SourceMessage,
    SourceState,
    SourceStatus,
    StartDecoder,
    Waiting,
)

__all__ = ["FrameMeta", "SourceMessage", "SourceStatus", "SourceSupervisor", "Waiting"]
logger = logging.getLogger(__name__)

SILENCE_S = 10.0  # a decoder that gives no sign of life for so long is killed
EXIT_S = 1.0  # a decoder that has closed its pipe is gone after so long, or killed


class _Watched(NamedTuple):
    """What a file descriptor of the selector belongs to."""

    state: SourceState
    process: DecoderProcess
    pipe: IO[bytes]


class _Exit(NamedTuple):
    """A process that was told to go, and what it means for its source."""

    process: DecoderProcess
    state: SourceState | None  # None: its source has nothing more to do with it
    reason: str
    how: str | None  # why it had to go; None: as it ended
    deadline_s: float  # monotonic


class SourceSupervisor:
    """Run the decoders of `sources`; a context manager.

    `add` and `remove` work at any time, from any thread; an id is free again once its "removed" message was taken.
    Read frames and messages through a `FrameBatcher`. Leaving the context (or `stop`) ends every process in under three
    seconds. Raises HoistreamError when this process has no file descriptor left to begin with.
    """

    def __init__(self, sources: Sequence[SourceSettings] = (), *, start_decoder: StartDecoder = DecoderProcess) -> None:
        self._changed = threading.Condition()  # guards every state; notified when something may be taken
        self._changes = 0
        self._states: dict[str, SourceState] = {}
        self._exits: list[_Exit] = []
        self._start_decoder = start_decoder
        self._started_s = time.monotonic()
        self._stopping = False
        self._error: BaseException | None = None
        try:
            self._selector = selectors.DefaultSelector()
            try:
                self._wake_r, self._wake_w = os.pipe()
            except OSError:
                self._selector.close()
                raise
        except OSError as error:
            advice = "; raise `ulimit -n`" if error.errno in (errno.EMFILE, errno.ENFILE) else ""
            raise HoistreamError(f"sources cannot be watched: {error.strerror}{advice}") from error
        os.set_blocking(self._wake_r, False)
        os.set_blocking(self._wake_w, False)
        self._selector.register(self._wake_r, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._watch, name="sources", daemon=True)
        self._thread.start()
        try:
            for settings in sources:
                self.add(settings)
        except BaseException:
            self.stop()
            raise

    # What callers use.

    def add(self, settings: SourceSettings, resume: RecordingPosition | None = None) -> None:
        """Start a source; with `resume` a recording goes on where an earlier run was.

        Raises InputError when its id is in use.
        """
        with self._changed:
            if settings.id in self._states:
                raise InputError(f"source id {settings.id!r} is in use; remove that source first or take another id")
            self._states[settings.id] = SourceState(settings, self._started_s, resume)
            self._notify()
        self._wake()

    def remove(self, source_id: str) -> Coverage:
        """End a source; its waiting frames count as dropped ("stopped"). Returns its account; KeyError if unknown."""
        with self._changed:
            state = self._states[source_id]
            self._retire(state, None, "", None)
            state.drop_all("stopped")
            state.restart_at_s = None
            now_s = time.monotonic()
            end = Moment(0.0, time.time(), now_s)
            gap = None if state.over else state.account.end("removed", "the source was removed", end)
            state.post("removed", gap=gap)
            self._notify()
            return state.coverage(now_s)

    def coverage(self) -> dict[str, Coverage]:
        """Return the account of every source, by id."""
        with self._changed:
            now_s = time.monotonic()
            return {name: state.coverage(now_s) for name, state in self._states.items()}

    def close_accounts(self) -> list[SourceMessage]:
        """Return a "gap" message for every blind stretch that is still open, such as of a dead camera at the end."""
        with self._changed:
            end = Moment(0.0, time.time(), time.monotonic())
            found = []
            for name, state in self._states.items():
                gap = None if state.over else state.account.end("stopped", "the run was stopped", end)
                if gap is not None:
                    found.append(SourceMessage(name, "gap", time.time(), gap.reason, gap.why, gap))
            return found

    def status(self) -> dict[str, SourceStatus]:
        """Return what every source is at this moment, by id."""
        with self._changed:
            now_s = time.monotonic()
            return {name: state.status(now_s) for name, state in self._states.items()}

    def connected(self) -> dict[str, bool]:
        """Return whether frames are coming, for every source that has not ended."""
        with self._changed:
            now_s = time.monotonic()
            return {name: state.status(now_s).up for name, state in self._states.items() if not state.over}

    def pids(self) -> dict[str, int]:
        """Return the process ids of the decoders that run, by source."""
        with self._changed:
            return {name: state.process.pid for name, state in self._states.items() if state.process is not None}

    @property
    def healthy(self) -> bool:
        """Whether the thread that watches the decoders works."""
        return self._error is None and self._thread.is_alive()

    def raise_error(self) -> None:
        """Raise what ended the supervisor's own thread, if anything did."""
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End every decoder and the thread; safe to call twice."""
        with self._changed:
            self._stopping = True
            self._notify()
        self._wake()
        self._thread.join()
        with self._changed:
            processes = [state.process for state in self._states.values() if state.process is not None]
            processes += [going.process for going in self._exits]
            for process in processes:
                process.ask_to_end()
            deadline_s = time.monotonic() + EXIT_S
            for process in processes:
                process.end(max(0.0, deadline_s - time.monotonic()))
            self._exits.clear()
            for state in self._states.values():
                state.process = None
                state.drop_all("stopped")
                state.close()
            if self._wake_w >= 0:
                self._selector.close()
                os.close(self._wake_r)
                os.close(self._wake_w)
                self._wake_w = -1
            self._notify()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # What a batcher uses.

    @property
    def changes(self) -> int:
        """Counts what happened; to be read before looking, for `wait`."""
        return self._changes

    def wait(self, changes: int, until_s: float) -> None:
        """Return when something has happened since `changes` was read, or at `until_s` (monotonic)."""
        with self._changed:
            self._changed.wait_for(lambda: self._changes != changes, max(0.0, until_s - time.monotonic()))

    def finished(self) -> bool:
        """Return whether no source can bring anything more; sources that are added later change that."""
        with self._changed:
            return all(state.over and not state.pending for state in self._states.values())

    def next_message(self) -> SourceMessage | None:
        """Take the next message that stands before its source's frames; those that have become stale are dropped.

        With a "removed" message the source is gone.
        """
        with self._changed:
            now_s = time.monotonic()
            for name, state in self._states.items():
                message = state.next_message(now_s)
                if message is not None:
                    if message.kind == "removed":
                        del self._states[name]
                        state.close()
                    return message
            return None

    def waiting(self) -> list[Waiting]:
        """Return the frames that could be taken, for every source that has some, always in the same order."""
        with self._changed:
            return [waiting for state in self._states.values() if (waiting := state.waiting()) is not None]

    def take(
        self, canvas: Canvas, source_ids: Sequence[str], max_frames: int
    ) -> tuple[NDArray[np.uint8], list[FrameMeta]]:
        """Take up to `max_frames` frames of `canvas` from sources in turn, and free their slots.

        Returns copies uint8 [B, H, W, 3] (RGB, contiguous) and what is known about each; none at all when a message
        comes before the frames of every source.
        """
        with self._changed:
            taking = [self._states[name] for name in source_ids if name in self._states]
            chosen: list[tuple[SourceState, ReadyFrame]] = []
            while taking and len(chosen) < max_frames:
                for state in list(taking):
                    if len(chosen) == max_frames:
                        break
                    frame = state.next_frame(canvas)
                    if frame is None:
                        taking.remove(state)
                    else:
                        chosen.append((state, frame))
            pictures = np.empty((len(chosen), canvas.height, canvas.width, 3), np.uint8)
            slots: dict[SourceState, list[int]] = {}
            meta: list[FrameMeta] = []
            for picture, (state, frame) in zip(pictures, chosen, strict=True):
                assert state.ring is not None
                picture[:] = state.ring.frame(frame.slot, canvas)
                meta.append(state.deliver(frame, picture))
                slots.setdefault(state, []).append(frame.slot)
            for state, freed in slots.items():
                state.release(freed)
            return pictures, meta

    def _notify(self) -> None:
        self._changes += 1
        self._changed.notify_all()

    # The thread that watches.

    def _wake(self) -> None:
        if self._wake_w >= 0:
            with contextlib.suppress(BlockingIOError):  # it has not come to read the many before: it will wake
                os.write(self._wake_w, b"x")

    def _watch(self) -> None:
        try:
            while not self._stopping:
                ready = self._selector.select(timeout=0.02 if self._exits else 0.1)
                with self._changed:
                    for key, _ in ready:
                        if key.data is None:
                            os.read(self._wake_r, 4096)
                        else:
                            self._read(key.data)
                    self._look_after(time.monotonic())
        except BaseException as error:
            logger.exception("the thread that watches the sources died")
            with self._changed:
                self._error = error
                self._notify()

    def _look_after(self, now_s: float) -> None:
        """Do what is due: starts, decoders that are silent or gone, cameras that are blind."""
        self._collect_exits(now_s)
        for state in self._states.values():
            if state.process is None and state.restart_at_s is not None and now_s >= state.restart_at_s:
                self._start(state, now_s)
            elif state.process is not None and now_s - state.last_sign_s > SILENCE_S:
                self._retire(state, state, "crashed", f"no sign of life for {SILENCE_S:g} s")
            if state.check_blind(now_s):
                self._notify()

    def _start(self, state: SourceState, now_s: float) -> None:
        process = state.start(now_s, self._start_decoder)
        if process is not None:
            try:
                for pipe in (process.messages, process.errors):
                    self._selector.register(pipe, selectors.EVENT_READ, _Watched(state, process, pipe))
            except OSError as error:
                self._retire(state, None, "", None)
                state.not_started(error, now_s)
        self._notify()

    def _retire(self, state: SourceState, bereaved: SourceState | None, reason: str, how: str | None) -> None:
        """Kill the process of a source, if it has one, and stop listening; `bereaved` hears when it is gone."""
        process, state.process = state.process, None
        if process is not None:
            process.kill()
            self._let_go(process, bereaved, reason, how)

    def _let_go(self, process: DecoderProcess, state: SourceState | None, reason: str, how: str | None) -> None:
        process.ask_to_end()
        for pipe in (process.messages, process.errors):
            if pipe in self._selector.get_map():
                self._selector.unregister(pipe)
        self._exits.append(_Exit(process, state, reason, how, time.monotonic() + EXIT_S))

    def _collect_exits(self, now_s: float) -> None:
        """See which processes are gone, without waiting for any."""
        going, self._exits = self._exits, []
        for leaving in going:
            how = leaving.process.how_it_ended()
            if how is None:
                if now_s >= leaving.deadline_s:
                    leaving.process.kill()
                self._exits.append(leaving)
            elif leaving.state is not None and self._states.get(leaving.state.settings.id) is leaving.state:
                leaving.state.died(now_s, leaving.reason, leaving.how or how)
                self._notify()

    def _read(self, watched: _Watched) -> None:
        state, process, pipe = watched
        if state.process is not process:  # removed while this was ready
            return
        if pipe is process.errors:
            if not process.read_errors():
                self._selector.unregister(process.errors)
            return
        messages = process.read()
        if messages is None:  # it goes, or is gone
            state.process = None
            self._let_go(process, state, "crashed", None)
            return
        now_s = state.last_sign_s = time.monotonic()
        try:
            for message in messages:
                state.receive(message, now_s)
                if state.over:  # the process has nothing left to say
                    self._retire(state, None, "", None)
                    break
        except WireError as error:
            self._retire(state, state, "misbehaved", f"it sent {error}")
        self._notify()
