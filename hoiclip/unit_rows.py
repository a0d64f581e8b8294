"""Means and directions of embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoiclip.classifier import Floats


def mean_row(groups: Sequence[Floats]) -> Floats:
    """Return the mean [E] of all rows of the groups, each [N, E]."""
    return np.asarray(np.concatenate(groups).mean(0), np.float32)


def unit_row(row: NDArray[Any]) -> Floats:
    """Return a row [E] of length one, zeros as they are."""
    norm = float(np.linalg.norm(row))
    return np.asarray(row / norm if norm > 1e-8 else row, np.float32)
