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
    detected = np.concatenate([human_boxes, object_boxes])
    tracked = np.concatenate([humans.predict(t_s), objects.predict(t_s)])
    distance, iou = box_distance(np.concatenate([tracked, detected]), detected)
    human_distance = distance[:num_humans, :num_pairs]
    object_distance = distance[num_humans : num_humans + num_objects, num_pairs:]
    object_distance = np.where(objects.labels[:, None] == labels[None], object_distance, _IMPOSSIBLE)
    human_iou = iou[num_humans + num_objects :][:num_pairs, :num_pairs].tolist()
    object_iou = iou[num_humans + num_objects + num_pairs :, num_pairs:]
    object_iou = np.where(labels[:, None] == labels[None], object_iou, 0.0).tolist()

    human_votes, object_votes = [-1] * num_pairs, [-1] * num_pairs
    if pair_rows[0]:
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
    """Return distance and IoU, both [N, M], of boxes `a_xyxy` [N, 4] and `b_xyxy` [M, 4]."""
    a, b = a_xyxy[:, None], b_xyxy[None]
    inner = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0.0, None)
    outer = np.maximum(a[..., 2:], b[..., 2:]) - np.minimum(a[..., :2], b[..., :2])
    overlap = inner[..., 0] * inner[..., 1]
    area_a = (a_xyxy[:, 2] - a_xyxy[:, 0]) * (a_xyxy[:, 3] - a_xyxy[:, 1])
    area_b = (b_xyxy[:, 2] - b_xyxy[:, 0]) * (b_xyxy[:, 3] - b_xyxy[:, 1])
    iou = overlap / np.maximum(area_a[:, None] + area_b[None] - overlap, 1e-9)
    twice = (a_xyxy[:, :2] + a_xyxy[:, 2:])[:, None] - (b_xyxy[:, :2] + b_xyxy[:, 2:])[None]  # of the centres
    apart = (twice[..., 0] ** 2 + twice[..., 1] ** 2) / 4
    diagonal = outer[..., 0] ** 2 + outer[..., 1] ** 2
    return 1.0 - iou + apart / np.maximum(diagonal, 1e-9), iou


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
