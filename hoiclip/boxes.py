"""Box arithmetic in NumPy: conversions and overlaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]


def cxcywh_to_xyxy(boxes: Boxes) -> Boxes:
    """Return [..., 4] boxes (centre x, centre y, width, height) as (left, top, right, bottom), in the same unit."""
    half = boxes[..., 2:] * 0.5
    return np.concatenate((boxes[..., :2] - half, boxes[..., :2] + half), axis=-1)


def iou_matrix(a: Boxes, b: Boxes, *, plus_one: bool = False) -> Boxes:
    """Return the overlaps [N, M] of xyxy boxes [N, 4] and [M, 4].

    `plus_one` counts pixels inclusively (a box from 3 to 5 is 3 wide), as HICO-DET's evaluation and pair NMS do.
    """
    extra = 1.0 if plus_one else 0.0
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inside = np.clip(high - low + extra, 0.0, None).prod(-1)
    area_a = (a[:, 2:] - a[:, :2] + extra).prod(-1)
    area_b = (b[:, 2:] - b[:, :2] + extra).prod(-1)
    union = area_a[:, None] + area_b[None, :] - inside
    overlap: Boxes = np.where(union > 0, inside / np.where(union > 0, union, 1.0), 0.0).astype(np.float32)
    return overlap
