"""What the model's own frames add to the measures of events: where errors come from, and what the tracker is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hoiclip.classifier import TextClassifier
from hoiclip.evaluation.event_measures import row
from hoiclip.evaluation.event_types import PredictedEvent, TrueVideo
from hoiclip.evaluation.events import compare
from hoiclip.evaluation.trade_off import OperatingPoint, at_rates
from stream.recordings.replay import PairFrame, sweep, threshold_each_frame, track
from stream.recordings.true_parts import LADDER, ladder
from stream.track.tracker import TrackerSettings

PLAIN_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def rerun_measures(
    truth: Mapping[str, TrueVideo],
    recordings: Mapping[str, Sequence[PairFrame]],
    classifier: TextClassifier,
    settings: TrackerSettings,
) -> tuple[dict[str, Any], list[OperatingPoint]]:
    """Return measures ready for JSON, and the trade-off by the tracker's enter score.

    `true_parts`: the names of `LADDER`, each with a row of measures. `plain_threshold`: the same of a threshold on each
    frame, by threshold. `by_enter_score` and `at_false_alarm_rates_by_enter_score`: the tracker at other enter scores.
    """
    told: dict[str, dict[str, list[PredictedEvent]]] = {name: {} for name in LADDER}
    for video, frames in recordings.items():
        for name, changed in ladder(frames, truth[video], classifier, settings.min_pair_score).items():
            told[name][video] = track(changed, classifier, settings)
    plain = {
        f"{threshold:g}": {
            video: threshold_each_frame(frames, classifier, threshold) for video, frames in recordings.items()
        }
        for threshold in PLAIN_THRESHOLDS
    }
    points = sweep(truth, recordings, classifier, settings)
    measures = {
        "true_parts": {name: row(compare(truth, events)) for name, events in told.items()},
        "plain_threshold": {name: row(compare(truth, events)) for name, events in plain.items()},
        "by_enter_score": [point.row() for point in points],
        "at_false_alarm_rates_by_enter_score": at_rates(points),
    }
    return measures, points
