"""Intersection over union as the data sets define it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def paired_iou(a_xyxy: NDArray[Any], b_xyxy: NDArray[Any], *, inclusive: bool = True) -> NDArray[np.float64]:
    """Return the IoU [N] of row i of `a_xyxy` [N, 4] with row i of `b_xyxy` [N, 4], in pixels.

    `inclusive` counts the last pixel too: a box is ``x1 - x0 + 1`` wide, the convention of PASCAL VOC and HICO-DET.
    """
    extra = 1.0 if inclusive else 0.0
    a, b = np.asarray(a_xyxy, np.float64), np.asarray(b_xyxy, np.float64)
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]) + extra
    both = np.clip(sides, 0.0, None).prod(1)
    union = (a[:, 2:] - a[:, :2] + extra).prod(1) + (b[:, 2:] - b[:, :2] + extra).prod(1) - both
    iou: NDArray[np.float64] = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return iou
