"""Intervals against published values, and against how often they hold."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hoiclip.evaluation.intervals import bootstrap, f1_of, rate_interval, wilson


def test_wilsons_interval_has_the_textbook_values():
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, method 3: 81/263, 15/148, 0/20, 1/29.
    for hits, total, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)):
        assert wilson(hits, total) == pytest.approx((low, high), abs=1e-4)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(20, 20)[1] == 1.0


def test_no_false_alarm_in_two_hours_still_allows_almost_two_an_hour():
    assert rate_interval(0, 2.0) == pytest.approx((0.0, 1.92), abs=0.01)
    low, high = rate_interval(10, 1.0)
    assert (low, high) == pytest.approx((5.43, 18.41), abs=0.01)
    assert rate_interval(10, 24.0) == pytest.approx((low / 24, high / 24))
    assert rate_interval(3, 0.0) == (0.0, math.inf)


@pytest.mark.parametrize("rate", [1.0, 4.0, 30.0])
def test_a_rates_interval_holds_about_95_times_of_100(rate):
    counts = np.random.default_rng(1).poisson(rate, 4000)
    held = sum(low <= rate <= high for low, high in (rate_interval(int(n), 1.0) for n in counts))
    assert 0.91 < held / 4000 < 0.985  # counts are whole: 92 % at a rate of 1


def test_the_bootstrap_holds_about_95_times_of_100_and_draws_whole_videos():
    rng = np.random.default_rng(2)
    held = 0
    for trial in range(60):
        matched = rng.binomial(5, 0.8, 40)
        counts = np.stack([matched, np.zeros(40, np.int64), 5 - matched], axis=1)
        low, high = bootstrap(counts, f1_of, seed=trial)
        held += low <= 2 * 0.8 / 1.8 <= high
    assert 52 <= held <= 60
    same = np.tile([[4, 1, 1]], (10, 1))
    assert bootstrap(same, f1_of) == pytest.approx((0.8, 0.8))  # videos that are all alike leave no doubt
    mixed = np.array([[8, 0, 0], [0, 2, 2]] * 5)
    low, high = bootstrap(mixed, f1_of)
    assert low < 0.7 and high > 0.9
    assert bootstrap(mixed, f1_of) == (low, high)
    assert all(math.isnan(v) for v in bootstrap(np.zeros((0, 3)), f1_of))


def test_f1_of_nothing_is_one():
    assert f1_of(np.array([[0.0, 0, 0], [3, 1, 1]])).tolist() == [1.0, 0.75]
