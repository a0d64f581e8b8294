"""When an interaction of a pair begins and ends: two thresholds and times, and the reasons in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.track.absence import PATIENCE, WORDS
from stream.track.episodes import NEVER, Episode, Episodes
from stream.track.pairs import PairTable
from stream.track.settings import TrackerSettings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class OutOfSight(NamedTuple):
    """What is known about where a pair is."""

    unseen_s: float  # since it was last seen; 0 in a frame that shows it
    absent_s: float  # for how long of that it was looked for in vain
    absence: int  # why, an `Absence`


EPSILON_S = 1e-9  # media times are sums of fractions


class LifeCycle:
    """The thresholds of K interactions and the times that go with them."""

    def __init__(self, names: Sequence[str], is_silent: Bools, settings: TrackerSettings) -> None:
        """Prepare for the interactions `names`; those that are silent [K] never give evidence."""
        self.settings = settings
        limits = [settings.thresholds_of(name) for name in names]
        self._enter, self._leave = [enter for enter, _ in limits], [leave for _, leave in limits]
        self._leave_column = np.array(self._leave, np.float64)
        # A frame's own scores are float32, and so is what they are compared with.
        self.evidence_enter = np.where(is_silent, np.inf, self._enter).astype(np.float32)
        self.evidence_leave = np.where(is_silent, np.inf, self._leave).astype(np.float32)

    def may_change(self, episodes: Episodes, scores: Floats, pairs: PairTable, t_s: float) -> Bools:
        """Return [E]: which episodes the frame at `t_s` may change, beyond their peak. Nearly all others plainly go on.

        `scores` [E] are their smoothed scores.
        """
        settings = self.settings
        may_change = scores < self._leave_column.take(episodes.interactions)
        may_change |= episodes.low_since_s < NEVER
        may_change |= episodes.started_s == NEVER
        may_change |= episodes.updated_s <= t_s - settings.update_interval_s + EPSILON_S
        of_pair = pairs.in_view_s < t_s
        if settings.stationary_s > 0:
            of_pair |= pairs.seen_s - pairs.still_since_s >= settings.stationary_s
        may_change |= of_pair.take(episodes.rows)
        if settings.max_event_s > 0:
            may_change |= t_s - episodes.started_s >= settings.max_event_s
        return may_change

    def opens(self, episode: Episode, score: float, t_s: float) -> str | None:
        """Return why an event of the episode opens at `t_s`, or None."""
        enter, held_s = self._enter[episode.interaction], t_s - episode.onset_s
        if score < enter or held_s < self.settings.min_duration_s - EPSILON_S:
            return None
        return f"score {score:.2f} ≥ enter {enter:.2f}, evidence for {held_s:.1f} s"

    def is_flicker(self, episode: Episode, score: float, t_s: float) -> bool:
        """Whether the evidence of an episode without an event has gone at `t_s`."""
        return score < self._leave[episode.interaction] and episode.evidence_s < t_s

    def start_of(self, episode: Episode, t_s: float) -> float:
        """Return when the event of an episode that opens at `t_s` began.

        Evidence may have hovered about the threshold for long before; that is not when it began.
        """
        return max(episode.onset_s, t_s - self.settings.min_duration_s - 2 * self.settings.smoothing_s)

    def low_since(self, episode: Episode, score: float, t_s: float) -> float:
        """Return since when the score of an open episode, seen at `t_s`, is low, or NEVER."""
        return min(episode.low_since_s, t_s) if score < self._leave[episode.interaction] else NEVER

    def closes(
        self, episode: Episode, score: float, low_since_s: float, out_of_sight: OutOfSight, still_s: float, t_s: float
    ) -> tuple[str, str] | None:
        """Return the reason code and the reason in words if the event of the episode closes at `t_s`, or None."""
        settings, low_s, lasted_s = self.settings, t_s - low_since_s, t_s - episode.started_s
        if out_of_sight.unseen_s > 0:
            if why := self.gives_up(out_of_sight):
                return "lost", why
        elif low_s >= settings.min_duration_s - EPSILON_S:
            return "score", f"score {score:.2f} < leave {self._leave[episode.interaction]:.2f} for {low_s:.1f} s"
        if 0 < settings.max_event_s <= lasted_s:
            return "max_duration", f"lasted {lasted_s:.1f} s ≥ max_event_s {settings.max_event_s:.1f}"
        if 0 < settings.stationary_s <= min(still_s, lasted_s):
            return "stationary", f"human and object still for {still_s:.1f} s; silent until one moves"
        return None

    def gives_up(self, pair: OutOfSight) -> str | None:
        """Return why a pair is not waited for any longer, or None."""
        gap_s = self.settings.gap_s
        if pair.unseen_s >= gap_s - EPSILON_S:
            return f"pair unseen for {pair.unseen_s:.1f} s ≥ gap {gap_s:.1f} s"
        limit_s = float(PATIENCE[pair.absence]) * gap_s
        if pair.absent_s >= limit_s - EPSILON_S:
            return f"pair {WORDS[pair.absence]} for {pair.absent_s:.1f} s ≥ {limit_s:.1f} s"
        return None

    def is_due(self, episode: Episode, t_s: float) -> bool:
        """Whether an open episode is to be reported again at `t_s`."""
        return episode.updated_s <= t_s - self.settings.update_interval_s + EPSILON_S

    def goes_on(self, episode: Episode, score: float) -> str:
        """Return in words how an open episode goes on."""
        leave = self._leave[episode.interaction]
        return f"still {score:.2f} ≥ leave {leave:.2f}" if score >= leave else "fading"
