"""Match events to what really happened in a video: found, in time, in one piece, about the same people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hoiclip.evaluation.event_types import (
    MIN_HUMAN_IOU,
    Box,
    PredictedEvent,
    Sighting,
    TrueInteraction,
    TrueVideo,
)
from hoiclip.evaluation.overlap import paired_iou

__all__ = [
    "MIN_HUMAN_IOU",
    "MIN_TEMPORAL_IOU",
    "Box",
    "Candidates",
    "EventsResult",
    "PredictedEvent",
    "Sighting",
    "TrueInteraction",
    "TrueVideo",
    "compare",
    "evaluate_events",
    "temporal_iou",
]

MIN_TEMPORAL_IOU = 0.5


@dataclass(frozen=True)
class Candidates:
    """Which events of one video could be which true interactions. T true interactions, E events."""

    video: str
    truth: TrueVideo
    events: tuple[PredictedEvent, ...]
    same: NDArray[np.bool_]  # [T, E] one name, and the same human
    overlap: NDArray[np.float64]  # [T, E] temporal IoU as dated

    @property
    def true(self) -> tuple[TrueInteraction, ...]:
        """The video's true interactions."""
        return self.truth.interactions

    @cached_property
    def peaks(self) -> NDArray[np.float64]:
        """How sure each event is, [E]."""
        return np.array([event.peak_score for event in self.events], np.float64)

    @cached_property
    def blocks(self) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """True interactions and events by name, as indices: only those of one name can match."""
        true, told = ([each.name for each in group] for group in (self.true, self.events))
        return {
            name: (np.flatnonzero([n == name for n in true]), np.flatnonzero([n == name for n in told]))
            for name in sorted(set(true) & set(told))
        }

    def match(
        self, min_overlap: float = MIN_TEMPORAL_IOU, min_peak: float = -np.inf, name: str | None = None
    ) -> list[tuple[int, int]]:
        """Return (true, event) indices matched one to one: the most that are possible, of these the best in time.

        Only events whose peak score is `min_peak` or more take part; with `name` only those called so.
        """
        chosen = []
        for block, (rows, columns) in self.blocks.items():
            if name is not None and block != name:
                continue
            columns = columns[self.peaks[columns] >= min_peak]
            overlap = self.overlap[np.ix_(rows, columns)]
            possible = self.same[np.ix_(rows, columns)] & (overlap >= min_overlap - 1e-9)
            pairs = linear_sum_assignment(-np.where(possible, 1.0 + overlap / (len(self.true) + 1), 0.0))
            chosen += [(int(rows[i]), int(columns[j])) for i, j in zip(*pairs, strict=True) if possible[i, j]]
        return sorted(chosen)


@dataclass(frozen=True)
class EventsResult:
    """Counts and delays over all videos. Delays are in seconds, positive when late."""

    matches: tuple[tuple[str, TrueInteraction, PredictedEvent], ...]  # video, truth, event
    missed: tuple[tuple[str, TrueInteraction], ...]
    false: tuple[tuple[str, PredictedEvent], ...]
    pieces: tuple[int, ...]  # for each true interaction that was seen at all: how many events it was told in
    identity_switches: int
    num_videos: int

    @property
    def precision(self) -> float:
        """Share of events that are true; 1 where nothing was said."""
        return _share(len(self.matches), len(self.false))

    @property
    def recall(self) -> float:
        """Share of true interactions that were found; 1 where nothing happened."""
        return _share(len(self.matches), len(self.missed))

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = 2 * len(self.matches) + len(self.false) + len(self.missed)
        return 2 * len(self.matches) / total if total else 1.0

    def summary(self) -> dict[str, Any]:
        """Return every measure, ready for JSON."""
        delays = {
            "onset_delay_s": [event.announced_s - true.start_s for _, true, event in self.matches],
            "end_delay_s": [event.closed_s - true.end_s for _, true, event in self.matches],
            "onset_dating_error_s": [event.start_s - true.start_s for _, true, event in self.matches],
            "end_dating_error_s": [event.end_s - true.end_s for _, true, event in self.matches],
        }
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "num_videos": self.num_videos,
            "num_true": len(self.matches) + len(self.missed),
            "num_predicted": len(self.matches) + len(self.false),
            "num_matched": len(self.matches),
            **{name: spread(values) for name, values in delays.items()},
            "fragmentation": float(np.mean(self.pieces)) if self.pieces else None,
            "num_fragmented": sum(count > 1 for count in self.pieces),
            "identity_switches": self.identity_switches,
            "by_interaction": self.by_interaction(),
        }

    def by_interaction(self) -> dict[str, dict[str, int]]:
        """Return counts of matched, missed and false by interaction name."""
        counts: dict[str, dict[str, int]] = defaultdict(lambda: {"matched": 0, "missed": 0, "false": 0})
        for _, true, _ in self.matches:
            counts[true.name]["matched"] += 1
        for _, true in self.missed:
            counts[true.name]["missed"] += 1
        for _, event in self.false:
            counts[event.name]["false"] += 1
        return dict(sorted(counts.items()))


def evaluate_events(
    truth: Mapping[str, TrueVideo], predictions: Mapping[str, Sequence[PredictedEvent]]
) -> EventsResult:
    """Match events to true interactions, one to one, video by video.

    They may match if they have one name, a temporal IoU of 0.5 or more as dated, and mean the same human: its box
    overlaps the true human's by 0.3 or more in most of the event's lines. Of the possible matches the most are made,
    and of these the ones that overlap most in time.
    """
    return result_of(compare(truth, predictions))


def compare(
    truth: Mapping[str, TrueVideo], predictions: Mapping[str, Sequence[PredictedEvent]]
) -> tuple[Candidates, ...]:
    """Return, for each video, which events could be which true interactions."""
    compared = []
    for video, true_video in truth.items():
        true, events = true_video.interactions, tuple(predictions.get(video, ()))
        same = np.array(
            [[t.name == e.name and _same_human(true_video, t.human_id, e) for e in events] for t in true], np.bool_
        ).reshape(len(true), len(events))
        compared.append(Candidates(video, true_video, events, same, temporal_iou(true, events)))
    return tuple(compared)


def result_of(compared: Sequence[Candidates], min_overlap: float = MIN_TEMPORAL_IOU) -> EventsResult:
    """Match every video and count."""
    matches, missed, false, pieces, switches = [], [], [], [], 0
    for each in compared:
        chosen = each.match(min_overlap)
        found, used = {i for i, _ in chosen}, {j for _, j in chosen}
        matches += [(each.video, each.true[i], each.events[j]) for i, j in chosen]
        missed += [(each.video, t) for i, t in enumerate(each.true) if i not in found]
        false += [(each.video, e) for j, e in enumerate(each.events) if j not in used]
        pieces += [int(count) for count in (each.same & (each.overlap > 0)).sum(1) if count]
        switches += _identity_switches(each.truth, each.events)
    return EventsResult(tuple(matches), tuple(missed), tuple(false), tuple(pieces), switches, len(compared))


def temporal_iou(true: Sequence[TrueInteraction], events: Sequence[PredictedEvent]) -> NDArray[np.float64]:
    """Return [T, E]; instants have no extent and overlap nothing."""
    start_t, end_t = np.array([[t.start_s, t.end_s] for t in true]).reshape(-1, 2).T[:, :, None]
    start_e, end_e = np.array([[e.start_s, e.end_s] for e in events]).reshape(-1, 2).T[:, None, :]
    both = np.clip(np.minimum(end_t, end_e) - np.maximum(start_t, start_e), 0.0, None)
    union = (end_t - start_t) + (end_e - start_e) - both
    iou: NDArray[np.float64] = both / np.maximum(union, 1e-9)
    return iou


def _same_human(video: TrueVideo, human_id: int, event: PredictedEvent) -> bool:
    """Whether most sightings that can be checked are of this human; true where none can."""
    checked = [(video.human_box(human_id, s.t_s), s.human_box) for s in event.sightings]
    known = [(true, found) for true, found in checked if true is not None]
    if not video.human_boxes or not event.sightings:
        return True
    if not known:
        return False
    overlap = paired_iou(np.array([found for _, found in known]), np.array([true for true, _ in known]))
    return bool(2 * (overlap >= MIN_HUMAN_IOU).sum() >= len(known))


def _identity_switches(video: TrueVideo, events: Sequence[PredictedEvent]) -> int:
    """Count how often a true human's predicted id differs from the one before."""
    sightings = sorted((s.t_s, e.human_id, s.human_box) for e in events for s in e.sightings)
    last: dict[int, int] = {}
    switches = 0
    for t_s, predicted_id, box in sightings:
        human = video.nearest_human(box, t_s)
        if human is None:
            continue
        switches += last.get(human, predicted_id) != predicted_id
        last[human] = predicted_id
    return switches


def _share(hits: int, others: int) -> float:
    return hits / (hits + others) if hits + others else 1.0


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Return median, 90th, 95th and 99th percentile; of early and late ones the late are the worse."""
    if not values:
        return None
    percentiles = {"median": 50, "p90": 90, "p95": 95, "p99": 99}
    return {name: float(np.percentile(values, percent)) for name, percent in percentiles.items()}
