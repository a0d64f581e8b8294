"""What a threshold buys: recall against false alarms an hour, delays at a fixed rate, ActEV's nAUDC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hoiclip.evaluation.event_types import PredictedEvent, TrueInteraction
from hoiclip.evaluation.events import Candidates
from hoiclip.evaluation.intervals import wilson

MAX_POINTS = 200
TFA_LIMIT = 0.2  # nAUDC's upper limit of time-based false alarm, as in ActEV's sequestered data leaderboard
HOURLY_LIMITS = (60.0, 30.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.1)


class OperatingPoint(NamedTuple):
    """What is found and what is falsely said when only events this sure are told."""

    threshold: float
    num_matched: int
    num_true: int
    num_false: int
    hours: float
    onset_delays_s: tuple[float, ...]  # of the matched ones, until a line said so at this threshold

    @property
    def recall(self) -> float:
        """Share of true interactions that are found; 1 where nothing happened."""
        return self.num_matched / self.num_true if self.num_true else 1.0

    @property
    def false_per_hour(self) -> float:
        """False alarms a camera-hour."""
        return self.num_false / self.hours if self.hours else float("nan")

    def row(self) -> dict[str, Any]:
        """Return the point ready for JSON or a table."""
        low, high = wilson(self.num_matched, self.num_true)
        p50, p95, p99 = np.percentile(self.onset_delays_s, [50, 95, 99]) if self.onset_delays_s else [None] * 3
        return {
            "threshold": self.threshold,
            "recall": self.recall,
            "recall_low": low,
            "recall_high": high,
            "false_alarms": self.num_false,
            "false_alarms_per_hour": self.false_per_hour,
            "onset_delay_p50_s": None if p50 is None else float(p50),
            "onset_delay_p95_s": None if p95 is None else float(p95),
            "onset_delay_p99_s": None if p99 is None else float(p99),
        }


def trade_off(compared: Sequence[Candidates]) -> list[OperatingPoint]:
    """Return the operating points by falling threshold on the peak score; the last one is what was published."""
    peaks = np.unique(np.concatenate([[0.0], *(each.peaks for each in compared)]))
    peaks = peaks[1:] if len(peaks) > 1 else peaks
    hours = sum(each.truth.length_s for each in compared) / 3600
    return [_point(compared, peak, hours) for peak in _spread_out(peaks)[::-1].tolist()]


def _spread_out(peaks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return at most `MAX_POINTS` of the rising `peaks`, the first and the last among them."""
    if len(peaks) <= MAX_POINTS:
        return peaks
    chosen: NDArray[np.float64] = peaks[np.linspace(0, len(peaks) - 1, MAX_POINTS).round().astype(np.int64)]
    return chosen


def _point(compared: Sequence[Candidates], threshold: float, hours: float) -> OperatingPoint:
    matched, false, delays = 0, 0, []
    for each in compared:
        chosen = each.match(min_peak=threshold)
        matched += len(chosen)
        false += int((each.peaks >= threshold).sum()) - len(chosen)
        for i, j in chosen:
            if (said_s := each.events[j].announced_at(threshold)) is not None:
                delays.append(said_s - each.true[i].start_s)
    num_true = sum(len(each.true) for each in compared)
    return OperatingPoint(threshold, matched, num_true, false, hours, tuple(delays))


def at_rates(points: Sequence[OperatingPoint], limits: Sequence[float] = HOURLY_LIMITS) -> list[dict[str, Any]]:
    """Return, for each limit of false alarms an hour, the best recall that keeps it; null where no threshold does.

    Limits below one false alarm in all the footage are left out: the footage is too short to tell.
    """
    rows = []
    for limit in limits:
        if not points or limit * points[0].hours < 1:
            continue
        within = [point for point in points if point.false_per_hour <= limit]
        best = max(within, key=lambda point: point.recall, default=None)
        rows.append({"limit_per_hour": limit} | (best.row() if best else {"threshold": None, "recall": None}))
    return rows


class ActivityCurve(NamedTuple):
    """Miss probability against time-based false alarm of one interaction, by falling threshold."""

    tfa: tuple[float, ...]
    p_miss: tuple[float, ...]

    def naudc(self, limit: float = TFA_LIMIT) -> float:
        """Return the normalised area under the curve up to `limit`: 0 is perfect, 1 finds nothing.

        The curve begins at (0, 1), is straight between points and level after the last.
        """
        x, y = [0.0, *self.tfa, max(limit, *self.tfa, 0.0)], [1.0, *self.p_miss, (1.0, *self.p_miss)[-1]]
        area = 0.0
        for (x0, y0), (x1, y1) in zip(zip(x, y, strict=True), list(zip(x, y, strict=True))[1:], strict=False):
            if x0 >= limit:
                break
            if x1 > limit:
                y1, x1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0), limit
            area += (x1 - x0) * (y0 + y1) / 2
        return area / limit


def naudc(compared: Sequence[Candidates], limit: float = TFA_LIMIT) -> tuple[float | None, dict[str, float]]:
    """Return the mean nAUDC over the interactions that happened, and that of each by name.

    The time-based false alarm (TFA) of an interaction is the time that events of it claim in excess of the true ones
    that go on at that moment, divided by the time in which none goes on.

    Source: NIST, TRECVID ActEV evaluation plan (protocol ActEV_SDL_V2) and its public scorer, ActEV_Scorer: nAUDC@a =
    (1/a) x the integral of P_miss over TFA from 0 to a, a = 0.2. Ours differs in how events are matched: the same human
    and temporal IoU >= 0.5 instead of overlap alone.
    """
    names = sorted({true.name for each in compared for true in each.true})
    by_name = {name: _curve(compared, name).naudc(limit) for name in names}
    return (float(np.mean(list(by_name.values()))) if by_name else None), by_name


def _curve(compared: Sequence[Candidates], name: str) -> ActivityCurve:
    num_true = sum(true.name == name for each in compared for true in each.true)
    peaks = np.unique([e.peak_score for each in compared for e in each.events if e.name == name])
    idle_s = sum(each.truth.length_s - _covered_s([t for t in each.true if t.name == name]) for each in compared)
    tfa, p_miss = [], []
    for threshold in _spread_out(peaks)[::-1].tolist():
        hits, excess_s = 0, 0.0
        for each in compared:
            hits += len(each.match(min_peak=threshold, name=name))
            claimed = [e for e in each.events if e.name == name and e.peak_score >= threshold]
            excess_s += _excess_s(claimed, [t for t in each.true if t.name == name])
        tfa.append(excess_s / idle_s if idle_s > 0 else 1.0)
        p_miss.append(1 - hits / num_true)
    return ActivityCurve(tuple(tfa), tuple(p_miss))


def _covered_s(spans: Sequence[TrueInteraction]) -> float:
    """Return for how long at least one of `spans` goes on."""
    covered, until = 0.0, -np.inf
    for span in sorted(spans, key=lambda each: each.start_s):
        covered += max(0.0, span.end_s - max(span.start_s, until))
        until = max(until, span.end_s)
    return covered


def _excess_s(claimed: Sequence[PredictedEvent], true: Sequence[TrueInteraction]) -> float:
    """Return the time that `claimed` spans cover in excess of `true` ones, counted as often as they do."""
    steps = [(e.start_s, 1) for e in claimed] + [(e.end_s, -1) for e in claimed]
    steps += [(t.start_s, -1) for t in true] + [(t.end_s, 1) for t in true]
    excess, level, before_s = 0.0, 0, 0.0
    for t_s, step in sorted(steps):
        excess += max(level, 0) * (t_s - before_s)
        level, before_s = level + step, t_s
    return excess
