"""From the graph's outputs to ranked interactions and to pairs for the tracker; NumPy only: it runs for every frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hoiclip.boxes import cxcywh_to_xyxy, iou_matrix
from hoiclip.classifier import TextClassifier
from hoiclip.types import Outputs

Floats = NDArray[np.float32]
NMS_THRESHOLD = 0.7
OBJECT_IOU_POWER = 0.5
RIVAL_SHARE = 0.5  # what is left of a score where an interaction that excludes it is likelier
IN_VIEW_SCORE = 0.5
"""Object score from which a pair that does nothing is taken to be in view."""


class PairScores(NamedTuple):
    """Scores of every query of a batch. B batch, Q queries, O object classes, K interactions."""

    human_boxes_cxcywh: Floats  # [B, Q, 4] in [0, 1] of the canvas
    object_boxes_cxcywh: Floats  # [B, Q, 4]
    object_scores: Floats  # [B, Q, O] sigmoid, without "no object"
    object_labels: NDArray[np.int64]  # [B, Q] argmax of the softmax without "no object"
    interaction_scores: Floats  # [B, Q, K] sigmoid; above 1 at most with the enhancement


@dataclass(frozen=True)
class Detections:
    """Ranked interactions of one image, best first. N rows."""

    human_boxes_xyxy: Floats  # [N, 4] px
    object_boxes_xyxy: Floats  # [N, 4] px
    object_labels: NDArray[np.int64]  # [N] the query's most likely object class
    interactions: NDArray[np.int64]  # [N] row of the classifier
    queries: NDArray[np.int64]  # [N]
    scores: Floats  # [N] ranking score: interaction + object squared
    interaction_scores: Floats  # [N] sigmoid
    object_scores: Floats  # [N] sigmoid, of the interaction's object

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class PairDetections:
    """Pairs of one frame for the tracker, best first. P pairs, K interactions of the source's classifier."""

    human_boxes_xyxy: Floats  # [P, 4] px of the source frame
    object_boxes_xyxy: Floats  # [P, 4] px
    object_labels: NDArray[np.int64]  # [P] index into the model's object classes
    object_scores: Floats  # [P] in [0, 1]
    scores: Floats  # [P, K] in [0, 1]: interaction times object; 0 where the object does not fit


def sigmoid(x: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)) without overflow."""
    half = np.tanh(x * np.float32(0.5)) * np.float32(0.5) + np.float32(0.5)
    return np.asarray(half, np.float32)


def interaction_logits(outputs: Outputs[Floats], classifier: TextClassifier) -> Floats:
    """Return logits [B, Q, K]: scaled cosine to the text rows plus bias, plus the verbs' share.

    Source: HOICLIP (Ning et al., CVPR 2023), equations 6 and 10.
    """
    direct = outputs.interaction_embeddings @ classifier.text.T + classifier.bias
    verbs = outputs.verb_embeddings @ classifier.verb_text.T
    return np.asarray(classifier.logit_scale * (direct + classifier.verb_weight * verbs), np.float32)


def score(
    outputs: Outputs[Floats], classifier: TextClassifier, *, enhancement: bool = False, top_k: int = 10
) -> PairScores:
    """Return the scores of a batch against one classifier.

    With the enhancement, interactions score at most 0.5 more than without: of what `enhance` adds, the 0.5 that every
    interaction gets is taken off again, since scores then still mean what thresholds expect. The order is the same.
    """
    object_logits = outputs.object_logits[..., :-1]
    interactions = sigmoid(interaction_logits(outputs, classifier))
    if enhancement:
        added = enhance(interactions, outputs.clip_embedding @ classifier.text_embedding.T, top_k)
        interactions = np.maximum(added - np.float32(0.5), 0.0) if added.shape[-1] else interactions
    return PairScores(
        outputs.human_boxes, outputs.object_boxes, sigmoid(object_logits), object_logits.argmax(-1), interactions
    )


def enhance(interaction_scores: Floats, clip_scores: Floats, top_k: int = 10) -> Floats:
    """Return interaction scores [B, Q, K] plus sigmoid of CLIP's own scores [B, K], all but its best `top_k` set to 0.

    This is the intent of the paper's training-free enhancement; the published script masks in place, so that a `top_k`
    above 10 repeats 10. Source: HOICLIP, section 3.5.
    """
    if not clip_scores.shape[-1]:
        return interaction_scores
    keep = min(top_k, clip_scores.shape[-1])
    best = np.argpartition(-clip_scores, keep - 1, axis=-1)[:, :keep]
    kept = np.zeros_like(clip_scores)
    np.put_along_axis(kept, best, np.take_along_axis(clip_scores, best, -1), -1)
    return interaction_scores + sigmoid(kept)[:, None, :]


def rank(
    scores: PairScores,
    index: int,
    size_hw: tuple[int, int],
    classifier: TextClassifier,
    *,
    top: int = 100,
    nms: bool = True,
) -> Detections:
    """Return the best interactions of image `index`, boxes in pixels of `size_hw`.

    Ranked by interaction score plus the squared score of the interaction's object (for any object: of the best one);
    a (query, interaction) comes at most once, ties go to the lower query, then the lower interaction.
    """
    interactions = scores.interaction_scores[index]  # [Q,K]
    objects = _object_scores(scores, index, classifier)  # [Q,K]
    ranking = (interactions + objects**2).ravel()
    count = min(top, ranking.size)
    order = np.argsort(-ranking, kind="stable")[:count]
    queries, rows = np.divmod(order, max(interactions.shape[1], 1))
    humans, things = _pixels(scores, index, size_hw)
    best = ranking[order].astype(np.float32)
    keep = pair_nms(humans[queries], things[queries], rows, best) if nms else np.arange(count)
    queries, rows = queries[keep], rows[keep]
    return Detections(
        humans[queries],
        things[queries],
        scores.object_labels[index][queries],
        rows,
        queries,
        best[keep],
        interactions[queries, rows],
        objects[queries, rows],
    )


def pair_nms(humans: Floats, things: Floats, interactions: NDArray[np.int64], scores: Floats) -> NDArray[np.int64]:
    """Return the rows to keep, in order of falling score, suppressing within each interaction.

    A lower pair goes if IoU_human * IoU_object^0.5 > 0.7, overlaps with the +1 pixel convention.
    """
    order, keeper = _suppress(humans, things, interactions, scores)
    kept: NDArray[np.int64] = order[keeper == np.arange(len(order))]
    return kept


def _suppress(
    humans: Floats, things: Floats, interactions: NDArray[np.int64], scores: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows by falling score, and for each place in that order the place of the row that stands for it."""
    order = np.argsort(-scores, kind="stable")
    humans, things, interactions = humans[order], things[order], interactions[order]
    rivals = same_pair(humans, things, humans, things) & (interactions[:, None] == interactions[None, :])
    keeper = np.arange(len(order))
    for i in np.flatnonzero(np.triu(rivals, 1).any(1)):
        if keeper[i] == i:
            later = keeper[i + 1 :]
            later[rivals[i, i + 1 :] & (later > i)] = i
    return order, keeper


def same_pair(humans: Floats, things: Floats, other_humans: Floats, other_things: Floats) -> NDArray[np.bool_]:
    """Return [N, M]: whether pairs of xyxy boxes [N, 4] and [M, 4] in pixels are one pair found twice."""
    overlap = iou_matrix(humans, other_humans, plus_one=True)
    overlap = overlap * iou_matrix(things, other_things, plus_one=True) ** OBJECT_IOU_POWER
    return np.asarray(overlap > NMS_THRESHOLD)


def to_pairs(
    scores: PairScores,
    index: int,
    size_hw: tuple[int, int],
    classifier: TextClassifier,
    *,
    min_score: float = 0.05,
    min_object_score: float | None = None,
) -> PairDetections:
    """Return the pairs of image `index` for the tracker, boxes in pixels of `size_hw`.

    One row a query whose best interaction reaches `min_score`, after pair NMS over queries of the same object class;
    the one kept takes over the higher scores of those that go. Of interactions that exclude each other all but the
    likeliest count half. With `min_object_score` rows follow of queries that do
    less, but whose object is at least so sure: they show that a pair is in view and does nothing.
    """
    interactions = scores.interaction_scores[index]
    fit = (classifier.object_index[None, :] < 0) | (
        classifier.object_index[None, :] == scores.object_labels[index][:, None]
    )
    pair = np.clip(interactions * _object_scores(scores, index, classifier), 0.0, 1.0) * (
        fit & ~classifier.no_interaction
    )
    if classifier.rivals is not None:
        strongest = pair[:, classifier.rivals].max(2)
        pair = np.where(pair >= strongest, pair, pair * np.float32(RIVAL_SHARE))
    best = pair.max(1) if pair.shape[1] else np.zeros(len(pair), np.float32)
    queries = np.flatnonzero(best >= max(min_score, 1e-6))
    queries = queries[np.argsort(-best[queries], kind="stable")]
    humans, things = _pixels(scores, index, size_hw)
    labels = scores.object_labels[index]
    order, keeper = _suppress(humans[queries], things[queries], labels[queries], best[queries])
    queries = queries[order]
    for place in np.flatnonzero(keeper != np.arange(len(queries))):  # another query of the pair may know more of it
        leader = queries[keeper[place]]
        pair[leader] = np.maximum(pair[leader], pair[queries[place]])
    queries = queries[keeper == np.arange(len(queries))]
    if min_object_score is not None:
        sure = scores.object_scores[index][np.arange(len(labels)), labels]
        idle = np.flatnonzero((best < max(min_score, 1e-6)) & (sure >= min_object_score))
        queries = np.concatenate([queries, idle[np.argsort(-best[idle], kind="stable")]])
    return PairDetections(
        humans[queries],
        things[queries],
        labels[queries],
        scores.object_scores[index][queries, labels[queries]],
        pair[queries].astype(np.float32),
    )


def _object_scores(scores: PairScores, index: int, classifier: TextClassifier) -> Floats:
    """Return [Q, K]: the score of each interaction's object, the best object's where any will do."""
    objects = scores.object_scores[index]
    chosen: Floats = objects[:, np.maximum(classifier.object_index, 0)]
    anything = classifier.object_index < 0
    if anything.any():
        chosen = np.where(anything[None, :], objects.max(1, keepdims=True), chosen)
    return chosen


def _pixels(scores: PairScores, index: int, size_hw: tuple[int, int]) -> tuple[Floats, Floats]:
    scale = np.array([size_hw[1], size_hw[0], size_hw[1], size_hw[0]], np.float32)
    return (
        cxcywh_to_xyxy(scores.human_boxes_cxcywh[index]) * scale,
        cxcywh_to_xyxy(scores.object_boxes_cxcywh[index]) * scale,
    )
