"""Thresholds from unlabelled footage: where an interaction's scores fall into two groups, cut between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = 0.1, 0.9  # of any suggestion
FLOOR = 0.05  # scores below are all the same noise; their logits would spread it out
MIN_FRAMES = 20  # fewer say nothing
MIN_STEP = 1.5  # between the two groups, in logits: 0.2 against 0.53
MIN_UPPER_FRAMES = 3
MIN_UPPER_MEDIAN = 0.2  # a "group" below is the top of the noise
QUIET_MARGIN = 0.1  # above the noise, where the interaction was not seen

Basis = Literal["two groups", "not seen", "always", "too short"]


@dataclass(frozen=True)
class Suggestion:
    """Thresholds of one interaction, in [0, 1], and what they rest on.

    `basis`: "two groups" is evidence on both sides; "not seen" keeps a distance from the noise; "always" and "too
    short" are the defaults, since one kind of frame says nothing.
    """

    name: str
    enter: float
    leave: float
    basis: Basis
    share_above: float  # of the frames, whose score reaches `enter`
    noise: float  # 99 % of the frames without it are below
    typical: float | None  # median score of the frames with it


def suggest_thresholds(
    names: Sequence[str], scores: NDArray[np.float32], defaults: Sequence[tuple[float, float]]
) -> list[Suggestion]:
    """Return a suggestion for each of the K interactions from scores [T, K], each frame's best pair, in [0, 1].

    Scores should be smoothed over time as the tracker does it, since its thresholds apply to smoothed scores.
    `defaults` are its own (enter, leave) for each interaction: they stand where the footage says nothing, and the
    suggested `leave` keeps their ratio.
    """
    return [
        _suggest(name, scores[:, k].astype(np.float64), *default)
        for k, (name, default) in enumerate(zip(names, defaults, strict=True))
    ]


def smooth(times_s: Sequence[float], scores: NDArray[np.float32], smoothing_s: float) -> NDArray[np.float32]:
    """Return scores [T, K] smoothed by an exponential of the given time constant over media times [T]."""
    out = scores.astype(np.float32).copy()
    for i in range(1, len(out)):
        gain = 1.0 if smoothing_s <= 0 else -np.expm1(-(times_s[i] - times_s[i - 1]) / smoothing_s)
        out[i] = out[i - 1] + np.float32(gain) * (scores[i] - out[i - 1])
    return out


def _suggest(name: str, scores: NDArray[np.float64], default_enter: float, default_leave: float) -> Suggestion:
    ratio = default_leave / default_enter if default_enter > 0 else 1.0
    if len(scores) < MIN_FRAMES:
        return _result(name, scores, default_enter, default_leave, "too short", None, None)
    limited = np.clip(scores, FLOOR, 1 - FLOOR)
    logits = np.log(limited / (1 - limited))
    cut = _otsu(logits)
    lower, upper = scores[logits <= cut], scores[logits > cut]
    step = float(np.mean(logits[logits > cut]) - np.mean(logits[logits <= cut])) if len(upper) and len(lower) else 0.0
    seen = len(upper) >= MIN_UPPER_FRAMES and step >= MIN_STEP and float(np.median(upper)) >= MIN_UPPER_MEDIAN
    if not seen:
        if float(np.median(scores)) >= default_enter:  # one group, and it is high
            return _result(name, scores, default_enter, default_leave, "always", None, float(np.median(scores)))
        noise = float(np.quantile(scores, 0.99))
        enter = max(default_enter, noise + QUIET_MARGIN)
        return _result(name, scores, enter, max(ratio * enter, noise), "not seen", noise, None)
    noise, typical = float(np.quantile(lower, 0.99)), float(np.median(upper))
    # Nearer to the noise than to what is typical: smoothed scores climb slowly, and each step of waiting is delay.
    enter = max(noise + 0.4 * (typical - noise), noise + 0.02)
    leave = min(ratio * enter, enter) if noise < ratio * enter else noise + 0.25 * (enter - noise)
    return _result(name, scores, enter, leave, "two groups", noise, typical)


def _result(
    name: str,
    scores: NDArray[np.float64],
    enter: float,
    leave: float,
    basis: Basis,
    noise: float | None,
    typical: float | None,
) -> Suggestion:
    enter = round(float(np.clip(enter, LOWEST, HIGHEST)), 2)
    leave = round(min(leave, enter), 2)
    above = float((scores >= enter).mean()) if len(scores) else 0.0
    floor = noise if noise is not None else float(np.quantile(scores, 0.99)) if len(scores) else 0.0
    return Suggestion(name, enter, leave, basis, above, floor, typical)


def _otsu(values: NDArray[np.float64]) -> float:
    """Return the cut that parts `values` into the two groups of least spread (Otsu 1979), between two of them."""
    ordered = np.sort(values)
    count = np.arange(1, len(ordered))
    total = np.cumsum(ordered)
    low = total[:-1] / count
    high = (total[-1] - total[:-1]) / (len(ordered) - count)
    between = count * (len(ordered) - count) * (high - low) ** 2
    between[ordered[1:] == ordered[:-1]] = -1.0  # equal values stay together
    best = int(between.argmax())
    return float((ordered[best] + ordered[best + 1]) / 2) if between[best] > 0 else float(ordered[-1])
