from __future__ import annotations

import pytest

from stream.backoff import Backoff


def test_delays_grow_to_the_longest_and_no_further() -> None:
    backoff = Backoff(0.05, 2.0)
    delays = [backoff.next() for _ in range(100)]
    for delay, nominal in zip(delays, (0.05, 0.1, 0.2, 0.4), strict=False):
        assert 0.75 * nominal <= delay <= nominal
    assert all(1.5 <= delay <= 2.0 for delay in delays[6:])


def test_after_a_reset_the_first_delay_comes_again() -> None:
    backoff = Backoff(0.05, 2.0)
    for _ in range(20):
        backoff.next()
    backoff.reset()
    assert backoff.attempt == 0
    assert backoff.next() <= 0.05


def test_two_that_fail_together_do_not_try_again_together() -> None:
    one, other = Backoff(1.0, 60.0, seed="one"), Backoff(1.0, 60.0, seed="other")
    assert [one.next() for _ in range(5)] != [other.next() for _ in range(5)]
    assert Backoff(1.0, 60.0, seed="one").next() == pytest.approx(Backoff(1.0, 60.0, seed="one").next())
