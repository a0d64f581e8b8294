"""What stays still is scenery (a poster, a parked bicycle): where it was, and when something moves there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.track.boxes import box_distance, to_corners
from stream.track.pairs import PairTable
from stream.track.saved import Arrays

STILL_SHIFT = 0.06  # of the human's size: less is a detector's jitter
SAME_PLACE_IOU = 0.7
MAX_PLACES = 64


def watch_movement(pairs: PairTable, rows: NDArray[np.int64], t_s: float) -> None:
    """Note which of the pairs `rows` moved since their anchors were set; these are no scenery any more."""
    boxes, anchors = pairs.boxes.take(rows, axis=0), pairs.anchors.take(rows, axis=0)
    size = anchors[:, 2:4] - anchors[:, :2]
    area = np.maximum(size[:, 0] * size[:, 1], 1.0)
    is_moved = np.abs(boxes - anchors).max(axis=1, initial=0.0) > STILL_SHIFT * np.sqrt(area)
    if np.count_nonzero(is_moved):
        moved = rows[is_moved]
        pairs.still_since_s[moved] = t_s
        pairs.is_muted[moved] = False
        pairs.anchors[moved] = boxes[is_moved]


class SceneryPlaces:
    """Where pairs were that were taken for scenery and then not seen for long: the last `MAX_PLACES` of them."""

    def __init__(self, num_interactions: int) -> None:
        self._boxes = np.zeros((0, 8))  # human and object, xyxy in pixels
        self._is_muted = np.zeros((0, num_interactions), np.bool_)

    def remember(self, pairs: PairTable) -> None:
        """Take over from pairs that will be dropped what is muted, and where."""
        is_scenery = pairs.is_muted.any(axis=1)
        if is_scenery.any():
            self._boxes = np.concatenate([self._boxes, pairs.anchors[is_scenery]])[-MAX_PLACES:]
            self._is_muted = np.concatenate([self._is_muted, pairs.is_muted[is_scenery]])[-MAX_PLACES:]

    def mute(self, pairs: PairTable) -> None:
        """Mute new pairs at these places: scenery that was missed for a while is still scenery."""
        if not len(self._boxes) or not pairs.num_pairs:
            return
        is_same = np.ones((pairs.num_pairs, len(self._boxes)), np.bool_)
        for box in (slice(0, 4), slice(4, 8)):
            new, old = to_corners(pairs.boxes[:, box]), to_corners(self._boxes[:, box])
            is_same &= box_distance(new[..., None], old[..., None, :])[1] >= SAME_PLACE_IOU
        for row in np.flatnonzero(is_same.any(axis=1)).tolist():
            places = np.flatnonzero(is_same[row])
            pairs.is_muted[row] |= self._is_muted[places].any(axis=0)
            pairs.anchors[row] = self._boxes[places[-1]]

    def saved(self) -> dict[str, NDArray[Any]]:
        """Return the state; see `stream.track.saved`."""
        return {"boxes": self._boxes, "is_muted": self._is_muted}

    def restore(self, arrays: Arrays) -> None:
        """Go on from what `saved` returned."""
        self._boxes, self._is_muted = arrays["boxes"], arrays["is_muted"]

    def forget(self) -> None:
        """Forget all places: another view begins."""
        self._boxes, self._is_muted = self._boxes[:0], self._is_muted[:0]
