"""The account of what a source showed: frames seen, dropped and skipped, and the stretches it was blind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from stream.decode.wire import Counts

MAX_GAPS_KEPT: Final = 100
BLIND_S: Final = 5.0  # a live source that was not seen for so long is told to be blind, though it may come back


@dataclass(frozen=True)
class CoverageGap:
    """A stretch in which a source was not seen, or only damaged."""

    from_media_s: float  # the last good frame before; the source's start when there was none
    to_media_s: float  # the first good frame after, or the end; now, while the gap is open
    from_wall_s: float | None  # the same on the wall clock; None for recordings
    to_wall_s: float | None
    reason: str  # code: stalled, refused, end_of_stream, crashed, corrupt, dropped, no_frames, truncated, ...
    why: str  # for people, without secrets
    open: bool = False  # it goes on: the whole gap, from the same moment, is told when it is over

    @property
    def blind_s(self) -> float:
        """Length in seconds."""
        return max(0.0, self.to_media_s - self.from_media_s)


@dataclass(frozen=True)
class Coverage:
    """A snapshot. Always: decoded = skipped + delivered + still + sum(dropped) + pending."""

    decoded: int  # frames that the source had
    skipped: int  # not chosen, by the source's target rate: no loss
    delivered: int  # handed to the engine
    still: int  # chosen, and nothing new in it: the engine's last result stands for it
    dropped: Mapping[str, int]  # chosen and lost, by reason: stale, overwritten, ring_full, stopped
    pending: int  # in the ring now
    errors: int  # damaged packets and frames
    blind_s: float
    gaps: tuple[CoverageGap, ...]  # the last `MAX_GAPS_KEPT`
    num_gaps: int

    @property
    def seen(self) -> float:
        """The part of the chosen frames that was delivered or still, 0 to 1."""
        chosen = self.decoded - self.skipped - self.pending
        return (self.delivered + self.still) / chosen if chosen > 0 else 1.0


class Moment(NamedTuple):
    """One moment on the clocks of a source."""

    media_s: float
    wall_s: float | None = None  # None for recordings
    at_s: float = 0.0  # monotonic clock, by which lengths are measured; 0.0 for recordings


@dataclass(frozen=True)
class RecordingAccount:
    """The account of a recording after one of its frames, as a later run goes on from there."""

    media_s: float  # of that frame
    delivered: int
    still: int
    counts: Counts
    good_s: float  # media time of the last frame that showed the scene
    good_errors: int
    cause: tuple[str, str] | None  # of the blindness that goes on
    blind_s: float
    num_gaps: int
    gaps: tuple[CoverageGap, ...]


class CoverageAccount:
    """Keeps the account of one source, frame by frame; used under the supervisor's lock.

    `gap_s` is for live sources: a hole between frames that is longer than this is a gap. `resume` is what a recording
    goes on from.
    """

    def __init__(self, live: bool, gap_s: float, start: Moment, resume: RecordingAccount | None = None) -> None:
        self._live, self._gap_s = live, gap_s
        self.delivered = self.still = 0
        self._earlier = Counts()  # of decoders that are gone
        self._latest = Counts()  # of this one
        self._dropped_here: Counter[str] = Counter()
        self._good = start  # the last frame that showed the scene
        self._good_errors = 0
        self._good_dropped = 0
        self._cause: tuple[str, str] | None = None  # reason and why of the blindness that goes on
        self._open_is_told = False
        self._blind_s = 0.0
        self._num_gaps = 0
        self._gaps: tuple[CoverageGap, ...] = ()
        if resume is not None:
            self.delivered, self.still, self._latest = resume.delivered, resume.still, resume.counts
            self._good, self._good_errors, self._cause = Moment(resume.good_s), resume.good_errors, resume.cause
            self._blind_s, self._num_gaps, self._gaps = resume.blind_s, resume.num_gaps, resume.gaps

    def of_recording(self, media_s: float) -> RecordingAccount:
        """Return the account of a recording whose frame at `media_s` was the last that was taken in."""
        return RecordingAccount(
            media_s=media_s,
            delivered=self.delivered,
            still=self.still,
            counts=self._latest,
            good_s=self._good.media_s,
            good_errors=self._good_errors,
            cause=self._cause,
            blind_s=self._blind_s,
            num_gaps=self._num_gaps,
            gaps=self._gaps,
        )

    # Counts.

    def decoder_counts(self, counts: Counts) -> None:
        """Take over the running counts of the decoder process."""
        # A recording's decoder that follows one that crashed counts from the beginning again, up to the same numbers.
        self._latest = counts if self._live else self._latest.highest(counts)

    def decoder_died(self) -> None:
        """Keep the counts of a decoder that is gone, however often that happens before the next one reports."""
        if self._live:
            self._earlier, self._latest = self._earlier + self._latest, Counts()

    def drop(self, reason: str) -> None:
        """Count a frame that was dropped on this side of the ring."""
        self._dropped_here[reason] += 1

    @property
    def counts(self) -> Counts:
        """Counts of all decoders that the source had."""
        return self._earlier + self._latest

    @property
    def dropped(self) -> Counter[str]:
        """Frames dropped on both sides of the ring, by reason."""
        return self._dropped_here + Counter(self.counts.dropped)

    # Blindness.

    def lost(self, reason: str, why: str) -> None:
        """The source is away from here on; the first cause names the gap."""
        self._cause = self._cause or (reason, why)

    def gap_before(self, frame: Moment, corrupt: bool, errors: int) -> CoverageGap | None:
        """Take note of the frame that is delivered next; return the gap that it ends, if any.

        `errors` is the decoder's count when it came out.
        """
        if corrupt:
            self.lost("corrupt", "damaged frames")
            return None
        cause = self._cause or self._unannounced(frame, errors)
        gap = self._close(cause, frame) if cause else None
        self._good, self._good_errors, self._good_dropped = frame, errors, self.dropped.total()
        self._cause, self._open_is_told = None, False
        return gap

    def open_gap(self, at_s: float, wall_s: float) -> CoverageGap | None:
        """Return, once a blindness, the gap of a live source that has not been seen for `BLIND_S` and is away still."""
        since_s = at_s - self._good.at_s
        if not self._live or self._open_is_told or since_s < max(BLIND_S, self._gap_s):
            return None
        self._cause = self._cause or self._hole()
        self._open_is_told = True
        good = self._good
        return CoverageGap(good.media_s, good.media_s + since_s, good.wall_s, wall_s, *self._cause, open=True)

    def end(self, reason: str, why: str, end: Moment) -> CoverageGap | None:
        """Return the gap that is still open when the source ends; `end.media_s` counts for recordings alone."""
        cause = self._cause
        if self._live:
            since_s = end.at_s - self._good.at_s
            if cause is None and since_s > self._gap_s:
                cause = (reason, why)
            end = end._replace(media_s=self._good.media_s + since_s)
        elif reason == "truncated":
            cause = cause or (reason, why)
        gap = self._close(cause, end) if cause and end.media_s > 0 else None
        self._good, self._cause, self._open_is_told = end, None, False
        return gap

    def _unannounced(self, frame: Moment, errors: int) -> tuple[str, str] | None:
        """Return the cause of a hole before `frame` that no message spoke of."""
        if not self._live:
            damaged = errors - self._good_errors
            return ("corrupt", f"{damaged} damaged packets") if damaged > 0 else None
        if not self.delivered or frame.media_s - self._good.media_s <= self._gap_s:
            return None
        return self._hole()

    def _hole(self) -> tuple[str, str]:
        lost = self.dropped.total() - self._good_dropped
        return ("dropped", f"{lost} frames came too late") if lost else ("no_frames", "the source sent no frame")

    def _close(self, cause: tuple[str, str], end: Moment) -> CoverageGap:
        gap = CoverageGap(self._good.media_s, end.media_s, self._good.wall_s, end.wall_s, *cause)
        self._blind_s += gap.blind_s
        self._num_gaps += 1
        self._gaps = (*self._gaps, gap)[-MAX_GAPS_KEPT:]
        return gap

    def snapshot(self, pending: int, at_s: float) -> Coverage:
        """Return the account as it stands at `at_s` (monotonic), blindness that goes on included."""
        counts = self.counts
        open_s = at_s - self._good.at_s if self._cause and self._live else 0.0
        return Coverage(
            decoded=counts.decoded,
            skipped=counts.skipped,
            delivered=self.delivered,
            still=self.still,
            dropped=dict(sorted(self.dropped.items())),
            pending=pending,
            errors=counts.errors,
            blind_s=self._blind_s + open_s,
            gaps=self._gaps,
            num_gaps=self._num_gaps,
        )
