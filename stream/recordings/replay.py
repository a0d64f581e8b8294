"""From kept frame scores to events, without the model: the tracker at any settings, and a plain threshold beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hoiclip.classifier import TextClassifier
from hoiclip.evaluation.event_types import PredictedEvent, Sighting, TrueVideo
from hoiclip.evaluation.events import compare, result_of
from hoiclip.evaluation.trade_off import OperatingPoint
from hoiclip.postprocess import PairDetections
from hoiclip.vocabulary import spoken
from stream.recordings.frame_scores import FrameScores
from stream.track.tracker import PairTracker, TrackerSettings, Transition

SWEEP = tuple(round(0.15 + 0.05 * step, 2) for step in range(16))  # enter scores, 0.15 to 0.9


class PairFrame(NamedTuple):
    """What the tracker gets of one frame."""

    t_s: float
    pairs: PairDetections
    is_cut: bool = False
    size_hw: tuple[int, int] = (0, 0)  # of the recording's frame, in pixels; (0, 0) where nobody asks


def detected(frames: Sequence[FrameScores], classifier: TextClassifier, settings: TrackerSettings) -> list[PairFrame]:
    """Return the pairs as the model found them."""
    return [PairFrame(f.t_s, f.pairs(classifier, settings.min_pair_score), f.is_cut, f.size_hw) for f in frames]


def track(frames: Sequence[PairFrame], classifier: TextClassifier, settings: TrackerSettings) -> list[PredictedEvent]:
    """Return the events that the tracker makes of a recording's pairs, in order of their start."""
    tracker = PairTracker(
        classifier.names,
        object_names=classifier.object_names,
        no_interaction=classifier.no_interaction,
        settings=settings,
    )
    lives: dict[tuple[int, int, float], list[Transition]] = {}
    steps = [
        step
        for frame in frames
        for step in tracker.update(
            frame.t_s, frame.pairs, cut=frame.is_cut, size_hw=frame.size_hw if frame.size_hw[0] else None
        )
    ]
    steps += tracker.flush(frames[-1].t_s, "end_of_file") if frames else []
    for step in steps:
        lives.setdefault((step.pair_id, step.interaction, step.started_s), []).append(step)
    events = [_event(life, classifier) for life in lives.values()]
    return sorted(events, key=lambda event: (event.start_s, event.name, event.human_id))


def _event(steps: Sequence[Transition], classifier: TextClassifier) -> PredictedEvent:
    first, last = steps[0], steps[-1]
    end_s = first.started_s + last.duration_s
    return PredictedEvent(
        name=spoken(classifier.names[first.interaction]),
        human_id=first.human_id,
        start_s=first.started_s,
        end_s=end_s,
        announced_s=first.t_s,
        closed_s=last.t_s,
        sightings=tuple(_sighting(step, step.t_s) for step in steps if step.kind != "ended"),
        pair_id=first.pair_id,
        object=spoken(first.object),
        peak_score=max(step.peak_score for step in steps),
        last_seen=_sighting(last, end_s),
    )


def _sighting(step: Transition, t_s: float) -> Sighting:
    return Sighting(t_s, step.human_box_xyxy_px, step.object_box_xyxy_px, step.score)


def threshold_each_frame(
    frames: Sequence[PairFrame], classifier: TextClassifier, threshold: float
) -> list[PredictedEvent]:
    """Return what a plain threshold makes of a recording: an interaction goes on while any pair of the frame scores it.

    No smoothing, no patience, nobody is followed: the least that a tracker must beat. Every run of frames is an event,
    of the surest pair of each frame.
    """
    events: list[PredictedEvent] = []
    runs: dict[int, list[tuple[float, int, PairDetections]]] = {}

    def close(k: int, until_s: float) -> None:
        run = runs.pop(k)
        lines = tuple(
            Sighting(t_s, _box(pairs.human_boxes_xyxy[p]), _box(pairs.object_boxes_xyxy[p]), float(pairs.scores[p, k]))
            for t_s, p, pairs in run
        )
        peak = max(line.score or 0.0 for line in lines)
        label = int(run[0][2].object_labels[run[0][1]])
        thing, number = spoken(classifier.object_names[label]), len(events) + 1
        name, start_s = spoken(classifier.names[k]), lines[0].t_s
        events.append(PredictedEvent(name, number, start_s, until_s, start_s, until_s, lines, number, thing, peak))

    for frame in frames:
        best = frame.pairs.scores.max(0, initial=0.0)
        on = {int(k) for k in np.flatnonzero(best >= threshold) if not classifier.no_interaction[k]}
        for k in sorted(set(runs) - on):
            close(k, frame.t_s)
        for k in sorted(on):
            runs.setdefault(k, []).append((frame.t_s, int(frame.pairs.scores[:, k].argmax()), frame.pairs))
    for k in sorted(runs):
        close(k, frames[-1].t_s)
    return events


def _box(box: Iterable[float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(v) for v in box)
    return x0, y0, x1, y1


def sweep(
    truth: Mapping[str, TrueVideo],
    recordings: Mapping[str, Sequence[PairFrame]],
    classifier: TextClassifier,
    settings: TrackerSettings,
    enter_scores: Sequence[float] = SWEEP,
) -> list[OperatingPoint]:
    """Return what the tracker finds at each enter score, by falling score: the trade-off that its setting really gives.

    Interactions with thresholds of their own keep them.
    """
    points = []
    for enter in sorted(enter_scores, reverse=True):
        changed = replace(settings, enter_score=enter, leave_score=None)
        told = {name: track(frames, classifier, changed) for name, frames in recordings.items()}
        result = result_of(compare(truth, told))
        delays = tuple(event.announced_s - true.start_s for _, true, event in result.matches)
        hours = sum(video.length_s for video in truth.values()) / 3600
        num_true = len(result.matches) + len(result.missed)
        points.append(OperatingPoint(enter, len(result.matches), num_true, len(result.false), hours, delays))
    return points
