"""The account of what a source showed: frames seen, dropped and skipped, and the stretches it was blind."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CoverageGap:
    """A stretch in which a source was not seen, or only damaged."""

    from_media_s: float  # the last good frame before; 0.0 when there was none
    to_media_s: float  # the first good frame after, or the end
    from_wall_s: float | None  # the same on the wall clock; None for recordings
    to_wall_s: float | None
    reason: str  # code: stalled, refused, end_of_stream, crashed, corrupt, dropped, no_frames, truncated, ...
    why: str  # for people, without secrets

    @property
    def blind_s(self) -> float:
        """Length in seconds."""
        return max(0.0, self.to_media_s - self.from_media_s)


@dataclass(frozen=True)
class Coverage:
    """A snapshot. Always: decoded = skipped + delivered + sum(dropped) + pending."""

    decoded: int  # frames that came out of FFmpeg
    skipped: int  # not chosen, by the source's target rate: no loss
    delivered: int  # handed to the engine
    dropped: Mapping[str, int]  # chosen and lost, by reason: stale, overwritten, ring_full, stopped
    pending: int  # in the ring now
    errors: int  # damaged packets and frames
    blind_s: float
    gaps: tuple[CoverageGap, ...]  # the last `MAX_GAPS_KEPT`
    num_gaps: int

    @property
    def seen(self) -> float:
        """The part of the chosen frames that was delivered, 0 to 1."""
        chosen = self.decoded - self.skipped - self.pending
        return self.delivered / chosen if chosen > 0 else 1.0


MAX_GAPS_KEPT = 100


@dataclass
class CoverageAccount:
    """Keeps the account of one source, frame by frame; used under the supervisor's lock."""

    live: bool
    gap_s: float  # live: a hole between frames that is longer than this is a gap
    decoded: int = 0
    skipped: int = 0
    delivered: int = 0
    errors: int = 0
    _dropped_here: Counter[str] = field(default_factory=Counter)
    blind_s: float = 0.0
    num_gaps: int = 0
    gaps: list[CoverageGap] = field(default_factory=list)
    _dropped_there: dict[str, int] = field(default_factory=dict)
    _earlier: dict[str, int] = field(default_factory=dict)  # counts of decoders that died
    _latest: dict[str, int] = field(default_factory=dict)  # counts of this one
    _good_media_s: float = 0.0
    _good_wall_s: float | None = None
    _good_errors: int = 0
    _cause: tuple[str, str] | None = None  # reason and why of the blindness that goes on
    _dropped_at_good: int = 0

    def decoder_counts(self, decoded: int, skipped: int, dropped: Mapping[str, int], errors: int) -> None:
        """Take over the running counts of the decoder process."""
        self._latest = {"decoded": decoded, "skipped": skipped, "errors": errors, **dropped}
        self.decoded, self.skipped, self.errors = (self._sum(key) for key in ("decoded", "skipped", "errors"))
        self._dropped_there = {reason: self._sum(reason) for reason in dropped}

    def drop(self, reason: str) -> None:
        """Count a frame that was dropped on this side of the ring."""
        self._dropped_here[reason] += 1

    @property
    def dropped(self) -> Counter[str]:
        """Frames dropped on both sides of the ring, by reason."""
        return self._dropped_here + Counter(self._dropped_there)

    def decoder_died(self) -> None:
        """Keep the counts of a decoder that is gone; a recording's next one counts from its beginning again."""
        if self.live:
            self._earlier = {key: self._sum(key) for key in self._latest}
            self._latest = {}

    def _sum(self, key: str) -> int:
        return self._earlier.get(key, 0) + self._latest.get(key, 0)

    def blind(self, reason: str, why: str, wall_s: float) -> None:
        """The source is lost; the first cause names the gap."""
        self._cause = self._cause or (reason, why)
        if self._good_wall_s is None and self.live:
            self._good_wall_s = wall_s

    def gap_before(self, media_s: float, wall_s: float | None, corrupt: bool, errors: int) -> CoverageGap | None:
        """Take note of the frame that is delivered next; return the gap that it ends, if any."""
        if corrupt:
            self._cause = self._cause or ("corrupt", "damaged frames")
            return None
        cause = self._cause or self._unexplained(media_s, errors)
        gap = self._close(cause, media_s, wall_s) if cause else None
        self._cause, self._dropped_at_good = None, self.dropped.total()
        self._good_media_s, self._good_wall_s, self._good_errors = media_s, wall_s, errors
        return gap

    def _unexplained(self, media_s: float, errors: int) -> tuple[str, str] | None:
        """Return the cause of a hole before `media_s` that nothing announced."""
        if not self.live:
            damaged = errors - self._good_errors
            return ("corrupt", f"{damaged} damaged packets") if damaged > 0 else None
        if not self.delivered or media_s - self._good_media_s <= self.gap_s:
            return None
        lost = self.dropped.total() - self._dropped_at_good
        return ("dropped", f"{lost} frames came too late") if lost else ("no_frames", "the source sent no frame")

    def end(self, reason: str, why: str, media_s: float | None = None) -> CoverageGap | None:
        """Return the gap that is still open when the source ends; `media_s` is its end, when known."""
        cause, self._cause = self._cause, None
        now = time.time()
        if self.live:
            since = now - self._good_wall_s if self._good_wall_s is not None else 0.0
            if cause is None and since > self.gap_s:
                cause = (reason, why)
            gap = self._close(cause, self._good_media_s + since, now) if cause else None
            self._good_media_s, self._good_wall_s = self._good_media_s + since, now
            return gap
        return (
            self._close(cause or (reason, why), media_s, None) if media_s and (cause or reason == "truncated") else None
        )

    def _close(self, cause: tuple[str, str], media_s: float, wall_s: float | None) -> CoverageGap:
        gap = CoverageGap(self._good_media_s, media_s, self._good_wall_s, wall_s, *cause)
        self.blind_s += gap.blind_s
        self.num_gaps += 1
        self.gaps = [*self.gaps[-(MAX_GAPS_KEPT - 1) :], gap]
        return gap

    def snapshot(self, pending: int) -> Coverage:
        """Return the account as it stands, blindness that goes on included."""
        open_s = time.time() - self._good_wall_s if self._cause and self.live and self._good_wall_s else 0.0
        return Coverage(
            decoded=self.decoded,
            skipped=self.skipped,
            delivered=self.delivered,
            dropped=dict(sorted(self.dropped.items())),
            pending=pending,
            errors=self.errors,
            blind_s=self.blind_s + open_s,
            gaps=tuple(self.gaps),
            num_gaps=self.num_gaps,
        )
