"""Start a decoder process per source, watch it, restart it, and queue what it sends; one dead camera touches no other.

One thread reads the messages of all decoders. Frames stay in their rings; `stream.ingest.batcher` takes them.
"""

from __future__ import annotations

import logging
import os
import selectors
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from hoiclip.errors import InputError
from hoiclip.types import Canvas
from stream.backoff import Backoff
from stream.decode.ring import Ring
from stream.decode.sources import SourceSettings
from stream.ingest.coverage import Coverage, CoverageAccount
from stream.ingest.decoder_process import DecoderProcess
from stream.ingest.source_state import FINAL_KINDS, FrameMeta, MessageKind, ReadyFrame, SourceMessage, SourceState
from stream.redaction import redact

__all__ = ["FrameMeta", "SourceMessage", "SourceSupervisor"]
logger = logging.getLogger(__name__)

SILENCE_S = 10.0  # a decoder says that it lives four times a second; after this long without, it is killed
MAX_CRASHES = 3  # of a recording's decoder at the same frame


class SourceSupervisor:
    """Run the decoders of `sources`; a context manager.

    `add` and `remove` work at any time, from any thread; an id is free again once the batcher has yielded its "removed"
    message. Read frames and messages through a `FrameBatcher`. Leaving the
    context (or `stop`) ends every process in under three seconds.
    """

    def __init__(self, sources: Sequence[SourceSettings] = ()) -> None:
        self.changed = threading.Condition()  # guards every state; notified when something may be taken
        self.states: dict[str, SourceState] = {}
        self._started_s = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_r, False)
        self._selector.register(self._wake_r, selectors.EVENT_READ, None)
        self._stopping = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._watch, name="sources", daemon=True)
        self._thread.start()
        try:
            for settings in sources:
                self.add(settings)
        except BaseException:
            self.stop()
            raise

    # What callers use.

    def add(self, settings: SourceSettings) -> None:
        """Start a source. Raises InputError when its id is in use."""
        with self.changed:
            if settings.id in self.states:
                raise InputError(f"source id {settings.id!r} is in use; remove that source first or take another id")
            gap_s = max(settings.gap_s, 2.5 / settings.target_fps if settings.target_fps else 0.0)
            self.states[settings.id] = SourceState(
                settings,
                Ring(settings.slots, settings.slot_bytes),
                CoverageAccount(settings.live, gap_s),
                Backoff(settings.backoff_initial_s, settings.backoff_max_s),
                restart_at_s=0.0,
            )
        self._wake()

    def remove(self, source_id: str) -> Coverage:
        """End a source; its waiting frames count as dropped ("stopped"). Returns its account; KeyError if unknown."""
        with self.changed:
            state = self.states[source_id]
            process, state.process = state.process, None
            self._forget(process)
            while state.num_ready:
                state.drop_oldest("stopped")
            state.restart_at_s = None
            gap = None if state.over else state.coverage.end("removed", "the source was removed")
            self._post(state, "removed", gap=gap)
            coverage = state.coverage.snapshot(0)
            self.changed.notify_all()
        if process is not None:
            process.end(1.0)
        return coverage

    def coverage(self) -> dict[str, Coverage]:
        """Return the account of every source, by id."""
        with self.changed:
            return {name: state.coverage.snapshot(state.num_ready) for name, state in self.states.items()}

    def close_accounts(self) -> list[SourceMessage]:
        """Return a "gap" message for every blind stretch that is still open, such as of a dead camera at the end."""
        with self.changed:
            found = []
            for name, state in self.states.items():
                gap = None if state.over else state.coverage.end("stopped", "the run was stopped")
                if gap is not None:
                    found.append(SourceMessage(name, "gap", time.time(), gap.reason, gap.why, gap))
            return found

    def connected(self) -> dict[str, bool]:
        """Return whether frames are coming, for every source that has not ended."""
        with self.changed:
            return {name: state.connected for name, state in self.states.items() if not state.over}

    def pids(self) -> dict[str, int]:
        """Return the process ids of the decoders that run, by source."""
        with self.changed:
            return {name: state.process.pid for name, state in self.states.items() if state.process is not None}

    def stop(self) -> None:
        """End every decoder and the thread; safe to call twice."""
        with self.changed:
            self._stopping = True
            self.changed.notify_all()
        self._wake()
        self._thread.join()
        processes = [state.process for state in self.states.values() if state.process is not None]
        for process in processes:
            process.ask_to_end()
        deadline = time.monotonic() + 1.0
        for process in processes:
            process.end(max(0.0, deadline - time.monotonic()))
        for state in self.states.values():
            state.process = None
            while state.num_ready:
                state.drop_oldest("stopped")
            state.ring.close()
        if self._wake_w >= 0:
            self._selector.close()
            os.close(self._wake_r)
            os.close(self._wake_w)
            self._wake_w = -1

    def raise_error(self) -> None:
        """Raise what ended the supervisor's own thread, if anything did."""
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # The thread that watches.

    def _wake(self) -> None:
        if self._wake_w >= 0:
            os.write(self._wake_w, b"x")

    def _watch(self) -> None:
        try:
            while not self._stopping:
                ready = self._selector.select(timeout=0.1)
                with self.changed:
                    for key, _ in ready:
                        if key.data is None:
                            os.read(self._wake_r, 4096)
                        else:
                            self._read(*key.data)
                    self._timers(time.monotonic())
        except BaseException as error:
            with self.changed:
                self._error = error
                self.changed.notify_all()

    def _timers(self, now: float) -> None:
        for state in self.states.values():
            if state.restart_at_s is not None and now >= state.restart_at_s:
                self._start(state, now)
            elif state.process is not None and now - state.last_sign_s > SILENCE_S:
                state.cause = f"no sign of life for {SILENCE_S:g} s"
                state.last_sign_s = now
                state.process.kill()  # its pipe closes, then it is restarted

    def _start(self, state: SourceState, now: float) -> None:
        job = {
            "run_started_s": self._started_s,
            "resume_after": state.received,
            "epoch": state.epoch,
            "last_media_s": state.last_media_s if state.settings.live else 0.0,
            "busy_slots": state.busy_slots,
        }
        try:
            state.process = DecoderProcess(state.settings, state.ring, job)
        except OSError as error:  # no process, memory or file descriptor left
            self._again(state, f"cannot be started: {error.strerror}")
            return
        state.restart_at_s, state.last_sign_s, state.cause = None, now, None
        self._selector.register(state.process.messages, selectors.EVENT_READ, (state, state.process, "messages"))
        self._selector.register(state.process.errors, selectors.EVENT_READ, (state, state.process, "errors"))

    def _forget(self, process: DecoderProcess | None) -> None:
        """Stop reading from a process; under the lock."""
        if process is not None:
            for pipe in (process.messages, process.errors):
                if pipe in self._selector.get_map():
                    self._selector.unregister(pipe)

    def _read(self, state: SourceState, process: DecoderProcess, pipe: str) -> None:
        if state.process is not process:  # removed while this was ready
            return
        if pipe == "errors":
            if not process.read_errors():
                self._selector.unregister(process.errors)
            return
        messages = process.read()
        if messages is None:
            self._died(state, process)
            return
        state.last_sign_s = time.monotonic()
        for message in messages:
            self._receive(state, message)
            if state.over:  # the process has nothing left to say
                self._forget(process)
                state.process = None
                process.kill()
                process.end(1.0)
                break
        self.changed.notify_all()

    def _receive(self, state: SourceState, message: dict[str, Any]) -> None:
        kind = message["kind"]
        if "decoded" in message:
            counts = (message[key] for key in ("decoded", "skipped", "dropped", "errors"))
            state.coverage.decoder_counts(*counts)
        if kind == "frame":
            self._frame(state, message)
        elif kind == "opened":
            state.epoch, state.connected, state.lost_reason = message["epoch"], True, ""
            facts = {key: message[key] for key in ("epoch", "width", "height", "fps", "codec", "duration_s")}
            self._post(state, "opened", facts=facts)
        elif kind == "resumed":
            state.connected = True
            self._post(state, "resumed")
        elif kind == "lost":
            self._lost(state, message["reason"], redact(message["detail"]))
        elif kind == "ended":
            self._post(state, "ended", gap=state.coverage.end("corrupt", "", message["media_s"]))
        elif kind == "failed":
            reason, detail = message["reason"], f"{state.settings.display_url}: {redact(message['detail'])}"
            self._post(state, "failed", reason, detail, gap=state.coverage.end(reason, detail, state.last_media_s))

    def _frame(self, state: SourceState, message: dict[str, Any]) -> None:
        now, settings = time.monotonic(), state.settings
        captured_s = message["captured_s"]
        meta = FrameMeta(
            source_id=settings.id,
            frame_index=message["index"],
            pts_s=message["media_s"],
            capture_wall_s=None if captured_s is None else time.time() - (now - captured_s),
            width=message["width"],
            height=message["height"],
            corrupt=message["corrupt"],
            epoch=message["epoch"],
            slot=message["slot"],
        )
        state.pending.append(ReadyFrame(meta, Canvas(*message["canvas"]), captured_s, now, message["errors"]))
        state.num_ready += 1
        state.received += 1
        state.last_media_s = meta.pts_s
        state.backoff.reset()
        if settings.live and state.num_ready > settings.slots - 2:  # newest wins: always leave the decoder a slot
            state.drop_oldest("overwritten")

    def _lost(self, state: SourceState, reason: str, why: str) -> None:
        if not state.connected and reason == state.lost_reason:  # it tries again and again: say so once
            logger.debug("source %s: still lost, %s %s", state.settings.id, reason, why)
            return
        state.connected, state.lost_reason = False, reason
        self._post(state, "lost", reason, why)

    def _died(self, state: SourceState, process: DecoderProcess) -> None:
        self._forget(process)
        state.process = None
        how = state.cause or process.end(1.0)
        if state.cause:
            process.end(1.0)
        state.coverage.decoder_died()
        self._again(state, how)

    def _again(self, state: SourceState, how: str) -> None:
        """Start another decoder after a while; give a recording up when that does not help."""
        if not state.settings.live:
            state.crashes = state.crashes + 1 if state.received == state.received_at_crash else 1
            state.received_at_crash = state.received
            if state.crashes >= MAX_CRASHES:
                detail = f"{state.settings.display_url}: decoder died at {state.last_media_s:.1f} s ({how})"
                gap = state.coverage.end("crashed", detail, state.last_media_s)
                self._post(state, "failed", "crashed", detail, gap=gap)
                state.restart_at_s = None
                return
        else:
            self._lost(state, "crashed", f"the decoder died ({how})")
        self._post(state, "restarted", "crashed", f"decoder died ({how}), starting another")
        state.restart_at_s = time.monotonic() + state.backoff.next()

    def _post(self, state: SourceState, kind: MessageKind, reason: str = "", detail: str = "", **more: Any) -> None:
        state.pending.append(SourceMessage(state.settings.id, kind, time.time(), reason, detail, **more))
        if kind in FINAL_KINDS:
            state.over, state.connected = True, False
        level = logging.WARNING if kind in ("lost", "restarted", "failed") else logging.INFO
        logger.log(level, "source %s: %s %s %s", state.settings.id, kind, reason, detail)
        self.changed.notify_all()
