"""What a match of boxes and pairs is worth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

# Limits of `box_distance`. They are the best of a dozen on noisy detections made from the procedural world's truth.
MAX_HUMAN_DISTANCE = 1.2
MAX_OBJECT_DISTANCE = 1.5  # small objects leave their own box between two frames
SAME_BOX_IOU = 0.5  # boxes of one frame that overlap more show one human, or one object of a class
PAIR_BONUS = 0.5  # what agreement of the whole pair is worth, when humans are told apart
MAX_PAIR_DISTANCE = 2.5  # of human and object together
AFFINITY_BONUS = 2.0  # what doing the same is worth: weak duplicates must not take over a pair's place
NONE = -1


class KnownPairs(NamedTuple):
    """N pairs of before, to be found again."""

    human_rows: Ints  # [N] in the tracks
    object_rows: Ints  # [N]
    labels: Ints  # [N] object classes
    affinity: NDArray[np.float32]  # [N, P] in [0, 1], how much alike the interactions of both are
