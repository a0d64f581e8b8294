"""Parts of the truth in place of what the model found: whether boxes, verbs, misses or the tracker lose events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from hoiclip.classifier import TextClassifier
from hoiclip.evaluation.event_types import TrueVideo
from hoiclip.evaluation.overlap import paired_iou
from hoiclip.postprocess import PairDetections
from hoiclip.vocabulary import spoken
from stream.recordings.replay import PairFrame

SURE = 0.95  # score of what is true
MIN_HUMAN_IOU = 0.3  # a detected pair that overlaps a true one less is another
MIN_OBJECT_IOU = 0.1  # small objects overlap little, and the human must fit as well


@dataclass(frozen=True)
class TrueFrame:
    """All pairs of a person and an object in view at one time; P pairs, K interactions of the classifier."""

    human_boxes: NDArray[np.float32]  # [P, 4] xyxy in pixels
    object_boxes: NDArray[np.float32]  # [P, 4]
    labels: NDArray[np.int64]  # [P] object class; -1 where the model does not know it
    doing: NDArray[np.bool_]  # [P, K] which interactions go on

    @classmethod
    def of(cls, video: TrueVideo, t_s: float, classifier: TextClassifier) -> TrueFrame:
        """Return the truth at a media time."""
        index = {spoken(name): k for k, name in enumerate(classifier.names)}
        label = {spoken(name): k for k, name in enumerate(classifier.object_names)}
        humans, objects = video.humans_at(t_s), video.objects_at(t_s)
        pairs = [(human, thing) for human in sorted(humans) for thing in sorted(objects)]
        row = {pair: p for p, pair in enumerate(pairs)}
        doing = np.zeros((len(pairs), len(classifier.names)), np.bool_)
        for each in video.interactions:
            pair = each.human_id, each.object_id
            if each.start_s <= t_s < each.end_s and pair in row and each.name in index:
                doing[row[pair], index[each.name]] = True
        return cls(
            np.array([humans[human] for human, _ in pairs], np.float32).reshape(-1, 4),
            np.array([objects[thing] for _, thing in pairs], np.float32).reshape(-1, 4),
            np.array([label.get(video.objects.get(thing, ""), -1) for _, thing in pairs], np.int64),
            doing,
        )

    def assign(self, found: PairDetections) -> NDArray[np.int64]:
        """Return for each detected pair the true one that it shows, -1 where it shows none."""
        rows = np.full(len(found.scores), -1)
        if not len(self.labels):
            return rows
        i, j = np.indices((len(found.scores), len(self.labels))).reshape(2, -1)
        humans = paired_iou(found.human_boxes_xyxy[i], self.human_boxes[j])
        objects = paired_iou(found.object_boxes_xyxy[i], self.object_boxes[j])
        fits = (humans >= MIN_HUMAN_IOU) & (objects >= MIN_OBJECT_IOU)
        # Objects overlap in the picture: the right class decides before the better overlap.
        agreement = np.where(fits, humans + objects + 2.0 * (found.object_labels[i] == self.labels[j]), -1.0)
        agreement = agreement.reshape(len(found.scores), len(self.labels))
        best = agreement.argmax(1)
        is_known = agreement.max(1, initial=-1.0) > 0
        rows[is_known] = best[is_known]
        return rows


def with_true_boxes(frame: PairFrame, truth: TrueFrame, classifier: TextClassifier) -> PairFrame:
    """Return the frame with the true boxes and classes of every pair that was found, and its scores.

    What shows no true pair is left out, several that show one are merged; what was not found stays missing.
    """
    rows = truth.assign(frame.pairs)
    shown = sorted({int(row) for row in rows if row >= 0 and truth.labels[row] >= 0})
    scores = np.zeros((len(shown), len(classifier.names)), np.float32)
    for place, row in enumerate(shown):
        scores[place] = frame.pairs.scores[rows == row].max(0)
    fits = (classifier.object_index[None, :] < 0) | (classifier.object_index[None, :] == truth.labels[shown][:, None])
    return frame._replace(pairs=_pairs(truth, shown, scores * fits))


def with_true_verbs(frame: PairFrame, truth: TrueFrame) -> PairFrame:
    """Return the frame with the model's boxes and, in place of its scores, what really goes on."""
    found, rows = frame.pairs, truth.assign(frame.pairs)
    known = np.flatnonzero(rows >= 0)
    scores = np.where(truth.doing[rows[known]], np.float32(SURE), np.float32(0.0))
    kept = known[scores.max(1, initial=0.0) > 0]
    order = np.searchsorted(known, kept)
    pairs = PairDetections(
        found.human_boxes_xyxy[kept],
        found.object_boxes_xyxy[kept],
        truth.labels[rows[kept]],
        found.object_scores[kept],
        scores[order],
    )
    return frame._replace(pairs=pairs)


def all_true(frame: PairFrame, truth: TrueFrame) -> PairFrame:
    """Return a frame of a model that is never wrong: what is lost now, the tracker loses."""
    rows = np.flatnonzero(truth.doing.any(1) & (truth.labels >= 0)).tolist()
    return frame._replace(pairs=_pairs(truth, rows, truth.doing[rows].astype(np.float32) * np.float32(SURE)))


def _pairs(truth: TrueFrame, rows: Sequence[int], scores: NDArray[np.float32]) -> PairDetections:
    order = np.argsort(-scores.max(1, initial=0.0), kind="stable")
    chosen = np.asarray(rows, np.int64)[order]
    return PairDetections(
        truth.human_boxes[chosen],
        truth.object_boxes[chosen],
        truth.labels[chosen],
        np.ones(len(chosen), np.float32),
        scores[order],
    )


def _found(frame: PairFrame, min_score: float) -> PairFrame:
    pairs = frame.pairs
    kept = np.flatnonzero(pairs.scores.max(1, initial=0.0) >= min_score)
    return frame._replace(pairs=PairDetections(*(getattr(pairs, each.name)[kept] for each in fields(pairs))))


LADDER: Mapping[str, str] = {
    "as detected": "boxes, classes and scores of the model",
    "true boxes": "true boxes and classes of what was found, scores of the model",
    "true verbs": "boxes of the model, true interactions",
    "true boxes and verbs": "both, of what was found",
    "everything true": "every true pair in every frame: the tracker alone",
}


def ladder(
    frames: Sequence[PairFrame], video: TrueVideo, classifier: TextClassifier, min_score: float = 0.0
) -> dict[str, list[PairFrame]]:
    """Return a recording's frames with more and more of the truth, by the names of `LADDER`.

    Pairs whose scores are all below `min_score` do nothing: they were not found.
    """
    truths = [TrueFrame.of(video, frame.t_s, classifier) for frame in frames]
    both = [(_found(frame, min_score), truth) for frame, truth in zip(frames, truths, strict=True)]
    boxes = [with_true_boxes(frame, truth, classifier) for frame, truth in both]
    return {
        "as detected": list(frames),
        "true boxes": boxes,
        "true verbs": [with_true_verbs(frame, truth) for frame, truth in both],
        "true boxes and verbs": [with_true_verbs(frame, truth) for frame, truth in zip(boxes, truths, strict=True)],
        "everything true": [all_true(frame, truth) for frame, truth in both],
    }
