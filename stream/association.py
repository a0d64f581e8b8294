"""Which pair of this frame is which pair of before: human box, object box and object class together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from stream.motion import BoxTracks, Float

# Distances are 1 - IoU + (centre distance / enclosing diagonal)^2: 0 equal, 1 touching, towards 2 far apart.
MAX_HUMAN_DISTANCE = 1.15
MAX_OBJECT_DISTANCE = 1.5  # small things leave their own box between two frames
SAME_BOX_IOU = 0.5  # boxes of one frame that overlap more show one human, or one object of a class
PAIR_BONUS = 0.5  # what agreement of the whole pair is worth, when humans are told apart
_IMPOSSIBLE = 1e3


@dataclass(frozen=True)
class Association:
    """Track rows of each detected pair; rows at or beyond the old length are new tracks."""

    human_rows: list[int]  # [P]
    object_rows: list[int]  # [P]
    matched_humans: set[int]  # ids of tracks that existed before and were found again


def associate(
    humans: BoxTracks,
    objects: BoxTracks,
    pair_rows: tuple[list[int], list[int]],
    human_boxes: NDArray[Any],
    object_boxes: NDArray[Any],
    labels: NDArray[Any],
    order: list[int],
    t_s: float,
) -> Association:
    """Match P detected pairs to the tracks, correct these, and begin tracks for what is new.

    First whole pairs are matched, so that of two people who cross each keeps what they carry. Then boxes of one human
    (or object) are merged, unless the pairs say that they are two, and each gets the track that the pairs and its own
    motion agree on.

    Args:
        humans: tracked humans, changed in place.
        objects: tracked objects, changed in place.
        pair_rows: rows in `humans` and in `objects` of each known pair.
        human_boxes: [P, 4] xyxy in pixels.
        object_boxes: [P, 4] xyxy in pixels.
        labels: [P] object classes.
        order: [P] the pairs by falling score; the first box of a merged group stands for it.
        t_s: media time.
    """
    num_humans, num_objects, num_pairs = len(humans), len(objects), len(human_boxes)
    # Humans and objects as one array [2, tracks + P, P]: one pass of small operations instead of four.
    longest = max(num_humans, num_objects)
    left = np.zeros((2, longest + num_pairs, 4))
    left[0, :num_humans], left[1, :num_objects] = humans.predict(t_s), objects.predict(t_s)
    left[0, longest:], left[1, longest:] = human_boxes, object_boxes
    distance, iou = box_distance(left, left[:, longest:])
    human_distance = distance[0, :num_humans]
    object_distance = np.where(objects.labels[:, None] == labels, distance[1, :num_objects], _IMPOSSIBLE)
    human_iou = iou[0, longest:].tolist()
    object_iou = (iou[1, longest:] * (labels[:, None] == labels)).tolist()

    human_votes, object_votes = [-1] * num_pairs, [-1] * num_pairs
    if pair_rows[0]:  # no pair is known, so none can vote
        by_human, by_object = human_distance[pair_rows[0]], object_distance[pair_rows[1]]
        cost = np.where(
            (by_human < MAX_HUMAN_DISTANCE) & (by_object < MAX_OBJECT_DISTANCE), by_human + by_object, _IMPOSSIBLE
        )
        for pair, p in zip(*_assign(cost), strict=True):
            human_votes[p], object_votes[p] = pair_rows[0][pair], pair_rows[1][pair]

    human_rows, found = _identify(
        humans, human_boxes, None, human_distance, human_iou, human_votes, order, MAX_HUMAN_DISTANCE, t_s
    )
    object_rows, _ = _identify(
        objects, object_boxes, labels, object_distance, object_iou, object_votes, order, MAX_OBJECT_DISTANCE, t_s
    )
    return Association(human_rows, object_rows, found)


def box_distance(a_xyxy: NDArray[Any], b_xyxy: NDArray[Any]) -> tuple[Float, Float]:
    """Return distance and IoU, both [..., N, M], of boxes `a_xyxy` [..., N, 4] and `b_xyxy` [..., M, 4]."""
    # One coordinate at a time: arrays of shape [..., N, M] without a short last axis are several times faster.
    ax0, ay0, ax1, ay1 = (a_xyxy[..., i, None] for i in range(4))
    bx0, by0, bx1, by1 = (b_xyxy[..., None, :, i] for i in range(4))
    right, left = np.minimum(ax1, bx1), np.maximum(ax0, bx0)
    low, high = np.minimum(ay1, by1), np.maximum(ay0, by0)
    width_sum, height_sum = (ax1 - ax0) + (bx1 - bx0), (ay1 - ay0) + (by1 - by0)
    inner_width, inner_height = right - left, low - high
    # The enclosing box is as wide as both boxes less what they share.
    diagonal = (width_sum - inner_width) ** 2 + (height_sum - inner_height) ** 2
    overlap = np.maximum(inner_width, 0.0)
    overlap *= np.maximum(inner_height, 0.0)
    area = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0)
    area -= overlap
    iou = overlap / np.maximum(area, 1e-9)
    apart = ((ax0 + ax1) - (bx0 + bx1)) ** 2  # of the centres, doubled
    apart += ((ay0 + ay1) - (by0 + by1)) ** 2
    apart /= np.maximum(4 * diagonal, 1e-9)
    apart += 1.0
    apart -= iou
    return apart, iou


def _identify(
    tracks: BoxTracks,
    boxes: NDArray[Any],
    labels: NDArray[Any] | None,
    distance: Float,
    iou: list[list[float]],
    votes: list[int],
    order: list[int],
    limit: float,
    t_s: float,
) -> tuple[list[int], set[int]]:
    """Return the track row of each box, and the ids of the old tracks found again."""
    group_of, leaders, group_votes = _merge(iou, votes, order)
    rows: list[int] = [-1] * len(leaders)
    if len(tracks):
        near = distance[:, leaders]
        cost = np.where(near < limit, near, _IMPOSSIBLE)
        for group, vote in enumerate(group_votes):
            if vote >= 0:
                cost[vote, group] -= PAIR_BONUS
        for row, group in zip(*_assign(cost), strict=True):
            rows[group] = row
    matched = [group for group, row in enumerate(rows) if row >= 0]
    found = {tracks.ids[rows[group]] for group in matched}
    tracks.correct([rows[group] for group in matched], boxes[[leaders[group] for group in matched]], t_s)
    for group, leader in enumerate(leaders):
        if rows[group] >= 0:
            continue
        twin = next((g for g in matched if iou[leader][leaders[g]] >= SAME_BOX_IOU), None)
        if twin is not None:  # the pairs wrongly called this box somebody else
            rows[group] = rows[twin]
        else:
            rows[group] = tracks.add(boxes[leader], 0 if labels is None else int(labels[leader]), t_s)
            matched.append(group)
    return [rows[group] for group in group_of], found


def _merge(iou: list[list[float]], votes: list[int], order: list[int]) -> tuple[list[int], list[int], list[int]]:
    """Group boxes that show the same thing. Return each box's group, each group's leader, each group's vote."""
    group_of = [0] * len(order)
    leaders: list[int] = []
    group_votes: list[int] = []
    for p in order:
        near = iou[p]
        best, best_iou = -1, SAME_BOX_IOU
        for group, leader in enumerate(leaders):
            agrees = votes[p] < 0 or group_votes[group] < 0 or votes[p] == group_votes[group]
            if agrees and near[leader] >= best_iou:
                best, best_iou = group, near[leader]
        if best < 0:
            best = len(leaders)
            leaders.append(p)
            group_votes.append(votes[p])
        elif group_votes[best] < 0:
            group_votes[best] = votes[p]
        group_of[p] = best
    return group_of, leaders, group_votes


def _assign(cost: Float) -> tuple[list[int], list[int]]:
    """Return rows and columns of the cheapest possible assignment."""
    rows, columns = linear_sum_assignment(cost)
    possible = cost[rows, columns] < _IMPOSSIBLE / 2
    return rows[possible].tolist(), columns[possible].tolist()
