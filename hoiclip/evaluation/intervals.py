"""Intervals that hold 95 times of 100: for shares, for rates, and for any measure over videos."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054  # standard normal deviate of 97.5 %
NUM_SAMPLES = 10_000

Interval = tuple[float, float]


def wilson(hits: int, total: int) -> Interval:
    """Return Wilson's score interval of the share `hits` / `total`; (0, 1) where nothing was counted.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
    """
    if total == 0:
        return 0.0, 1.0
    share, z2 = hits / total, Z95**2
    centre = share + z2 / (2 * total)
    half = Z95 * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    low, high = (centre - half) / (1 + z2 / total), (centre + half) / (1 + z2 / total)
    return max(low, 0.0), min(high, 1.0)


def rate_interval(count: int, exposure: float) -> Interval:
    """Return the score interval of the rate `count` / `exposure` of what happens now and then (Poisson).

    Wilson's interval for counts without an upper bound: none in T hours still allows 3.84 / T an hour. Things that come
    in bursts vary more: `bootstrap` over videos sees that.
    """
    if exposure <= 0:
        return 0.0, math.inf
    z2 = Z95**2
    half = Z95 * math.sqrt(count + z2 / 4)
    return max(count + z2 / 2 - half, 0.0) / exposure, (count + z2 / 2 + half) / exposure


def bootstrap(
    per_video: NDArray[Any], statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]], *, seed: int = 0
) -> Interval:
    """Return the 95 % percentile interval of a statistic of sums over videos, videos drawn with replacement.

    Args:
        per_video: [V, C] counts of each video.
        statistic: of sums [B, C] to values [B]; NaN is left out.
        seed: equal seeds give equal intervals.

    Source: Efron and Tibshirani, "An introduction to the bootstrap", 1993.
    """
    counts = np.asarray(per_video, np.float64)
    if not len(counts):
        return math.nan, math.nan
    drawn = np.random.default_rng(seed).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), NUM_SAMPLES)
    values = statistic(drawn @ counts)
    values = values[~np.isnan(values)]
    if not len(values):
        return math.nan, math.nan
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def f1_of(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return F1 [B] of sums [B, 3] of matched, false and missed; 1 where there is nothing."""
    matched, false, missed = sums.T
    total = 2 * matched + false + missed
    f1: NDArray[np.float64] = np.divide(2 * matched, total, out=np.ones_like(total), where=total > 0)
    return f1
