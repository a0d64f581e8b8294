from __future__ import annotations

import numpy as np
import pytest

from hoiclip.calibration import smooth, suggest_thresholds

DEFAULT = (0.5, 0.325)  # what the tracker does by itself


def one(scores: np.ndarray, default: tuple[float, float] = DEFAULT) -> tuple[float, float, str]:
    (found,) = suggest_thresholds(["x"], scores.astype(np.float32)[:, None], [default])
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


def test_noise_above_the_default_moves_the_threshold_above_the_noise() -> None:
    noise = np.random.default_rng(1).uniform(0.4, 0.49, 500)  # one group, below the default's 0.5
    enter, leave, basis = one(noise)
    assert basis == "not seen"
    assert enter == pytest.approx(np.quantile(noise, 0.99) + 0.1, abs=0.011)
    assert np.quantile(noise, 0.99) <= leave + 0.01 and leave < enter


@pytest.mark.parametrize("default", [(0.5, 0.325), (0.35, 0.2), (0.7, 0.7)])
def test_quiet_footage_keeps_the_thresholds_that_the_tracker_has(default: tuple[float, float]) -> None:
    quiet = one(np.random.default_rng(1).uniform(0.0, 0.02, 500), default)
    assert quiet == (default[0], pytest.approx(default[1], abs=0.006), "not seen")


def test_little_or_equal_footage_keeps_the_thresholds_that_the_tracker_has() -> None:
    assert one(np.full(5, 0.9)) == (0.5, pytest.approx(0.325, abs=0.006), "too short")
    assert one(np.full(100, 0.9)) == (0.5, pytest.approx(0.325, abs=0.006), "always")
    assert one(np.full(100, 0.45))[2] == "not seen"  # below the default it never was
    assert one(np.full(100, 0.45), (0.4, 0.26))[2] == "always"
    assert suggest_thresholds([], np.zeros((30, 0), np.float32), []) == []


def test_the_suggested_leave_keeps_the_ratio_of_the_trackers_own() -> None:
    rng = np.random.default_rng(0)
    scores = np.where(rng.random(1000) < 0.3, 0.9, 0.02)
    for default in ((0.5, 0.325), (0.5, 0.45)):
        enter, leave, basis = one(scores, default)
        assert basis == "two groups"
        assert leave / enter == pytest.approx(default[1] / default[0], abs=0.03)


def test_smoothing_follows_media_time() -> None:
    step = np.array([[0.0], [1.0], [1.0]], np.float32)
    found = smooth([0.0, 0.3, 0.6], step, 0.3)
    np.testing.assert_allclose(found[:, 0], [0, 1 - np.exp(-1), 1 - np.exp(-2)], atol=1e-6)
    np.testing.assert_array_equal(smooth([0, 1, 2], step, 0.0), step)
