"""Measure events against what really happened in a video: found, in time, in one piece, about the same people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hoiclip.evaluation.overlap import paired_iou

MIN_TEMPORAL_IOU = 0.5
MIN_HUMAN_IOU = 0.3  # tells people apart; whether boxes are tight is the business of picture measures

Box = tuple[float, float, float, float]  # xyxy in pixels


class Sighting(NamedTuple):
    """Where an event line put its human, at a media time."""

    t_s: float
    human_box: Box


@dataclass(frozen=True)
class PredictedEvent:
    """One published interaction, from its lines `started` to `ended`."""

    name: str
    human_id: int
    start_s: float  # as dated
    end_s: float  # as dated
    announced_s: float  # media time of the frame that said so
    closed_s: float  # media time of the frame that ended it
    sightings: tuple[Sighting, ...] = ()


@dataclass(frozen=True)
class TrueInteraction:
    """One interaction that really happened."""

    name: str
    human_id: int
    start_s: float
    end_s: float


@dataclass(frozen=True)
class TrueVideo:
    """The truth about a video; without `human_boxes` only names and times are compared."""

    interactions: tuple[TrueInteraction, ...]
    frame_times_s: NDArray[np.float64]  # [F] rising
    human_boxes: Sequence[Mapping[int, Box]] = ()  # per frame, by human id

    def human_box(self, human_id: int, t_s: float) -> Box | None:
        """Return the box of a human in the frame nearest to `t_s`, or None where it is not in view."""
        return self._at(t_s).get(human_id)

    def nearest_human(self, box: Box, t_s: float) -> int | None:
        """Return the human who overlaps `box` best at `t_s`, at `MIN_HUMAN_IOU` or more."""
        people = self._at(t_s)
        if not people:
            return None
        ids = sorted(people)
        overlap = paired_iou(np.array([box] * len(ids)), np.array([people[i] for i in ids]))
        best = int(overlap.argmax())
        return ids[best] if overlap[best] >= MIN_HUMAN_IOU else None

    def _at(self, t_s: float) -> Mapping[int, Box]:
        if not self.human_boxes:
            return {}
        after = int(np.searchsorted(self.frame_times_s, t_s))
        near = [i for i in (after - 1, after) if 0 <= i < len(self.human_boxes)]
        return self.human_boxes[min(near, key=lambda i: abs(self.frame_times_s[i] - t_s))]


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
            **{name: _spread(values) for name, values in delays.items()},
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
    matches, missed, false, pieces, switches = [], [], [], [], 0
    for video, true_video in truth.items():
        true, events = true_video.interactions, list(predictions.get(video, ()))
        same = np.array(
            [[t.name == e.name and _same_human(true_video, t.human_id, e) for e in events] for t in true], np.bool_
        ).reshape(len(true), len(events))
        overlap = _temporal_iou(true, events)
        possible = same & (overlap >= MIN_TEMPORAL_IOU - 1e-9)
        rows, columns = linear_sum_assignment(-np.where(possible, 1.0 + overlap / (len(true) + 1), 0.0))
        chosen = [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if possible[i, j]]
        matches += [(video, true[i], events[j]) for i, j in chosen]
        missed += [(video, t) for i, t in enumerate(true) if i not in {i for i, _ in chosen}]
        false += [(video, e) for j, e in enumerate(events) if j not in {j for _, j in chosen}]
        pieces += [int(count) for count in (same & (overlap > 0)).sum(1) if count]
        switches += _identity_switches(true_video, events)
    return EventsResult(tuple(matches), tuple(missed), tuple(false), tuple(pieces), switches, len(truth))


def _temporal_iou(true: Sequence[TrueInteraction], events: Sequence[PredictedEvent]) -> NDArray[np.float64]:
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


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    """Return median and 90th percentile; of early and late ones the late are the worse."""
    if not values:
        return None
    return {"median": float(np.median(values)), "p90": float(np.percentile(values, 90))}
