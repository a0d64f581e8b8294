"""The pairs of one frame that are worth to be tracked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.track.boxes import Corners

if TYPE_CHECKING:
    from hoiclip.postprocess import PairDetections


class DetectedPairs(NamedTuple):
    """P pairs, best first."""

    boxes: NDArray[np.float64]  # [P, 8] human and object, xyxy in pixels
    labels: NDArray[np.int64]  # [P] object classes
    scores: NDArray[np.float32]  # [P, K]

    def corners(self) -> Corners:
        """Return the boxes as corners [2, 2, 2 P], the humans before the objects."""
        by_kind = self.boxes.reshape(-1, 2, 2, 2)  # pair, kind, corner, coordinate
        return by_kind.transpose(2, 3, 1, 0).reshape(2, 2, -1)


def worth_tracking(detections: PairDetections, min_score: float) -> DetectedPairs:
    """Return the pairs whose best score is at least `min_score`, by falling best score."""
    scores = np.asarray(detections.scores, np.float32)
    best = scores.max(axis=1, initial=0.0)
    order = (-best).argsort(kind="stable")[: np.count_nonzero(best >= min_score)]
    boxes = np.concatenate([detections.human_boxes_xyxy, detections.object_boxes_xyxy], axis=1, dtype=np.float64)
    labels = np.asarray(detections.object_labels, np.int64)
    return DetectedPairs(boxes.take(order, axis=0), labels.take(order), scores.take(order, axis=0))
