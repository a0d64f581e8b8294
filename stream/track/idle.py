"""Pairs in view that do little: they open nothing, and show that what was going on is over, not out of sight."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.track.absence import Absence
from stream.track.boxes import box_distance, to_corners
from stream.track.motion import BoxTracks
from stream.track.pairs import PairTable

if TYPE_CHECKING:
    from hoiclip.postprocess import PairDetections

Ints = NDArray[np.int64]
MIN_HUMAN_IOU, MIN_OBJECT_IOU = 0.6, 0.5  # with where the pair is expected


class IdlePairs(NamedTuple):
    """S known pairs that a frame shows doing little."""

    rows: Ints  # [S] in the table of pairs, each once
    boxes: NDArray[np.float64]  # [S, 8] human and object, xyxy in pixels
    scores: NDArray[np.float32]  # [S, K]


def find_idle(
    pairs: PairTable, tracks: BoxTracks, rows: Ints, detections: PairDetections, *, min_score: float, t_s: float
) -> IdlePairs | None:
    """Return which of the pairs `rows`, not among those worth tracking, the frame at `t_s` shows all the same, if any.

    They are looked for among the detections whose scores are all below `min_score`. A pair behind somebody is left
    alone: what is seen there may be another's.
    """
    rows = rows[pairs.absence.take(rows) != Absence.HIDDEN]
    scores = np.asarray(detections.scores, np.float32)
    idle = (scores.max(axis=1, initial=0.0) < min_score).nonzero()[0]
    if not len(rows) or not len(idle):
        return None
    expected = np.asarray(tracks.predict(t_s), np.float32)[..., None]
    humans, objects = detections.human_boxes_xyxy[idle], detections.object_boxes_xyxy[idle]
    human_iou = box_distance(expected[:, :, pairs.human_rows[rows]], to_corners(humans)[..., None, :])[1]
    object_iou = box_distance(expected[:, :, pairs.object_rows[rows]], to_corners(objects)[..., None, :])[1]
    fits = (human_iou >= MIN_HUMAN_IOU) & (object_iou >= MIN_OBJECT_IOU)
    fits &= pairs.labels[rows, None] == np.asarray(detections.object_labels)[idle]
    agreement = np.where(fits, human_iou + object_iou, 0.0)
    best = agreement.argmax(axis=1)
    is_found = fits.any(axis=1)
    if not is_found.any():
        return None
    best = best[is_found]
    boxes = np.concatenate([humans[best], objects[best]], axis=1, dtype=np.float64)
    return IdlePairs(rows[is_found], boxes, scores[idle[best]])
