"""How far boxes are apart, for many boxes at once: corners of boxes, coordinates first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Corners = NDArray[Any]
"""Boxes as [2, 2, …]: upper left and lower right corner, x and y, boxes. Long last axes are several times faster."""


def to_corners(boxes_xyxy: NDArray[Any]) -> Corners:
    """Return boxes [N, 4] as corners float32 [2, 2, N]."""
    return np.ascontiguousarray(boxes_xyxy.T, np.float32).reshape(2, 2, len(boxes_xyxy))


def box_distance(a: Corners, b: Corners) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return distance and IoU of boxes, float32, whose last axes broadcast against each other.

    The distance is 1 - IoU + (centre distance / enclosing diagonal)^2: 0 equal, 1 about touching, towards 2 far apart.
    """
    (a_low, a_high), (b_low, b_high) = a, b
    a_size, b_size = a_high - a_low, b_high - b_low
    shared = np.minimum(a_high, b_high)
    shared -= np.maximum(a_low, b_low)  # negative is a distance
    enclosing = a_size + b_size  # the enclosing box is as wide as both boxes less what they share
    enclosing -= shared
    enclosing *= enclosing
    diagonal = np.add(enclosing[0], enclosing[1], out=enclosing[0])
    np.maximum(shared, 0.0, out=shared)
    overlap = np.multiply(shared[0], shared[1], out=shared[0])
    union = a_size[0] * a_size[1] + b_size[0] * b_size[1]
    union -= overlap
    iou = np.divide(overlap, np.maximum(union, 1e-9, out=union), out=union)
    apart = (a_low + a_high) * 0.5 - (b_low + b_high) * 0.5  # of the centres
    apart *= apart
    distance = np.add(apart[0], apart[1], out=apart[0])
    distance /= np.maximum(diagonal, 0.25e-9, out=diagonal)
    distance += 1.0
    distance -= iou
    return distance, iou
