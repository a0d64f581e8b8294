"""How well pairs keep their ids over time: IDF1 and HOTA of human and object together.

Sources: IDF1: Ristani et al., "Performance measures and a data set for multi-target, multi-camera tracking", ECCV
workshops 2016. HOTA: Luiten et al., "HOTA: a higher order metric for evaluating multi-object tracking", IJCV 2021.
Equal to TrackEval 1.3 on 200 random tracks; some of its values are in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hoiclip.evaluation.event_types import Box, PredictedEvent, Sighting, TrueVideo
from hoiclip.evaluation.overlap import paired_iou

ALPHAS = np.arange(0.05, 0.99, 0.05)  # localisation thresholds of HOTA
MIN_OVERLAP = 0.5  # of IDF1
STEP_S = 0.2  # how often pairs are compared

PairBoxes = tuple[Box, Box]  # human, object


@dataclass(frozen=True)
class TrackFrame:
    """The pairs of one moment. T true ones, P told ones."""

    true_ids: NDArray[np.int64]  # [T]
    told_ids: NDArray[np.int64]  # [P]
    overlap: NDArray[np.float64]  # [T, P] the smaller of the IoUs of humans and of objects


@dataclass(frozen=True)
class TrackingCounts:
    """Sums of one or more videos; ids of different videos are different."""

    id_true: float  # pairs whose id is right under the best one-to-one mapping of ids
    num_true: int
    num_told: int
    hits: NDArray[np.float64]  # [A] matched pairs by `ALPHAS`
    association: NDArray[np.float64]  # [A] sum over matched pairs of how well their ids agree over time

    @property
    def idf1(self) -> float | None:
        """Identity F1; None where there is no pair at all."""
        total = self.num_true + self.num_told
        return 2 * self.id_true / total if total else None

    @property
    def hota(self) -> float | None:
        """HOTA, the mean over its localisation thresholds; None where there is no pair at all."""
        if not self.num_true + self.num_told:
            return None
        detection = self.hits / (self.num_true + self.num_told - self.hits)
        return float(np.sqrt(detection * self._association_accuracy()).mean())

    @property
    def detection_accuracy(self) -> float | None:
        """DetA of HOTA: pairs found, whatever their ids."""
        total = self.num_true + self.num_told
        return float((self.hits / (total - self.hits)).mean()) if total else None

    @property
    def association_accuracy(self) -> float | None:
        """AssA of HOTA: ids kept, of the pairs that were found."""
        return float(self._association_accuracy().mean()) if self.num_true + self.num_told else None

    def _association_accuracy(self) -> NDArray[np.float64]:
        accuracy: NDArray[np.float64] = self.association / np.maximum(1.0, self.hits)
        return accuracy

    @classmethod
    def total(cls, parts: Sequence[TrackingCounts]) -> TrackingCounts:
        """Return the sums of several videos."""
        nothing = np.zeros(len(ALPHAS))
        return cls(
            sum(part.id_true for part in parts),
            sum(part.num_true for part in parts),
            sum(part.num_told for part in parts),
            sum((part.hits for part in parts), nothing),
            sum((part.association for part in parts), nothing),
        )


def count_tracking(frames: Sequence[TrackFrame]) -> TrackingCounts:
    """Return the counts of one video's frames, in any order."""
    true_ids = _index([frame.true_ids for frame in frames])
    told_ids = _index([frame.told_ids for frame in frames])
    num_true, num_told = len(true_ids), len(told_ids)
    seen_true, seen_told = np.zeros(num_true), np.zeros(num_told)
    soft, close = np.zeros((num_true, num_told)), np.zeros((num_true, num_told))
    rows_of: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for frame in frames:
        rows, columns = np.searchsorted(true_ids, frame.true_ids), np.searchsorted(told_ids, frame.told_ids)
        rows_of.append((rows, columns))
        seen_true[rows] += 1
        seen_told[columns] += 1
        total = frame.overlap.sum(0, keepdims=True) + frame.overlap.sum(1, keepdims=True) - frame.overlap
        share = np.divide(frame.overlap, total, out=np.zeros_like(total), where=total > 1e-12)
        soft[np.ix_(rows, columns)] += share
        close[np.ix_(rows, columns)] += frame.overlap >= MIN_OVERLAP
    # HOTA matches each frame so that ids which agree over the whole video are preferred.
    agreement = soft / np.maximum(seen_true[:, None] + seen_told[None, :] - soft, 1e-12)
    pairs, overlaps = [np.zeros(0, np.int64)], [np.zeros(0)]
    for frame, (rows, columns) in zip(frames, rows_of, strict=True):
        if len(rows) and len(columns):
            chosen = linear_sum_assignment(-agreement[np.ix_(rows, columns)] * frame.overlap)
            pairs.append(rows[chosen[0]] * num_told + columns[chosen[1]])
            overlaps.append(frame.overlap[chosen])
    matched, of_pair = np.unique(np.concatenate(pairs), return_inverse=True)
    either = seen_true[matched // max(num_told, 1)] + seen_told[matched % max(num_told, 1)]
    hits, association = np.zeros(len(ALPHAS)), np.zeros(len(ALPHAS))
    for alpha, threshold in enumerate(ALPHAS):
        good = np.concatenate(overlaps) >= threshold - 1e-12
        times = np.bincount(of_pair[good], minlength=len(matched))  # how often each true id was told as each id
        hits[alpha] = times.sum()
        association[alpha] = (times * (times / np.maximum(1.0, either - times))).sum()
    assigned = linear_sum_assignment(-close)
    return TrackingCounts(float(close[assigned].sum()), int(seen_true.sum()), int(seen_told.sum()), hits, association)


def track_frames(video: TrueVideo, events: Sequence[PredictedEvent]) -> list[TrackFrame]:
    """Return what was true and what was told every `STEP_S`: pairs with an interaction that goes on.

    True pairs count while both have a box. Told pairs count from their announcement to their end as dated; between two
    lines of an event their boxes lie on straight lines.
    """
    told = [(event, line_of(event)) for event in events]
    frames = []
    for t_s in np.arange(0.0, video.length_s, STEP_S).tolist():
        humans, objects = video.humans_at(t_s), video.objects_at(t_s)
        true = {
            (i.human_id << 20) + i.object_id: (humans[i.human_id], objects[i.object_id])
            for i in video.interactions
            if i.start_s <= t_s < i.end_s and i.human_id in humans and i.object_id in objects
        }
        pairs = {
            event.pair_id: boxes_at(line, t_s)
            for event, line in told
            if line and event.announced_s <= t_s <= event.end_s
        }
        frames.append(track_frame(true, pairs))
    return frames


def track_frame(true: Mapping[int, PairBoxes], told: Mapping[int, PairBoxes]) -> TrackFrame:
    """Return one moment's pairs by id, with their overlaps."""
    rows = np.array([box for pair in true.values() for box in pair], np.float64).reshape(-1, 2, 4)
    columns = np.array([box for pair in told.values() for box in pair], np.float64).reshape(-1, 2, 4)
    i, j = np.indices((len(rows), len(columns))).reshape(2, -1)
    overlap = np.minimum(paired_iou(rows[i, 0], columns[j, 0]), paired_iou(rows[i, 1], columns[j, 1]))
    return TrackFrame(
        np.array(list(true), np.int64), np.array(list(told), np.int64), overlap.reshape(len(rows), len(columns))
    )


def _index(ids: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.unique(np.concatenate([*ids, np.zeros(0, np.int64)]))


def line_of(event: PredictedEvent) -> list[Sighting]:
    """Return the event's lines that say where both are, in order of time, with what its end says."""
    points = [*event.sightings, *([event.last_seen] if event.last_seen else [])]
    return sorted((s for s in points if s.object_box is not None), key=lambda s: s.t_s)


def boxes_at(line: Sequence[Sighting], t_s: float) -> PairBoxes:
    """Return the boxes at `t_s`, on a straight line between the sightings around it."""
    times = [s.t_s for s in line]
    boxes = np.array([[*s.human_box, *(s.object_box or s.human_box)] for s in line])
    found = [float(np.interp(t_s, times, column)) for column in boxes.T]
    return (found[0], found[1], found[2], found[3]), (found[4], found[5], found[6], found[7])
