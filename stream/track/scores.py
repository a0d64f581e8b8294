"""What a frame's own scores do: move the smoothed scores on, and give evidence of interactions."""

from __future__ import annotations

import math

import numpy as np

from stream.track.episodes import Episodes
from stream.track.lifecycle import LifeCycle
from stream.track.pairs import PairTable
from stream.track.sighting import Sighting


def smoothing_gain(elapsed_s: float | None, smoothing_s: float) -> float:
    """Return how much of a frame's own score comes through; all of it where nothing is known of before (None)."""
    if elapsed_s is None or smoothing_s <= 0:
        return 1.0
    return -math.expm1(-elapsed_s / smoothing_s)


def smooth(pairs: PairTable, episodes: Episodes, sighting: Sighting, gain: float) -> None:
    """Move the smoothed scores of `pairs` on by one frame, in place.

    Not to be seen counts against what is not open yet, and not against what is: that is what `gap_s` is for.
    """
    smoothed, rows = pairs.smoothed, sighting.rows
    if len(rows) < pairs.num_pairs:
        held = (episodes.is_open & ~pairs.is_seen.take(episodes.rows)).nonzero()[0]
        at = episodes.rows.take(held), episodes.interactions.take(held)
        values = smoothed[at]
        kept = np.full((pairs.num_pairs, 1), 1.0 - gain, np.float32)
        kept[rows] = 1.0
        smoothed *= kept
        smoothed[at] = values
    if len(rows):
        before = smoothed.take(rows, axis=0)
        change = sighting.scores - before
        change *= np.float32(gain)
        change += before
        smoothed[rows] = change


def with_evidence(
    episodes: Episodes, pairs: PairTable, sighting: Sighting, life_cycle: LifeCycle, t_s: float
) -> Episodes:
    """Note which episodes the frame's own scores speak for, and return them with those that begin.

    What is at or above leave goes on; what is at or above enter begins, unless it was taken for scenery.
    """
    own = np.full(pairs.smoothed.shape, -np.inf, np.float32)  # in the order of the table
    own[sighting.rows] = sighting.scores
    known = episodes.rows, episodes.interactions
    episodes.evidence_s[own[known] >= life_cycle.evidence_leave.take(episodes.interactions)] = t_s
    is_strong = own >= life_cycle.evidence_enter
    is_strong[known] = False
    if not np.count_nonzero(is_strong):
        return episodes
    rows, interactions = (is_strong & ~pairs.is_muted).nonzero()
    return episodes.begin(rows, interactions, t_s) if len(rows) else episodes
