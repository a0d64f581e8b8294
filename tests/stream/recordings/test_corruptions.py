from __future__ import annotations

import numpy as np
import pytest

from hoiclip.errors import InputError
from stream.recordings.corruptions import CORRUPTIONS, STRENGTHS, corruption, shrink

HEIGHT, WIDTH = 96, 160


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Stripes, a bright square and a colour ramp: something for every corruption to spoil."""
    shown = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    shown[:, ::8] = 90
    shown[..., 0] += np.linspace(20, 120, WIDTH).astype(np.uint8)
    shown[30:60, 50:90] = (230, 180, 40)
    return shown


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float64) - b).mean())


def test_there_are_twelve():
    assert len(CORRUPTIONS) == 12


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name != "dropped_frames"])
def test_more_strength_spoils_more_and_equal_arguments_spoil_alike(name, picture):
    before = picture.copy()
    spoilt = [corruption(name, strength, 5)(picture, 1.2) for strength in STRENGTHS]
    assert all(each.shape == picture.shape and each.dtype == np.uint8 for each in spoilt)
    costs = [distance(each, picture) for each in spoilt]
    assert 0.3 < costs[0] < costs[1] < costs[2]
    assert np.array_equal(corruption(name, 2, 5)(picture, 1.2), spoilt[1])
    assert np.array_equal(picture, before)


@pytest.mark.parametrize(("name", "moves"), [("noise", True), ("rain", True), ("lens_dirt", False), ("fog", False)])
def test_what_is_fixed_to_the_camera_stays_and_what_falls_does_not(name, moves, picture):
    spoil = corruption(name, 2)
    assert np.array_equal(spoil(picture, 1.0), spoil(picture, 2.0)) is not moves


def test_another_seed_is_another_camera(picture):
    for name in ("noise", "motion_blur", "lens_dirt", "glare", "fog"):
        assert not np.array_equal(corruption(name, 2, 1)(picture, 0.0), corruption(name, 2, 2)(picture, 0.0))


def test_frames_are_dropped_at_the_strengths_rate_and_else_untouched(picture):
    for strength, rate in zip(STRENGTHS, (0.33, 0.5, 0.75), strict=True):
        came = [corruption("dropped_frames", strength)(picture, t / 25) for t in range(1000)]
        assert sum(each is None for each in came) / 1000 == pytest.approx(rate, abs=0.05)
        assert all(each is None or np.array_equal(each, picture) for each in came)


def test_darkness_darkens_glare_brightens_and_blur_keeps_the_light(picture):
    assert corruption("darkness", 3)(picture, 0.0).mean() < 0.25 * picture.mean()
    assert corruption("glare", 1)(picture, 0.0).mean() > picture.mean() + 10
    assert corruption("blur", 3)(picture, 0.0).mean() == pytest.approx(picture.mean(), abs=3)


def test_a_shrunk_frame_lies_in_the_middle(picture):
    half = shrink(0.5)(picture, 0.0)
    assert half.shape == picture.shape
    np.testing.assert_array_equal(half[HEIGHT // 4 + 18, WIDTH // 4 + 32], picture[36, 64])  # inside the square
    assert np.array_equal(shrink(1.0)(picture, 0.0), picture)


def test_unknown_names_and_strengths_are_refused():
    with pytest.raises(InputError, match="expected one of noise"):
        corruption("snow", 1)
    with pytest.raises(InputError, match="expected 1, 2 or 3"):
        corruption("fog", 4)
