"""Polygons and segments in the plane, in NumPy.

A camera has a handful of polygons of a handful of corners, and each frame a handful of points: shapely would bring GEOS
(some 10 MB) for the two functions below, and OpenCV (60 MB, not needed to run) tests one point a call.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Bools = NDArray[np.bool_]
Point = tuple[float, float]


def contains(polygon: Points, points: Points) -> Bools:
    """Return [P]: which `points` [P, 2] are in the simple `polygon` [N, 2], its edge included. N is at least 3."""
    start, end = polygon, np.roll(polygon, -1, axis=0)
    x, y = points[:, :1], points[:, 1:]
    from_x, from_y = start.T
    along_x, along_y = (end - start).T
    area = along_x * (y - from_y) - along_y * (x - from_x)  # [P, N], 0 on the line through an edge
    is_between = ((x - from_x) * (x - end[:, 0]) <= 0) & ((y - from_y) * (y - end[:, 1]) <= 0)
    on_edge = ((area == 0) & is_between).any(axis=1)
    # A ray to the right crosses an edge that spans the point's height and is right of it.
    spans = (from_y > y) != (end[:, 1] > y)
    is_right = np.where(along_y > 0, area > 0, area < 0)
    inside: Bools = on_edge | (np.count_nonzero(spans & is_right, axis=1) % 2 == 1)
    return inside


def side_of(start: Points, end: Points, points: Points) -> Points:
    """Return [P]: distances of `points` [P, 2] from the line through `start` and `end`, in their unit.

    Above 0 is on the right hand of who walks from `start` to `end` in a picture, whose y points down.
    """
    along = end - start
    x, y = (points - start).T
    distances: Points = (along[0] * y - along[1] * x) / max(float(np.hypot(*along)), 1e-12)
    return distances


def segments_meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the closed segments a-b and c-d have a point in common."""
    turns = [_turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)]
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    ends = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(turn == 0 and _is_in_box(*end) for turn, end in zip(turns, ends, strict=True))


def self_crossing(polygon: Sequence[Point]) -> tuple[int, int] | None:
    """Return the numbers, from 1, of the corners where the first two edges of `polygon` begin that meet and must not.

    Neighbours meet in their common corner only; a corner that comes twice, or an edge without length, meets as well.
    None for a simple polygon.
    """
    count = len(polygon)
    for i in range(count):
        a, b = polygon[i], polygon[(i + 1) % count]
        if a == b:
            return i + 1, (i + 1) % count + 1
        for j in range(i + 1, count):
            c, d = polygon[j], polygon[(j + 1) % count]
            if j == i + 1 or (i == 0 and j == count - 1):
                far, corner, near = (d, b, a) if j == i + 1 else (c, a, b)
                folds_back = _turn(near, corner, far) == 0 and _dot(near, corner, far) > 0
                if folds_back:
                    return i + 1, j + 1
            elif segments_meet(a, b, c, d):
                return i + 1, j + 1
    return None


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _dot(near: Point, corner: Point, far: Point) -> float:
    return (near[0] - corner[0]) * (far[0] - corner[0]) + (near[1] - corner[1]) * (far[1] - corner[1])


def _is_in_box(a: Point, b: Point, c: Point) -> bool:
    return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])
