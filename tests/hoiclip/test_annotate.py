from __future__ import annotations

import numpy as np
import pytest

from hoiclip.annotate import PALETTE, DrawnPair, draw_pairs

SIZES = [(48, 64), (256, 448), (1080, 1920)]


def pairs(height: int, width: int, count: int = 3) -> list[DrawnPair]:
    return [
        DrawnPair(
            (0.1 * width + i, 0.2 * height, 0.4 * width + i, 0.9 * height),
            (0.3 * width, 0.5 * height, 0.6 * width, 0.8 * height),
            ("ride bicycle 0.87",),
            i,
        )
        for i in range(count)
    ]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_boxes_and_labels_are_drawn_and_the_picture_given_is_left_alone(height: int, width: int) -> None:
    image = np.full((height, width, 3), 90, np.uint8)
    drawn = draw_pairs(image, pairs(height, width, 1))
    assert (image == 90).all()
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert (drawn == PALETTE[0]).all(-1).sum() > height / 2


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_labels_never_cover_one_another(height: int, width: int) -> None:
    """Each plate has its own colour along its left edge and letters of its colour: none may be painted over."""
    image = np.full((height, width, 3), 90, np.uint8)
    alone = [(draw_pairs(image, [pair]) == PALETTE[pair.colour]).all(-1).sum() for pair in pairs(height, width)]
    plates = [DrawnPair((0, 0, 0, 0), (0, 0, 0, 0), ("ride bicycle 0.87",), i) for i in range(3)]
    together = draw_pairs(image, plates)
    shown = [(together == PALETTE[i]).all(-1).sum() for i in range(3)]
    assert all(count > 0 for count in shown[: 2 if height < 60 else 3])
    if height > 60:
        assert max(shown) < 1.5 * min(shown) + 10
    assert all(alone)


def test_letters_grow_with_the_picture() -> None:
    def plate_rows(height: int) -> int:
        image = np.full((height, 2 * height, 3), 200, np.uint8)
        pair = DrawnPair((height, height / 2, height, height / 2), (0, height - 1, 0, height - 1), ("walk dog",), 0)
        return int((draw_pairs(image, [pair]) < 40).all(-1).any(1).sum())

    assert plate_rows(256) >= 11
    assert plate_rows(1080) > 2.5 * plate_rows(256)


def test_boxes_outside_the_frame_not_numbers_and_long_labels_are_drawn_inside() -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    wild = DrawnPair((-50, float("nan"), 500, 60), (1e9, -1e9, float("inf"), 5), ("a person tapping " * 20, "x"), -3)
    drawn = draw_pairs(image, [wild])
    assert drawn.shape == (120, 160, 3)
    assert drawn.any()


def test_a_picture_of_one_pixel_and_no_pairs_are_fine() -> None:
    dot = np.zeros((1, 1, 3), np.uint8)
    assert draw_pairs(dot, [DrawnPair((0, 0, 1, 1), (0, 0, 1, 1), ("x",))]).shape == (1, 1, 3)
    np.testing.assert_array_equal(draw_pairs(dot, []), dot)


def test_a_pair_with_little_opacity_is_faint_and_one_with_none_is_not_drawn() -> None:
    image = np.full((120, 160, 3), 90, np.uint8)
    full, half, gone = (
        draw_pairs(image, [DrawnPair((20, 30, 60, 100), (80, 40, 140, 90), ("hold cup 0.80",), 1, opacity)])
        for opacity in (1.0, 0.5, 0.0)
    )
    changed = (full != 90).any(-1)
    assert (half[changed] == ((full[changed].astype(int) + 90) / 2 + 0.5).astype(np.uint8)).mean() > 0.9
    assert (gone == 90).all()


def test_dashes_leave_about_half_of_the_boxes() -> None:
    image = np.full((240, 320, 3), 90, np.uint8)
    boxes = (40, 30, 300, 200), (40, 30, 300, 200)
    solid = (draw_pairs(image, [DrawnPair(*boxes, (), 0)]) != 90).any(-1)
    dashed = (draw_pairs(image, [DrawnPair(*boxes, (), 0, is_dashed=True)]) != 90).any(-1)
    assert 0.4 < dashed.sum() / solid.sum() < 0.7
    assert not (dashed & ~solid).any()
