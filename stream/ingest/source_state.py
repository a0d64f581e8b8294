"""One source as the pipeline sees it: its process, its ring, and the frames and messages that wait, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from hoiclip.types import Canvas
from stream.backoff import Backoff
from stream.decode.ring import Ring
from stream.decode.sources import SourceSettings
from stream.ingest.coverage import CoverageAccount, CoverageGap
from stream.ingest.decoder_process import DecoderProcess

MessageKind = Literal["opened", "lost", "resumed", "restarted", "gap", "ended", "failed", "removed"]
FINAL_KINDS: Final = frozenset({"ended", "failed", "removed"})


@dataclass(frozen=True)
class SourceMessage:
    """Something that happened to a source, in order with its frames.

    opened: frames follow. lost: a live source is away and comes back by itself. resumed: a silent one sends again.
    restarted: its decoder died. gap: a blind stretch is over (`gap`). ended, failed, removed: the last of its messages;
    these may carry a `gap` as well.
    """

    source_id: str
    kind: MessageKind
    wall_s: float
    reason: str = ""  # code: end_of_stream, stalled, refused, redirected, unsafe, invalid, crashed, ...
    detail: str = ""  # one line for people, without secrets
    gap: CoverageGap | None = None
    facts: dict[str, Any] = field(default_factory=dict)  # of "opened": width, height, fps, codec, duration_s, epoch


@dataclass(frozen=True)
class FrameMeta:
    """What is known about a frame beside its pixels."""

    source_id: str
    frame_index: int  # counts decoded frames of the source, from 0 (a live decoder that crashed counts anew)
    pts_s: float  # media time: seconds from the start of the recording or of the live run; increasing
    capture_wall_s: float | None  # wall clock at capture; None for recordings
    width: int  # of the source picture after rotation, px; boxes relative to the canvas scale by these
    height: int
    corrupt: bool  # may show damage: must not open an event
    epoch: int  # counts connections
    slot: int


@dataclass
class ReadyFrame:
    """A frame in a slot of the ring that waits for the batcher."""

    meta: FrameMeta
    canvas: Canvas
    captured_s: float | None  # monotonic
    arrived_s: float  # monotonic, at the supervisor
    errors: int  # the decoder's running count
    accounted: bool = False  # coverage has looked at it


@dataclass
class SourceState:
    """Everything about one source; used under the supervisor's lock."""

    settings: SourceSettings
    ring: Ring
    coverage: CoverageAccount
    backoff: Backoff
    process: DecoderProcess | None = None
    pending: deque[ReadyFrame | SourceMessage] = field(default_factory=deque)
    num_ready: int = 0  # frames among `pending`
    restart_at_s: float | None = None  # monotonic; None: no start is due
    last_sign_s: float = 0.0  # monotonic, of the process
    over: bool = False  # its last message is in `pending` or was taken
    epoch: int = 0
    received: int = 0  # frames from the decoder, over all its lives
    received_at_crash: int = -1
    crashes: int = 0  # of a recording, at the same frame
    connected: bool = False
    lost_reason: str = ""
    last_media_s: float = 0.0
    cause: str | None = None  # why the process is being killed, when we do it

    def free(self, frames: Iterable[ReadyFrame]) -> None:
        """Give the slots of frames that are not in `pending` any more back to the decoder."""
        if self.process is not None:
            self.process.release(frame.meta.slot for frame in frames)

    def pop_frame(self) -> ReadyFrame:
        """Take the frame at the head."""
        frame = self.pending.popleft()
        assert isinstance(frame, ReadyFrame)
        self.num_ready -= 1
        return frame

    def drop_oldest(self, reason: str) -> None:
        """Drop the oldest waiting frame and count it."""
        index = next(i for i, item in enumerate(self.pending) if isinstance(item, ReadyFrame))
        frame = self.pending[index]
        assert isinstance(frame, ReadyFrame)
        del self.pending[index]
        self.num_ready -= 1
        self.coverage.drop(reason)
        self.free((frame,))

    @property
    def busy_slots(self) -> list[int]:
        """Slots whose frames still wait."""
        return [item.meta.slot for item in self.pending if isinstance(item, ReadyFrame)]
