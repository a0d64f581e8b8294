from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.zones.geometry import contains, segments_meet, self_crossing, side_of

SQUARE = [(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8)]
places = st.tuples(st.integers(0, 12), st.integers(0, 12))


@given(st.lists(places, min_size=3, max_size=8), st.lists(places, min_size=1, max_size=20))
def test_points_are_inside_where_opencv_says_so(corners: list[tuple[int, int]], points: list[tuple[int, int]]) -> None:
    """Whole numbers, so that corners, edges and rows of corners are hit all the time."""
    if self_crossing(corners) is not None:
        return
    found = contains(np.array(corners, float), np.array(points, float))
    contour = np.array(corners, np.float32)
    assert found.tolist() == [cv2.pointPolygonTest(contour, (float(x), float(y)), False) >= 0 for x, y in points]


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        (SQUARE, None),
        ([(0, 0), (1, 0), (1, 1), (0.5, 0.2), (0, 1)], None),  # not convex
        ([(0, 0), (1, 1), (1, 0), (0, 1)], (1, 3)),  # a bow tie
        ([(0, 0), (1, 0), (1, 0), (1, 1)], (1, 3)),  # a corner twice
        ([(0, 0), (1, 0), (0.5, 0)], (1, 2)),  # folded back upon itself
        ([(0, 0), (1, 0), (1, 1), (0.5, 0), (0, 1)], (1, 3)),  # a corner upon another edge
    ],
)
def test_polygons_that_meet_themselves_are_found(
    corners: list[tuple[float, float]], expected: tuple[int, int] | None
) -> None:
    assert self_crossing(corners) == expected


@given(places, places, places, places)
def test_segments_meet_whichever_way_they_are_written(
    a: tuple[int, int], b: tuple[int, int], c: tuple[int, int], d: tuple[int, int]
) -> None:
    meet = segments_meet(a, b, c, d)
    assert meet == segments_meet(b, a, c, d) == segments_meet(c, d, b, a)
    if a in (c, d) or b in (c, d):
        assert meet


def test_the_right_hand_of_who_walks_to_the_right_is_below_in_a_picture() -> None:
    sides = side_of(np.array([0.0, 0.5]), np.array([1.0, 0.5]), np.array([[0.3, 0.9], [0.3, 0.1], [7.0, 0.5]]))
    assert sides.tolist() == pytest.approx([0.4, -0.4, 0.0])
