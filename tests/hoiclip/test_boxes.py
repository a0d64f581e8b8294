from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hoiclip.boxes import cxcywh_to_xyxy, iou_matrix

corner = st.integers(0, 12)
box = st.tuples(corner, corner, corner, corner).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


def cells(b: tuple[int, int, int, int], inclusive: bool) -> set[tuple[int, int]]:
    extra = 1 if inclusive else 0
    return {(x, y) for x in range(b[0], b[2] + extra) for y in range(b[1], b[3] + extra)}


@settings(max_examples=150, deadline=None)
@given(st.lists(box, min_size=1, max_size=4), st.lists(box, min_size=1, max_size=4), st.booleans())
def test_overlap_is_the_share_of_common_pixels(a: list, b: list, inclusive: bool) -> None:
    found = iou_matrix(np.array(a, np.float32), np.array(b, np.float32), plus_one=inclusive)
    for i, first in enumerate(a):
        for j, second in enumerate(b):
            one, two = cells(first, inclusive), cells(second, inclusive)
            wanted = len(one & two) / len(one | two) if one | two else 0.0
            assert abs(found[i, j] - wanted) < 1e-6


def test_centres_and_sizes_become_corners() -> None:
    boxes = np.array([[[0.5, 0.4, 0.2, 0.6]]], np.float32)
    np.testing.assert_allclose(cxcywh_to_xyxy(boxes), [[[0.4, 0.1, 0.6, 0.7]]], atol=1e-6)


def test_no_boxes_overlap_nothing() -> None:
    empty = np.zeros((0, 4), np.float32)
    assert iou_matrix(empty, np.ones((3, 4), np.float32)).shape == (0, 3)
