"""Which pair of this frame is which pair of before: human box, object box and object class together."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from stream.track.motion import HUMAN, BoxTracks

# Distances are 1 - IoU + (centre distance / enclosing diagonal)^2: 0 equal, 1 about touching, towards 2 far
# apart. The limits are the best of a dozen on noisy detections made from the procedural world's truth.
MAX_HUMAN_DISTANCE = 1.2
MAX_OBJECT_DISTANCE = 1.5  # small things leave their own box between two frames
SAME_BOX_IOU = 0.5  # boxes of one frame that overlap more show one human, or one object of a class
PAIR_BONUS = 0.5  # what agreement of the whole pair is worth, when humans are told apart
MAX_PAIR_DISTANCE = 2.5  # of human and object together
AFFINITY_BONUS = 2.0  # what doing the same is worth: weak duplicates must not take over a pair's place


class Association(NamedTuple):
    """Track rows of each detected pair."""

    human_rows: list[int]  # [P]
    object_rows: list[int]  # [P]
    found_rows: set[int]  # tracks that existed before and were found again, humans and objects


def associate(
    tracks: BoxTracks,
    pair_rows: tuple[list[int], list[int]],
    boxes: NDArray[Any],
    labels: NDArray[Any],
    order: list[int],
    t_s: float,
    affinity: NDArray[Any] | None = None,
) -> Association:
    """Match P detected pairs to the tracks, correct these, and begin tracks for what is new.

    First whole pairs are matched, so that of two people who cross each keeps what they carry. Then boxes of one human
    (or object) are merged, unless the pairs say that they are two, and each gets the track that the pairs and its own
    motion agree on.

    Args:
        tracks: tracked humans and objects, changed in place.
        pair_rows: rows in `tracks` of the human and of the object of each known pair.
        boxes: [P, 8] xyxy of human and object, in pixels.
        labels: [P] object classes.
        order: [P] the pairs by falling score; the first box of a merged group stands for it.
        t_s: media time.
        affinity: [known pairs, P] in [0, 1], how much alike the interactions of both are.
    """
    num_tracks, num_pairs = len(tracks), len(boxes)
    # All boxes of the frame in one table, humans first: one pass of array operations serves both kinds.
    detected = np.concatenate([boxes[:, :4], boxes[:, 4:]])
    kinds = np.concatenate([np.full(num_pairs, HUMAN), labels])
    distance, iou = box_distance(np.concatenate([tracks.predict(t_s), detected]), detected)
    limit = np.where(kinds == HUMAN, MAX_HUMAN_DISTANCE, MAX_OBJECT_DISTANCE)
    possible = (distance[:num_tracks] < limit) & (tracks.labels[:, None] == kinds)
    # What may not be matched costs as much as a match at the limit: to leave two boxes alone must not be dearer than
    # to match both badly, or every newcomer would push the others' tracks on by one.
    cost = np.where(possible, distance[:num_tracks], limit)

    votes = [-1] * (2 * num_pairs)  # the track that each box belongs to, going by its pair
    if pair_rows[0]:
        humans, objects = (pair_rows[0], slice(num_pairs)), (pair_rows[1], slice(num_pairs, None))
        by_pair = np.where(possible[humans] & possible[objects], cost[humans] + cost[objects], MAX_PAIR_DISTANCE)
        if affinity is not None:
            by_pair = by_pair - AFFINITY_BONUS * np.where(by_pair < MAX_PAIR_DISTANCE, affinity, 0.0)
        for pair, p in _assign(by_pair, MAX_PAIR_DISTANCE):
            votes[p], votes[num_pairs + p] = pair_rows[0][pair], pair_rows[1][pair]

    is_same = (iou[num_tracks:] >= SAME_BOX_IOU) & (kinds[:, None] == kinds)
    is_same.flat[:: 2 * num_pairs + 1] = False  # a box is no duplicate of itself
    group_of, leaders, group_votes = _merge(is_same, votes, order + [num_pairs + p for p in order])
    rows = _identify(cost[:, leaders], group_votes, limit[leaders])
    matched = [group for group, row in enumerate(rows) if row >= 0]
    found = {rows[group] for group in matched}
    if matched:
        tracks.correct([rows[group] for group in matched], detected[[leaders[group] for group in matched]], t_s)
    new: list[int] = []
    for group, leader in enumerate(leaders):
        if rows[group] >= 0:
            continue
        twin = next((g for g in matched if is_same[leader, leaders[g]]), None)
        if twin is not None:  # the pairs wrongly called this box somebody else
            rows[group] = rows[twin]
        else:
            rows[group] = num_tracks + len(new)
            new.append(leader)
            matched.append(group)
    if new:
        tracks.add(detected[new], kinds[new].tolist(), t_s)
    box_rows = [rows[group] for group in group_of]
    return Association(box_rows[:num_pairs], box_rows[num_pairs:], found)


def box_distance(a_xyxy: NDArray[Any], b_xyxy: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return distance and IoU, both [N, M], of boxes `a_xyxy` [N, 4] and `b_xyxy` [M, 4]."""
    # One coordinate at a time: arrays [N, M] without a short last axis are several times faster.
    ax0, ay0, ax1, ay1 = a_xyxy.astype(np.float32).T[:, :, None]
    bx0, by0, bx1, by1 = b_xyxy.astype(np.float32).T[:, None, :]
    aw, ah, bw, bh = ax1 - ax0, ay1 - ay0, bx1 - bx0, by1 - by0
    width = np.minimum(ax1, bx1)
    width -= np.maximum(ax0, bx0)  # shared; negative is a distance
    height = np.minimum(ay1, by1)
    height -= np.maximum(ay0, by0)
    # The enclosing box is as wide as both boxes less what they share.
    diagonal = (aw + bw - width) ** 2
    diagonal += (ah + bh - height) ** 2
    overlap = np.maximum(width, 0.0, out=width)
    overlap *= np.maximum(height, 0.0, out=height)
    iou = overlap / np.maximum(aw * ah + bw * bh - overlap, 1e-9)
    apart = ((ax0 + ax1) - (bx0 + bx1)) ** 2  # of the centres, doubled
    apart += ((ay0 + ay1) - (by0 + by1)) ** 2
    apart /= np.maximum(4 * diagonal, 1e-9, out=diagonal)
    apart += 1.0
    apart -= iou
    return apart, iou


def _merge(is_same: NDArray[np.bool_], votes: list[int], order: list[int]) -> tuple[list[int], list[int], list[int]]:
    """Group boxes that show the same thing. Return each box's group, each group's leader, each group's vote."""
    neighbours: dict[int, list[int]] = {}
    for p, q in zip(*(index.tolist() for index in np.nonzero(is_same)), strict=True):
        neighbours.setdefault(p, []).append(q)
    group_of = [-1] * len(order)
    leaders: list[int] = []
    group_votes: list[int] = []
    for p in order:
        vote, group = votes[p], -1
        if p in neighbours:
            near = neighbours[p]
            group = next(
                (
                    g
                    for g, leader in enumerate(leaders)
                    if leader in near and (vote < 0 or group_votes[g] < 0 or vote == group_votes[g])
                ),
                -1,
            )
        if group < 0:
            group = len(leaders)
            leaders.append(p)
            group_votes.append(vote)
        elif group_votes[group] < 0:
            group_votes[group] = vote
        group_of[p] = group
    return group_of, leaders, group_votes


def _identify(cost: NDArray[Any], votes: list[int], limit: NDArray[Any]) -> list[int]:
    """Return the track row of each group of boxes, -1 where it is new; `cost` is [tracks, groups], changed in place."""
    rows = [-1] * len(votes)
    voted = [(vote, group) for group, vote in enumerate(votes) if vote >= 0]
    if voted:
        cost[[vote for vote, _ in voted], [group for _, group in voted]] -= PAIR_BONUS
    for row, group in _assign(cost, limit):
        rows[group] = row
    return rows


def _assign(cost: NDArray[Any], limit: NDArray[Any] | float) -> list[tuple[int, int]]:
    """Return the (row, column) pairs below `limit` (of the column) of the cheapest assignment."""
    rows, columns = linear_sum_assignment(cost)
    close = cost[rows, columns] < (limit[columns] if isinstance(limit, np.ndarray) else limit)
    return list(zip(rows[close].tolist(), columns[close].tolist(), strict=True))
