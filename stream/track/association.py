"""Which pair of this frame is which pair of before: human box, object box and object class together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.track.boxes import Corners, box_distance
from stream.track.certain import match_if_certain
from stream.track.detected import DetectedPairs
from stream.track.matching import (
    AFFINITY_BONUS,
    MAX_HUMAN_DISTANCE,
    MAX_OBJECT_DISTANCE,
    MAX_PAIR_DISTANCE,
    NONE,
    PAIR_BONUS,
    SAME_BOX_IOU,
    KnownPairs,
)
from stream.track.motion import HUMAN, BoxTracks

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FAR = np.array([np.inf])  # an array: whatever NumPy makes of scalars, costs are float64


class Association(NamedTuple):
    """What each of P detected pairs is."""

    human_rows: Ints  # [P] in the tracks
    object_rows: Ints  # [P]
    pair_rows: Ints | None  # [P] of known pairs, each at most once, if every detected pair is one of them
    any_found: bool  # whether any track that existed before was found again, human or object


class _Boxes(NamedTuple):
    """The 2 P boxes of a frame, humans first: one pass of array operations serves both kinds."""

    corners: Corners  # [2, 2, 2 P]
    kinds: Ints  # [2 P] HUMAN, or the object's class
    limit: Floats  # [2 P] farthest distance
    cost: Floats  # [tracks, 2 P] distance, infinite where a track cannot be that box
    is_same: Bools  # [2 P, 2 P] whether two boxes overlap like those of one human or object


class _Groups(NamedTuple):
    """Boxes that show one human or object."""

    leaders: Ints  # [G] the first box of each
    votes: Ints  # [G] the track that each belongs to going by its pairs, or NONE
    group_of_box: Ints  # [2 P]


def associate(tracks: BoxTracks, known: KnownPairs, detected: DetectedPairs, t_s: float) -> Association:
    """Match P detected pairs to the tracks, correct these, and begin tracks for what is new.

    First whole pairs are matched, so that of two people who cross each keeps what they carry. Then boxes of one human
    (or object) are merged, unless the pairs say that they are two, and each gets the track that the pairs and its own
    motion agree on.

    Args:
        tracks: tracked humans and objects, changed in place.
        known: the pairs of before.
        detected: the pairs of this frame; the best box of a merged group stands for it.
        t_s: media time.
    """
    num_tracks, num_pairs = len(tracks), len(detected.labels)
    corners = detected.corners()
    both = np.concatenate([tracks.predict(t_s), corners], axis=2, dtype=np.float32)
    certain = match_if_certain(both, num_tracks, known, detected.labels)
    if certain is not None:
        rows = certain.track_rows
        tracks.correct(rows.take(certain.leaders), corners.take(certain.leaders, axis=2), t_s)
        return Association(rows[:num_pairs], rows[num_pairs:], certain.pair_rows, any_found=True)
    boxes = _compare(tracks, corners, both, detected.labels)
    groups = _merge(boxes.is_same, _vote(boxes.cost[:, :num_pairs], boxes.cost[:, num_pairs:], known))
    rows = _identify(boxes.cost.take(groups.leaders, axis=1), boxes.limit.take(groups.leaders), groups.votes)
    any_found = _follow(tracks, boxes, groups.leaders, rows, t_s)
    row_of_box = rows.take(groups.group_of_box)
    return Association(row_of_box[:num_pairs], row_of_box[num_pairs:], None, any_found)


def _compare(tracks: BoxTracks, corners: Corners, both: Corners, labels: Ints) -> _Boxes:
    """Return the frame's boxes, compared with the tracks and with each other."""
    num_tracks, num_pairs = len(tracks), len(labels)
    kinds, limit = np.full(2 * num_pairs, HUMAN), np.full(2 * num_pairs, MAX_HUMAN_DISTANCE)
    kinds[num_pairs:], limit[num_pairs:] = labels, MAX_OBJECT_DISTANCE
    distance, iou = box_distance(both[..., None], both[..., None, num_tracks:])
    is_same_kind = np.concatenate([tracks.labels, kinds])[:, None] == kinds
    is_near = distance[:num_tracks] < limit
    is_near &= is_same_kind[:num_tracks]
    is_same = iou[num_tracks:] >= SAME_BOX_IOU
    is_same &= is_same_kind[num_tracks:]
    return _Boxes(corners, kinds, limit, np.where(is_near, distance[:num_tracks], FAR), is_same)


def _vote(human_cost: Floats, object_cost: Floats, known: KnownPairs) -> Ints:
    """Match whole pairs; return the track that each box [2 P] belongs to by its pair, or NONE. Costs [tracks, P]."""
    num_pairs = human_cost.shape[1]
    cost = human_cost.take(known.human_rows, axis=0)
    cost += object_cost.take(known.object_rows, axis=0)
    cost[cost == np.inf] = MAX_PAIR_DISTANCE
    bonus = known.affinity * (cost < MAX_PAIR_DISTANCE)
    bonus *= AFFINITY_BONUS
    cost -= bonus
    rows, pairs = _cheapest(cost)
    is_close = cost[rows, pairs] < MAX_PAIR_DISTANCE
    rows, pairs = rows[is_close], pairs[is_close]
    votes = np.full(2 * num_pairs, NONE)
    votes[pairs] = known.human_rows.take(rows)
    votes[pairs + num_pairs] = known.object_rows.take(rows)
    return votes


def _merge(is_same: Bools, votes: Ints) -> _Groups:
    """Group boxes: one joins the first leader before it that it overlaps with, unless both have votes that differ."""
    every = np.arange(len(votes))
    if np.count_nonzero(is_same) == len(votes):  # each with itself only
        return _Groups(every, votes, every)
    leader_of, vote_of = every.tolist(), votes.tolist()
    for box, leader in zip(*(index.tolist() for index in is_same.nonzero()), strict=True):
        if leader >= box or leader_of[box] != box or leader_of[leader] != leader:
            continue
        if vote_of[leader] == NONE:
            vote_of[leader] = vote_of[box]
        elif vote_of[box] not in (NONE, vote_of[leader]):
            continue
        leader_of[box] = leader
    leader_of_box = np.array(leader_of, np.int64)
    is_leader = leader_of_box == every
    leaders = is_leader.nonzero()[0]
    group_of_box = (np.cumsum(is_leader) - 1).take(leader_of_box)
    return _Groups(leaders, np.array(vote_of, np.int64).take(leaders), group_of_box)


def _identify(cost: Floats, limit: Floats, votes: Ints) -> Ints:
    """Return the track row of each of G groups of boxes, or NONE; `cost` is [tracks, G], `limit` and `votes` [G]."""
    # What may not be matched costs as much as a match at the limit: to leave two boxes alone must not be dearer than
    # to match both badly, or every newcomer would push the others' tracks on by one.
    np.minimum(cost, limit, out=cost)
    voted = (votes != NONE).nonzero()[0]
    cost[votes.take(voted), voted] -= PAIR_BONUS
    tracks, groups = _cheapest(cost)
    is_close = cost[tracks, groups] < limit.take(groups)
    rows = np.full(len(votes), NONE)
    rows[groups[is_close]] = tracks[is_close]
    return rows


def _follow(tracks: BoxTracks, boxes: _Boxes, leaders: Ints, rows: Ints, t_s: float) -> bool:
    """Correct the tracks `rows` [G], and begin some where that says NONE, in place; return whether any existed before.

    What overlaps with a group that has a track is the same after all: the pairs wrongly called it somebody else.
    """
    found = (rows != NONE).nonzero()[0]
    tracks.correct(rows.take(found), boxes.corners.take(leaders.take(found), axis=2), t_s)
    named, new = found.tolist(), list[int]()
    for group in (rows == NONE).nonzero()[0].tolist():
        same = next((other for other in named if boxes.is_same[leaders[group], leaders[other]]), None)
        if same is not None:
            rows[group] = rows[same]
            continue
        rows[group] = len(tracks) + len(new)
        new.append(leaders.item(group))
        named.append(group)
    if new:
        tracks.add(boxes.corners[:, :, new], boxes.kinds[new], t_s)
    return len(found) > 0


def _cheapest(cost: Floats) -> tuple[Ints, Ints]:
    """Return rows and columns of the cheapest assignment."""
    from scipy.optimize import linear_sum_assignment  # slow to import: `stream.run.preload` begins early

    rows, columns = linear_sum_assignment(cost)
    return rows, columns
