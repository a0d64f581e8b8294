from __future__ import annotations

import numpy as np
import pytest

from hoiclip.calibration import DEFAULT_ENTER, smooth, suggest_thresholds


def one(scores: np.ndarray) -> tuple[float, float, str]:
    (found,) = suggest_thresholds(["x"], scores.astype(np.float32)[:, None])
    assert 0 <= found.leave <= found.enter <= 1
    return found.enter, found.leave, found.basis


@pytest.mark.parametrize(("low", "high"), [(0.02, 0.8), (0.05, 0.4), (0.3, 0.85)])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
def test_the_cut_lies_between_two_groups(low: float, high: float, share: float) -> None:
    rng = np.random.default_rng(0)
    is_high = rng.random(1000) < share
    scores = np.clip(np.where(is_high, high, low) + rng.normal(scale=0.03, size=1000), 0, 1)
    enter, leave, basis = one(scores)
    assert basis == "two groups"
    assert low < leave < enter < high
    assert (scores[is_high] > enter).mean() > 0.97
    assert (scores[~is_high] > enter).mean() < 0.03


def test_footage_without_the_interaction_keeps_a_distance_from_the_noise() -> None:
    noise = np.random.default_rng(1).uniform(0.3, 0.45, 500)
    enter, leave, _ = one(np.minimum(noise, 0.45) * 0.999)
    assert enter > 0.45 or enter == DEFAULT_ENTER
    quiet = one(np.random.default_rng(1).uniform(0.0, 0.02, 500))
    assert quiet == (DEFAULT_ENTER, pytest.approx(0.23, abs=0.01), "not seen")
    assert leave <= enter


def test_little_or_equal_footage_gives_the_defaults() -> None:
    assert one(np.full(5, 0.9))[2] == "too short"
    assert one(np.full(100, 0.9))[2] == "always"
    assert one(np.zeros(100))[2] == "not seen"
    assert suggest_thresholds([], np.zeros((30, 0), np.float32)) == []


def test_smoothing_follows_media_time() -> None:
    step = np.array([[0.0], [1.0], [1.0]], np.float32)
    found = smooth([0.0, 0.3, 0.6], step, 0.3)
    np.testing.assert_allclose(found[:, 0], [0, 1 - np.exp(-1), 1 - np.exp(-2)], atol=1e-6)
    np.testing.assert_array_equal(smooth([0, 1, 2], step, 0.0), step)
