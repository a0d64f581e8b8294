"""Every measure of events in one document, ready for JSON: counts, intervals, alarms, delays, tracking, causes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoiclip.evaluation.event_errors import find_errors
from hoiclip.evaluation.events import Candidates, result_of
from hoiclip.evaluation.intervals import bootstrap, f1_of, rate_interval, wilson
from hoiclip.evaluation.pair_tracking import TrackingCounts, count_tracking, track_frames
from hoiclip.evaluation.segments import edit_score, f1_by_overlap
from hoiclip.evaluation.trade_off import TFA_LIMIT, at_rates, naudc, trade_off

HOURS_A_DAY = 24.0


def measure(compared: Sequence[Candidates]) -> dict[str, Any]:
    """Return all measures of the compared videos, by name as docs/evaluation.md explains them.

    Intervals hold 95 %. `by_interaction` is last, the long lists before it.
    """
    result = result_of(compared)
    summary = result.summary()
    by_interaction = summary.pop("by_interaction")
    hours = sum(each.truth.length_s for each in compared) / 3600
    counts = video_counts(compared)
    mean_naudc, naudc_of = naudc(compared)
    return {
        **summary,
        "f1_interval": interval(bootstrap(counts, f1_of)),
        "precision_interval": interval(wilson(len(result.matches), len(result.matches) + len(result.false))),
        "recall_interval": interval(wilson(len(result.matches), len(result.matches) + len(result.missed))),
        "camera_hours": hours,
        "false_alarms": false_alarms(counts[:, 1], hours),
        "f1_by_temporal_iou": f1_by_overlap(compared),
        "edit_score": edit_score(compared),
        f"naudc_{TFA_LIMIT:g}": mean_naudc,
        "tracking": tracking(compared),
        "causes": find_errors(compared).summary(),
        "at_false_alarm_rates": at_rates(trade_off(compared)),
        "by_interaction": {
            name: each
            | alarm_rate(each["false"], hours)
            | {"recall_interval": interval(wilson(each["matched"], each["matched"] + each["missed"]))}
            | ({"naudc": naudc_of[name]} if name in naudc_of else {})
            for name, each in by_interaction.items()
        },
    }


def video_counts(compared: Sequence[Candidates]) -> NDArray[np.int64]:
    """Return matched, false and missed of each video, [V, 3]."""
    rows = []
    for each in compared:
        matched = len(each.match())
        rows.append((matched, len(each.events) - matched, len(each.true) - matched))
    return np.array(rows, np.int64).reshape(-1, 3)


def false_alarms(by_video: NDArray[np.int64], hours: float) -> dict[str, Any]:
    """Return the false alarms of all interactions together.

    The interval is the wider one of two: counts alone (Wilson's score), and videos drawn again, which sees that false
    alarms come in bursts.
    """
    total = int(by_video.sum())
    rates = alarm_rate(total, hours)
    if hours and total:
        low, high = bootstrap(by_video[:, None], lambda sums: sums[:, 0] / hours)
        by_count = rates["per_hour_interval"]
        widest = [min(low, by_count[0]), max(high, by_count[1])]
        rates |= {"per_hour_interval": widest, "per_day_interval": [HOURS_A_DAY * v for v in widest]}
    return {"count": total} | rates


def alarm_rate(count: int, hours: float) -> dict[str, Any]:
    """Return false alarms a camera-hour and a camera-day with their score intervals; null where there is no footage."""
    if not hours:
        return {"per_hour": None, "per_hour_interval": None, "per_day": None, "per_day_interval": None}
    low, high = rate_interval(count, hours)
    return {
        "per_hour": count / hours,
        "per_hour_interval": [low, high],
        "per_day": HOURS_A_DAY * count / hours,
        "per_day_interval": [HOURS_A_DAY * low, HOURS_A_DAY * high],
    }


def tracking(compared: Sequence[Candidates]) -> dict[str, float | None]:
    """Return pair IDF1 and HOTA with its two halves, of pairs with an interaction that goes on."""
    counts = TrackingCounts.total([count_tracking(track_frames(each.truth, each.events)) for each in compared])
    return {
        "pair_idf1": counts.idf1,
        "pair_hota": counts.hota,
        "pair_deta": counts.detection_accuracy,
        "pair_assa": counts.association_accuracy,
    }


def interval(bounds: tuple[float, float]) -> list[float] | None:
    """Return an interval for JSON; None where it is unknown."""
    return None if any(math.isnan(v) for v in bounds) else list(bounds)


def row(compared: Sequence[Candidates]) -> dict[str, Any]:
    """Return the measures that fit into one line of a table that compares ways of making events."""
    result = result_of(compared)
    summary = result.summary()
    hours = sum(each.truth.length_s for each in compared) / 3600
    onset, end = summary["onset_delay_s"], summary["end_delay_s"]
    return {
        "f1": result.f1,
        "f1_interval": interval(bootstrap(video_counts(compared), f1_of)),
        "precision": result.precision,
        "recall": result.recall,
        "num_false": len(result.false),
        "num_missed": len(result.missed),
        "false_alarms_per_hour": len(result.false) / hours if hours else None,
        "fragmentation": summary["fragmentation"],
        "identity_switches": result.identity_switches,
        "onset_delay_median_s": onset["median"] if onset else None,
        "end_delay_median_s": end["median"] if end else None,
        **tracking(compared),
    }
