"""Distances of boxes against the definition, one pair at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stream.track.boxes import box_distance, to_corners


def defined(a: list[float], b: list[float]) -> tuple[float, float]:
    """Return distance and IoU as the docstring defines them."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    iou = shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
    centres = math.dist(((a[0] + a[2]) / 2, (a[1] + a[3]) / 2), ((b[0] + b[2]) / 2, (b[1] + b[3]) / 2))
    enclosing = math.hypot(max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1]))
    return 1 - iou + (centres / enclosing) ** 2, iou


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(-50, 300, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(1, 150, (count, 2))], axis=1)


def test_distance_and_iou_are_as_defined() -> None:
    rng = np.random.default_rng(0)
    a, b = random_boxes(rng, 40), random_boxes(rng, 30)
    distance, iou = box_distance(to_corners(a)[..., None], to_corners(b)[..., None, :])
    assert distance.shape == iou.shape == (40, 30)
    assert np.count_nonzero(iou) > 100 and np.count_nonzero(iou == 0) > 100
    for i, j in np.ndindex(40, 30):
        assert (distance[i, j], iou[i, j]) == pytest.approx(defined(a[i].tolist(), b[j].tolist()), abs=1e-5)


def test_equal_boxes_have_no_distance_and_points_are_no_error() -> None:
    a = to_corners(np.array([[10.0, 20, 30, 60], [5, 5, 5, 5]]))
    distance, iou = box_distance(a, a)
    assert distance[0] == pytest.approx(0, abs=1e-6) and iou[0] == pytest.approx(1)
    assert np.isfinite(distance[1]) and iou[1] == 0
