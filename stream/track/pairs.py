"""The table of tracked pairs: who they are, where they were last seen, what they score."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class PairTable(NamedTuple):
    """N pairs in the order in which they were first seen, K interactions; columns are changed in place."""

    pair_ids: Ints  # [N] as published, like the two that follow
    human_ids: Ints
    object_ids: Ints
    labels: Ints  # [N] object classes
    human_rows: Ints  # [N] in the tracks, like the one that follows
    object_rows: Ints
    seen_s: Floats  # [N] when last worth tracking
    in_view_s: Floats  # [N] when last seen at all, as an idle pair too
    still_since_s: Floats  # [N] since when neither human nor object moved away from `anchors`
    is_seen: Bools  # [N] in the last frame
    boxes: Floats  # [N, 8] human and object, xyxy in pixels, as last seen
    anchors: Floats  # [N, 8] the same when one of them last moved
    smoothed: NDArray[np.float32]  # [N, K] scores
    is_muted: Bools  # [N, K] interactions taken for scenery
    absence: Ints  # [N] why it is not seen, an `Absence`
    absent_s: Floats  # [N] for how long it was looked for in vain

    @classmethod
    def empty(cls, num_interactions: int) -> Self:
        """Return a table without pairs."""
        ids, times, boxes = [np.zeros(0, np.int64)] * 6, [np.zeros(0)] * 3, [np.zeros((0, 8))] * 2
        scores, flags = np.zeros((0, num_interactions), np.float32), np.zeros((0, num_interactions), np.bool_)
        absence = [np.zeros(0, np.int64), np.zeros(0)]
        return cls._make([*ids, *times, np.zeros(0, np.bool_), *boxes, scores, flags, *absence])

    @property
    def num_pairs(self) -> int:
        """N."""
        return len(self.pair_ids)

    def at(self, rows: Ints | Bools) -> Self:
        """Return a table of these pairs only."""
        return type(self)._make(column[rows] for column in self)

    def followed_by(self, others: Self) -> Self:
        """Return a table of these pairs and `others`."""
        return type(self)._make(np.concatenate([mine, other]) for mine, other in zip(self, others, strict=True))
