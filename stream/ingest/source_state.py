"""One source as the pipeline sees it: its decoder's life, and the frames and messages that wait, in order."""

from __future__ import annotations

import errno
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hoiclip.types import Canvas
from stream.backoff import Backoff
from stream.decode import wire
from stream.decode.ring import Ring
from stream.decode.sources import SourceSettings
from stream.decode.wire import WireError
from stream.ingest.coverage import Coverage, CoverageAccount, CoverageGap, Moment, RecordingAccount
from stream.ingest.decoder_process import DecoderProcess
from stream.ingest.stillness import GateState, StillGate, View
from stream.redaction import redact

logger = logging.getLogger(__name__)

MessageKind = Literal[
    "connecting", "opened", "lost", "blind", "resumed", "restarted", "gap", "ended", "failed", "removed"
]
StateName = Literal["connecting", "up", "lost", "ended", "failed", "removed"]
FINAL_KINDS: Final = frozenset({"ended", "failed", "removed"})
_STATE_AFTER: Final[dict[MessageKind, StateName]] = {
    "connecting": "connecting",
    "opened": "up",
    "resumed": "up",
    "lost": "lost",
    "ended": "ended",
    "failed": "failed",
    "removed": "removed",
}

MAX_CRASHES: Final = 3  # of a recording's decoder at the same frame
SHORTAGE_S: Final = 60.0  # a recording waits so long for a process, memory or descriptors that the machine lacks
MAX_PENDING: Final = 10_000  # frames and messages of one source that nobody takes
SILENT_S: Final = 2.0  # a decoder says that it lives four times a second
_SHORTAGES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC})
_LATEST_MEDIA_S: Final = 1e9
_NO_COUNTS: Final = wire.Counts()

StartDecoder = Callable[[wire.Job, Ring], DecoderProcess]


@dataclass(frozen=True)
class SourceMessage:
    """Something that happened to a source, in order with its frames.

    connecting: a camera is being opened for the first time. opened: frames follow. lost: a live source is away and
    comes back by itself. blind: it was not seen for five seconds, and the open `gap` goes on. resumed: a silent one
    sends again. restarted: its decoder died. gap: a blind stretch is over (`gap`). ended, failed, removed: the last of
    its messages; these may carry a `gap` as well.
    """

    source_id: str
    kind: MessageKind
    wall_s: float
    reason: str = ""  # code: end_of_stream, stalled, refused, redirected, unsafe, invalid, crashed, ...
    detail: str = ""  # one line for people, without secrets
    gap: CoverageGap | None = None
    facts: dict[str, Any] = field(default_factory=dict)  # of "opened": width, height, fps, codec, duration_s, epoch
    state: StateName | None = None  # what the source is from here on, where that or its reason changes


class SourceStatus(NamedTuple):
    """What a source is at this moment."""

    state: StateName
    reason: str  # code of why it is not up, else empty
    detail: str  # the same for people
    since_wall_s: float
    responding: bool  # its decoder process gives signs of life, or none is needed

    @property
    def up(self) -> bool:
        """Whether frames are coming."""
        return self.state == "up" and self.responding

    @property
    def over(self) -> bool:
        """Whether the source has ended for good."""
        return self.state in FINAL_KINDS


@dataclass(frozen=True)
class FrameMeta:
    """What is known about a frame beside its pixels."""

    source_id: str
    frame_index: int  # counts the frames of the source, from 0 (a live decoder that crashed counts anew)
    pts_s: float  # media time: seconds from the start of the recording or of the live run; increasing
    capture_wall_s: float | None  # wall clock at capture; None for recordings
    width: int  # of the source picture after rotation, px; boxes relative to the canvas scale by these
    height: int
    corrupt: bool  # may show damage: must not open an event
    epoch: int  # counts connections
    still: bool = False  # shows what the engine saw last of this source: that result stands for it
    counts: wire.Counts = _NO_COUNTS  # the decoder's, with this frame
    gate: GateState | None = None  # of stillness, with this frame; None where all frames are looked at


@dataclass(eq=False)
class ReadyFrame:
    """A frame in a slot of the ring that waits for the batcher."""

    meta: FrameMeta
    slot: int
    canvas: Canvas
    captured_s: float | None  # monotonic
    arrived_s: float  # monotonic, at the supervisor
    accounted: bool = False  # coverage has looked at it

    @property
    def moment(self) -> Moment:
        """When it was, on every clock."""
        return Moment(self.meta.pts_s, self.meta.capture_wall_s, self.captured_s or 0.0)


class RecordingPosition(NamedTuple):
    """Where an earlier run of a recording was: after the frame of the account."""

    account: RecordingAccount
    gate: GateState | None


@dataclass(frozen=True)
class Waiting:
    """The frames of one source that a batch could take now."""

    source_id: str
    canvas: Canvas  # of the first
    since_s: float  # monotonic: when the first arrived
    num_frames: int
    held_up: bool  # the decoder is about to wait for these to be taken: more will not come


class SourceState:
    """Everything about one source; used under the supervisor's lock.

    With `resume` a recording goes on after a frame that an earlier run has seen.
    """

    def __init__(self, settings: SourceSettings, run_started_s: float, resume: RecordingPosition | None = None) -> None:
        now_s = time.monotonic()
        start = Moment(now_s - run_started_s, time.time(), now_s) if settings.live else Moment(0.0)
        gap_s = max(settings.gap_s, 2.5 / settings.target_fps if settings.target_fps else 0.0)
        self.settings = settings
        self.account = CoverageAccount(settings.live, gap_s, start, resume.account if resume else None)
        self._gate = StillGate(settings.max_still_s, resume.gate if resume else None)
        self.ring: Ring | None = None
        self.process: DecoderProcess | None = None
        self.restart_at_s: float | None = 0.0  # monotonic; None: no start is due
        self.last_sign_s = now_s  # monotonic, of the process
        self.pending: deque[ReadyFrame | SourceMessage] = deque()
        self.num_ready = 0  # frames among `pending`
        self.over = False  # its last message is in `pending` or was taken
        self._run_started_s = run_started_s
        self._backoff = Backoff(settings.backoff_initial_s, settings.backoff_max_s)
        self._state: StateName = "connecting" if resume is None else "up"
        self._reason, self._detail, self._since_wall_s = "", "", time.time()
        self._epoch = 0
        self._received = 0  # frames from the decoder, over all its lives
        self._received_at_crash = -1
        self._crashes = 0  # of a recording, at the same frame
        self._short_since_s: float | None = None  # monotonic: since when the machine lacks what a start needs
        self._opened = False  # by the process that runs
        self._counts = wire.Counts()  # of the process that runs
        self._last_media_s: float | None = None
        self._resume: wire.Resume | None = None  # of a recording, for the next decoder
        if resume is not None:
            self._resume = wire.Resume(resume.account.media_s, resume.account.counts)
            self._last_media_s = self._resume.media_s
        if settings.live:
            self.post("connecting")

    # The decoder's life.

    def start(self, now_s: float, start_decoder: StartDecoder) -> DecoderProcess | None:
        """Start a decoder; None when the machine has not what it needs: then another try is due later."""
        try:
            if self.ring is None:
                self.ring = Ring(self.settings.slots, self.settings.slot_bytes)
            job = wire.Job(
                settings=self.settings,
                ring_fd=self.ring.fd,
                run_started_s=self._run_started_s,
                resume=self._resume,
                epoch=self._epoch,
                last_media_s=(self._last_media_s or 0.0) if self.settings.live else 0.0,
                busy_slots=tuple(self.busy_slots),
            )
            process = start_decoder(job, self.ring)
        except OSError as error:
            self.not_started(error, now_s)
            return None
        self.process, self.restart_at_s, self.last_sign_s = process, None, now_s
        self._opened, self._counts = False, wire.Counts()
        return process

    def not_started(self, error: OSError, now_s: float) -> None:
        """No process, memory or descriptor was left: try again; a recording is given up when that goes on."""
        how = f"the decoder cannot be started: {error.strerror}"
        if error.errno in (errno.EMFILE, errno.ENFILE):
            how += " (raise `ulimit -n`)"
        if error.errno in _SHORTAGES:
            self._short_since_s = self._short_since_s or now_s
            if self.settings.live or now_s - self._short_since_s < SHORTAGE_S:
                self._try_later(now_s, "no_resources", how)
                return
        self._restart(now_s, "no_resources", how)

    def died(self, now_s: float, reason: str, how: str) -> None:
        """The decoder process is gone: start another after a while."""
        self.process = None
        self.account.decoder_died()
        self._restart(now_s, reason, f"the decoder died ({how})")

    def _restart(self, now_s: float, reason: str, how: str) -> None:
        """Try again later; give a recording up when that does not help."""
        if not self.settings.live:
            self._crashes = self._crashes + 1 if self._received == self._received_at_crash else 1
            self._received_at_crash = self._received
            if self._crashes >= MAX_CRASHES:
                self.restart_at_s = None
                self._fail(reason, f"at {self._last_media_s or 0.0:.1f} s {how}")
                return
        self._try_later(now_s, reason, how)

    def _try_later(self, now_s: float, reason: str, how: str) -> None:
        if self.settings.live:
            self._lost(reason, how)
        self.post("restarted", reason, f"{how}; starting another")
        self.restart_at_s = now_s + self._backoff.next()

    # What the decoder says.

    def receive(self, message: wire.Message, now_s: float) -> None:
        """Take in a message of the decoder. Raises WireError for one that cannot be true."""
        if len(self.pending) >= MAX_PENDING:
            raise WireError(f"more than {MAX_PENDING} messages that nobody has taken")
        counts = None if isinstance(message, wire.Alive | wire.Opened) else message.counts
        if counts is not None:
            if counts.falls_below(self._counts):
                raise WireError("counts that fall")
            self._counts = counts
            self.account.decoder_counts(counts)
        match message:
            case wire.Frame():
                self._frame(message, now_s)
            case wire.Opened():
                self._open(message)
            case wire.Resumed() if self.settings.live:
                self.post("resumed")
            case wire.Lost(reason, detail) if self.settings.live:
                self._lost(reason, redact(detail))
            case wire.Ended(media_s) if not self.settings.live:
                self.post("ended", gap=self.account.end("", "", Moment(media_s)))
            case wire.Failed(reason, detail) if not self.settings.live:
                self._fail(reason, redact(detail))
            case wire.Alive():
                pass
            case _:
                raise WireError(f"{type(message).__name__} of a source of kind {self.settings.kind!r}")

    def _open(self, message: wire.Opened) -> None:
        if message.epoch < self._epoch:
            raise WireError(f"connection {message.epoch} after {self._epoch}")
        self._opened, self._epoch, self._short_since_s = True, message.epoch, None
        self.post("opened", facts=dict(vars(message)))

    def _frame(self, frame: wire.Frame, now_s: float) -> None:
        self._check(frame, now_s)
        settings, captured_s = self.settings, frame.captured_s
        meta = FrameMeta(
            source_id=settings.id,
            frame_index=frame.index,
            pts_s=frame.media_s,
            capture_wall_s=None if captured_s is None else time.time() - (now_s - captured_s),
            width=frame.width,
            height=frame.height,
            corrupt=frame.corrupt,
            epoch=frame.epoch,
            counts=frame.counts,
        )
        self.pending.append(ReadyFrame(meta, frame.slot, frame.canvas, captured_s, now_s))
        self.num_ready += 1
        self._received += 1
        self._last_media_s = frame.media_s
        if not settings.live:
            self._resume = wire.Resume(frame.media_s, frame.counts)
        self._backoff.reset()
        if settings.live and self.num_ready > settings.slots - 2:  # newest wins: always leave the decoder a slot
            self.drop_oldest("overwritten")

    def _check(self, frame: wire.Frame, now_s: float) -> None:
        """Raise WireError for a frame that cannot be."""
        settings = self.settings
        if not self._opened or frame.epoch != self._epoch:
            raise WireError(f"a frame of connection {frame.epoch}, which is not open")
        if frame.slot >= settings.slots:
            raise WireError(f"a frame in slot {frame.slot} of {settings.slots}")
        if frame.slot in self.busy_slots:
            raise WireError(f"a frame in slot {frame.slot}, where another waits")
        if frame.canvas not in settings.canvases:
            raise WireError(f"a frame on canvas {frame.canvas}, which the source has not")
        if not 0 < frame.width * frame.height <= settings.max_pixels:
            raise WireError(f"a frame of {frame.width}x{frame.height} px")
        if frame.media_s > _LATEST_MEDIA_S or (self._last_media_s is not None and frame.media_s <= self._last_media_s):
            raise WireError(f"a frame at {frame.media_s:g} s after one at {self._last_media_s or 0.0:g} s")
        if (frame.captured_s is not None) != settings.live:
            raise WireError("a capture time that a recording cannot have, or none of a camera")
        if frame.captured_s is not None and not self._run_started_s - 60.0 <= frame.captured_s <= now_s + 1.0:
            raise WireError(f"a frame captured {frame.captured_s - now_s:g} s from now")

    def _lost(self, reason: str, why: str) -> None:
        if self._state == "lost" and reason == self._reason:  # it tries again and again: say so once
            logger.debug("source %s: still lost, %s %s", self.settings.id, reason, why)
            return
        self.post("lost", reason, why)

    def _fail(self, reason: str, detail: str) -> None:
        detail = f"{self.settings.display_url}: {detail}"
        gap = self.account.end(reason, detail, Moment(self._last_media_s or 0.0))
        self.post("failed", reason, detail, gap=gap)

    def check_blind(self, now_s: float) -> bool:
        """Post, once a blindness, that nothing was seen for a while; return whether that was done."""
        if self.over or self.pending or (gap := self.account.open_gap(now_s, time.time())) is None:
            return False
        self.post("blind", gap.reason, gap.why, gap=gap)
        return True

    def post(self, kind: MessageKind, reason: str = "", detail: str = "", **more: Any) -> None:
        """Queue a message behind the frames that are there, and log it."""
        state = _STATE_AFTER.get(kind)
        changed = state if kind == "connecting" or (state, reason) != (self._state, self._reason) else None
        if state is not None:
            self._since_wall_s = time.time() if state != self._state else self._since_wall_s
            self._state, self._reason, self._detail = state, reason, detail
        message = SourceMessage(self.settings.id, kind, time.time(), reason, detail, state=changed, **more)
        self.pending.append(message)
        self.over = self.over or kind in FINAL_KINDS
        # What ends a recording is for the caller to tell; a camera comes back by itself, so the log tells.
        warn = kind == "lost" if self.settings.live else kind == "restarted"
        level = logging.WARNING if warn else logging.INFO
        logger.log(level, "source %s: %s %s %s", self.settings.id, kind, reason, detail)

    def status(self, now_s: float) -> SourceStatus:
        """Return what the source is now."""
        responding = self.over or self.process is None or now_s - self.last_sign_s < SILENT_S
        reason, detail = self._reason, self._detail
        if self._state == "up" and not responding:
            reason, detail = "silent", f"the decoder gives no sign of life since {now_s - self.last_sign_s:.1f} s"
        return SourceStatus(self._state, reason, detail, self._since_wall_s, responding)

    def coverage(self, now_s: float) -> Coverage:
        """Return the account as it stands."""
        return self.account.snapshot(self.num_ready, now_s)

    # What waits.

    @property
    def busy_slots(self) -> list[int]:
        """Slots whose frames still wait."""
        return [item.slot for item in self.pending if isinstance(item, ReadyFrame)]

    def waiting(self) -> Waiting | None:
        """Return the frames that could be taken; None when there are none or a message comes first."""
        head = self.pending[0] if self.pending else None
        if not isinstance(head, ReadyFrame):
            return None
        held_up = not self.settings.live and self.num_ready >= self.settings.slots - 2
        return Waiting(self.settings.id, head.canvas, head.arrived_s, self.num_ready, held_up)

    def next_message(self, now_s: float) -> SourceMessage | None:
        """Take the message at the head, if one is there; frames before it that have become stale are dropped."""
        while self.pending:
            head = self.pending[0]
            if isinstance(head, SourceMessage):
                self.pending.popleft()
                if head.kind == "lost":  # from this place among the frames on
                    self.account.lost(head.reason, head.detail)
                return head
            if head.captured_s is None or now_s - head.captured_s <= self.settings.staleness_s:
                return None
            self.drop_oldest("stale")
        return None

    def next_frame(self, canvas: Canvas) -> ReadyFrame | None:
        """Take the frame at the head if it is one of `canvas`; when it ends a blind stretch, that message goes first.

        Its slot is busy until `release`; `deliver` counts it.
        """
        frame = self.pending[0] if self.pending else None
        if not isinstance(frame, ReadyFrame) or frame.canvas != canvas:
            return None
        if not frame.accounted:
            frame.accounted = True
            gap = self.account.gap_before(frame.moment, frame.meta.corrupt, frame.meta.counts.errors)
            if gap is not None:
                message = SourceMessage(self.settings.id, "gap", time.time(), gap.reason, gap.why, gap)
                self.pending.appendleft(message)
                return None
        self.pending.popleft()
        self.num_ready -= 1
        return frame

    def deliver(self, frame: ReadyFrame, picture: NDArray[np.uint8]) -> FrameMeta:
        """Count a frame that was taken, in its order; return what is known about it, now also whether it is still."""
        meta = frame.meta
        view = View(frame.canvas, meta.width, meta.height, meta.epoch)
        is_still = self._gate.observe(picture, meta.pts_s, view, corrupt=meta.corrupt)
        if is_still:
            self.account.still += 1
        else:
            self.account.delivered += 1
        return replace(meta, still=is_still, gate=self._gate.state) if self.settings.max_still_s > 0 else meta

    def release(self, slots: list[int]) -> None:
        """Give slots whose frames are not in `pending` any more back to the decoder."""
        if slots and self.process is not None:
            self.process.release(slots)

    def drop_oldest(self, reason: str) -> None:
        """Drop the oldest waiting frame and count it."""
        frame = next(item for item in self.pending if isinstance(item, ReadyFrame))
        self.pending.remove(frame)
        self.num_ready -= 1
        self.account.drop(reason)
        self.release([frame.slot])

    def drop_all(self, reason: str) -> None:
        """Drop every waiting frame."""
        while self.num_ready:
            self.drop_oldest(reason)

    def close(self) -> None:
        """Free the ring."""
        if self.ring is not None:
            self.ring.close()
