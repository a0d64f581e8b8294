"""The usual frame made short: every detected pair is so plainly one of before that no other match can be as good.

Bounds that need no areas take the place of `box_distance`. For two boxes let r be, along x or y, what their low edges
and their high edges differ by, over both sizes. Where r < 1/2 they overlap along that axis, and of what they cover
there at least 1 - 2 r is shared, at most 1 - r. Hence for their distance d and their IoU:

    min(1, max(r_x, r_y)) <= d         no more is shared of both than along one axis
    d <= 2 s + s^2, s = r_x + r_y      shares multiply, and centres are at most r of the diagonal apart
    1 - 2 s <= IoU
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.track.matching import AFFINITY_BONUS, MAX_HUMAN_DISTANCE, PAIR_BONUS, SAME_BOX_IOU, KnownPairs

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

MARGIN = 0.01  # more than rounding; a bound that is nearer decides nothing
WORTHWHILE = 1.5  # known pairs a detected one: where more are unseen, the bounds seldom decide
MIN_SIZE_PX = 0.1  # sides of boxes about 0 are left to the full comparison


class CertainMatch(NamedTuple):
    """P detected pairs as known ones; G humans and objects that they show."""

    pair_rows: Ints  # [P] in the known pairs, all different
    track_rows: Ints  # [2 P] of the boxes, humans first
    leaders: Ints  # [G] the first box of each human or object


def match_if_certain(boxes: Floats, num_tracks: int, known: KnownPairs, labels: Ints) -> CertainMatch | None:
    """Return what the full comparison would find, or None where the bounds leave room for doubt.

    Args:
        boxes: corners float32 [2, 2, T + 2 P] of T tracks, as expected now, and of the detected humans, then objects.
        num_tracks: T.
        known: the pairs of before.
        labels: [P] object classes of the detected pairs.
    """
    num_pairs = len(labels)
    if not num_pairs <= len(known.labels) <= WORTHWHILE * num_pairs:
        return None
    size = boxes[1] - boxes[0]
    if size.min() < MIN_SIZE_PX:
        return None
    ends = np.concatenate([known.human_rows, known.object_rows])
    before, now = boxes.take(ends, axis=2).reshape(2, 2, 2, -1, 1), boxes[..., num_tracks:].reshape(2, 2, 2, 1, -1)
    edges = before - now  # [corner, axis, kind, N, P]
    np.abs(edges, out=edges)
    r = np.add(edges[0], edges[1], out=edges[0])
    r /= size.take(ends, axis=1).reshape(2, 2, -1, 1) + size[:, num_tracks:].reshape(2, 2, 1, -1)
    least = np.maximum(r[0], r[1])
    np.minimum(least, 1.0, out=least)
    cost = least[0] + least[1]
    cost -= known.affinity * AFFINITY_BONUS
    cost[known.labels[:, None] != labels] = np.inf
    # Known pairs that differ and are each strictly the cheapest of their detection are the one best assignment.
    pair_rows = cost.argmin(axis=0)
    places = pair_rows * num_pairs + np.arange(num_pairs)
    own = r.reshape(4, -1).take(places, axis=1)
    s = own[:2] + own[2:]  # [kind, P]
    most = s * (s + 2)
    by_place = cost.ravel()
    limit = by_place.take(places) + (most[0] + most[1] + MARGIN)
    by_place[places] = np.inf
    if np.count_nonzero(cost.min(axis=0) > limit) < num_pairs or len(set(pair_rows.tolist())) < num_pairs:
        return None
    track_rows = ends.reshape(2, -1).take(pair_rows, axis=1)
    # A track nearer than the bonus of agreement is nearest to its box: no distance is below 0.
    if (farthest := most.max()) > PAIR_BONUS - MARGIN and (
        farthest > MAX_HUMAN_DISTANCE - MARGIN or not _is_nearest(least, most, ends, track_rows, num_tracks)
    ):
        return None
    track_rows = track_rows.ravel()
    leaders = _leaders(boxes[..., num_tracks:], size[:, num_tracks:], track_rows, num_tracks)
    return None if leaders is None else CertainMatch(pair_rows, track_rows, leaders)


def _is_nearest(least: Floats, most: Floats, ends: Ints, track_rows: Ints, num_tracks: int) -> bool:
    """Whether every other track is farther from each box than its own, less the bonus of agreement.

    Args:
        least: bounds of the distances from all known pairs [kind, N, P].
        most: of those from the own tracks [kind, P].
        ends: tracks of the known pairs [kind * N].
        track_rows: tracks of the boxes [kind, P].
        num_tracks: of all.
    """
    if len(set(ends.tolist())) < num_tracks:
        return False  # a track of no pair may be near
    is_other = ends.reshape(2, -1, 1) != track_rows[:, None]
    nearest = np.where(is_other, least, np.inf).min(axis=1)
    return bool((nearest > most - (PAIR_BONUS - MARGIN)).all())


def _leaders(boxes: Floats, size: Floats, track_rows: Ints, num_tracks: int) -> Ints | None:
    """Return the first box of each track, or None unless all boxes of a track certainly overlap with its first."""
    every = np.arange(len(track_rows))
    first = np.zeros(num_tracks, np.int64)
    first[track_rows[::-1]] = every[::-1]  # of several boxes of a track the first, which comes last, stays
    leader_of = first.take(track_rows)
    others = (leader_of != every).nonzero()[0]
    if not len(others):
        return every
    leaders = leader_of.take(others)
    edges = np.abs(boxes.take(others, axis=2) - boxes.take(leaders, axis=2))
    r = (edges[0] + edges[1]) / (size.take(others, axis=1) + size.take(leaders, axis=1))
    if (r[0] + r[1]).max() > (1 - SAME_BOX_IOU - MARGIN) / 2:
        return None
    return np.flatnonzero(leader_of == every)
