"""HICO-DET's measures for any vocabulary, equal to the published evaluator's: default and known-object AP, rare,
non-rare, unseen and seen classes.

Everything is in flat tables, one row a pair, so that 9,658 images with 100 pairs each take seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoiclip.evaluation.overlap import paired_iou

if TYPE_CHECKING:
    from hoiclip.vocabulary import Vocabulary

MIN_OVERLAP = 0.5
RECALL_STEPS = np.arange(0, 1.1, 0.1)
"""[11] As published, in floating point: three steps lie a little above 0.3, 0.6 and 0.7, so that 3 hits of 5 do not
reach the seventh (0.6000000000000001). The published numbers contain this."""


@dataclass(frozen=True)
class InteractionClasses:
    """What the measures need to know of a vocabulary. K interactions, indices from 0."""

    names: tuple[str, ...]  # K, such as "ride bicycle"
    object_of: NDArray[np.int64]  # [K] object index of each interaction
    rare: tuple[int, ...] = ()  # interactions with few training instances
    unseen: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # zero-shot split to held-out interactions

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> InteractionClasses:
        """Return the classes of a vocabulary such as `load_builtin("hico")`."""
        return cls(
            names=tuple(vocabulary.display(k) for k in range(len(vocabulary.interactions))),
            object_of=np.array([i.object for i in vocabulary.interactions], np.int64),
            rare=tuple(vocabulary.rare),
            unseen={split: tuple(members) for split, members in vocabulary.unseen.items()},
        )


@dataclass(frozen=True)
class Pairs:
    """Human-object pairs of many images, N rows, in any order."""

    image: NDArray[np.int64]  # [N] image index
    interaction: NDArray[np.int64]  # [N] interaction index, from 0
    human_boxes: NDArray[np.float64]  # [N, 4] xyxy in pixels of the image; double: which overlap is best can hang on it
    object_boxes: NDArray[np.float64]  # [N, 4] xyxy in pixels of the image
    score: NDArray[np.float64]  # [N] any scale, higher is surer; ignored in ground truth

    def __post_init__(self) -> None:
        n = len(self.image)
        shapes = {
            "interaction": (n,), "score": (n,), "human_boxes": (n, 4), "object_boxes": (n, 4),
        }  # fmt: skip
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name}: expected shape {shape}, got {getattr(self, name).shape}")

    def __len__(self) -> int:
        return len(self.image)

    @classmethod
    def build(
        cls,
        image: Sequence[int] | NDArray[Any],
        interaction: Sequence[int] | NDArray[Any],
        human_boxes: Sequence[Any] | NDArray[Any],
        object_boxes: Sequence[Any] | NDArray[Any],
        score: Sequence[float] | NDArray[Any] | None = None,
    ) -> Pairs:
        """Return the table for anything array-like; `score` may be left out of ground truth."""
        index = np.asarray(image, np.int64).reshape(-1)
        return cls(
            image=index,
            interaction=np.asarray(interaction, np.int64).reshape(-1),
            human_boxes=np.asarray(human_boxes, np.float64).reshape(-1, 4),
            object_boxes=np.asarray(object_boxes, np.float64).reshape(-1, 4),
            score=np.ones(len(index)) if score is None else np.asarray(score, np.float64).reshape(-1),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Pairs]) -> Pairs:
        """Return all rows of `parts`, in order: collect one table an image or a batch, then join."""
        if not parts:
            return cls.build([], [], [], [])
        fields = zip(*((p.image, p.interaction, p.human_boxes, p.object_boxes, p.score) for p in parts), strict=True)
        return cls.build(*(np.concatenate(rows) for rows in fields))


@dataclass(frozen=True)
class HicoResult:
    """Average precision by interaction. NaN marks a class without ground truth, which is in no mean."""

    classes: InteractionClasses
    ap: NDArray[np.float64]  # [K] default setting
    known_object_ap: NDArray[np.float64]  # [K] only images that show an interaction with the class's object
    max_recall: NDArray[np.float64]  # [K]
    num_ground_truth: NDArray[np.int64]  # [K]

    def mean(self, members: Sequence[int] | None = None, *, known_object: bool = False) -> float | None:
        """Return the mean AP over `members` (all when None), or None where none of them has ground truth."""
        ap = self.known_object_ap if known_object else self.ap
        chosen = ap if members is None else ap[np.asarray(members, np.int64)]
        chosen = chosen[~np.isnan(chosen)]
        return float(chosen.mean()) if len(chosen) else None

    def summary(self) -> dict[str, Any]:
        """Return the means, ready for JSON: default, known_object, zero_shot by split, counts."""
        everything = range(len(self.ap))
        rare = set(self.classes.rare)

        def setting(known_object: bool) -> dict[str, float | None]:
            return {
                "full": self.mean(known_object=known_object),
                "rare": self.mean(sorted(rare), known_object=known_object),
                "non_rare": self.mean([k for k in everything if k not in rare], known_object=known_object),
            }

        recall = self.max_recall[~np.isnan(self.max_recall)]
        return {
            "default": setting(False),
            "known_object": setting(True),
            "zero_shot": {
                split: {
                    "unseen": self.mean(held_out),
                    "seen": self.mean([k for k in everything if k not in set(held_out)]),
                    "full": self.mean(),
                }
                for split, held_out in self.classes.unseen.items()
            },
            "mean_max_recall": float(recall.mean()) if len(recall) else None,
            "num_classes": len(self.ap),
            "num_classes_with_ground_truth": int((self.num_ground_truth > 0).sum()),
        }

    def per_class(self) -> dict[str, dict[str, float | int | None]]:
        """Return AP, known-object AP, best recall and ground-truth count by interaction name, ready for JSON."""

        def plain(value: float) -> float | None:
            return None if np.isnan(value) else float(value)

        return {
            name: {
                "ap": plain(self.ap[k]),
                "known_object_ap": plain(self.known_object_ap[k]),
                "max_recall": plain(self.max_recall[k]),
                "num_ground_truth": int(self.num_ground_truth[k]),
            }
            for k, name in enumerate(self.classes.names)
        }


def evaluate_hico(ground_truth: Pairs, detections: Pairs, classes: InteractionClasses) -> HicoResult:
    """Score `detections` against `ground_truth`.

    A detection is compared with one true pair only: of those of its image and interaction, the one it overlaps best
    (of equals, the first given), where the overlap of two pairs is the smaller of the IoUs of their humans and their
    objects, boxes counted with their last pixel. It is true if that overlap is >= 0.5 and no detection of higher score
    took the pair; if one did, it is false, even where it overlaps another pair well enough. Equal scores keep their
    order. Average precision is interpolated at the 11 points `RECALL_STEPS`. A class with ground truth and without
    detections scores 0.

    Raises:
        ValueError: an interaction index outside the vocabulary, or a score that is not finite.

    Source: HICO-DET (Chao et al., WACV 2018); the default and the known-object setting.
    """
    num_classes = len(classes.object_of)
    for name, pairs in (("ground truth", ground_truth), ("detections", detections)):
        if len(pairs) and not 0 <= pairs.interaction.min() <= pairs.interaction.max() < num_classes:
            raise ValueError(f"{name}: interaction indices must be in 0…{num_classes - 1}")
    if not np.isfinite(detections.score).all():
        raise ValueError("detections: every score must be finite")

    # One fixed order for everything: by class, then by falling score, ties as given.
    order = np.lexsort((np.arange(len(detections)), -detections.score, detections.interaction))
    is_true = _match(ground_truth, detections, np.argsort(order), num_classes)[order]
    interaction, image = detections.interaction[order], detections.image[order]

    num_objects = int(classes.object_of.max(initial=-1)) + 1
    shown = np.unique(ground_truth.image * num_objects + classes.object_of[ground_truth.interaction])
    is_known = np.isin(image * num_objects + classes.object_of[interaction], shown)

    counts = np.bincount(ground_truth.interaction, minlength=num_classes)
    bounds = np.searchsorted(interaction, np.arange(num_classes + 1))
    ap, known_ap, recall = (np.full(num_classes, np.nan) for _ in range(3))
    for k in np.flatnonzero(counts):
        rows = slice(bounds[k], bounds[k + 1])
        ap[k] = eleven_point_ap(is_true[rows], counts[k])
        known_ap[k] = eleven_point_ap(is_true[rows][is_known[rows]], counts[k])
        recall[k] = is_true[rows].sum() / counts[k]
    return HicoResult(classes, ap, known_ap, recall, counts)


def eleven_point_ap(is_true: NDArray[np.bool_], num_ground_truth: int) -> float:
    """Return the mean, over the recalls `RECALL_STEPS`, of the best precision at that recall or more.

    `is_true` [N] is in order of falling score. Recalls are compared in floating point, as published: 3 of 5 is recall
    0.6, which does not reach the step 0.6000000000000001.
    """
    if not len(is_true):
        return 0.0
    hits = np.cumsum(is_true)
    precision = hits / np.arange(1, len(hits) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    first = np.searchsorted(hits / num_ground_truth, RECALL_STEPS)  # the first detection at that recall or more
    return float(best_from_here[first[first < len(hits)]].sum() / len(RECALL_STEPS))


def _match(ground_truth: Pairs, detections: Pairs, rank: NDArray[np.int64], num_classes: int) -> NDArray[np.bool_]:
    """Return [N] whether each detection is true; `rank` orders them within a class."""
    truth_key = ground_truth.image * num_classes + ground_truth.interaction
    truth_order = np.argsort(truth_key, kind="stable")
    sorted_key = truth_key[truth_order]
    key = detections.image * num_classes + detections.interaction
    first, last = np.searchsorted(sorted_key, key, side="left"), np.searchsorted(sorted_key, key, side="right")
    # Every (detection, ground truth) of one image and interaction, as two index arrays.
    num_candidates = last - first
    detection = np.repeat(np.arange(len(detections)), num_candidates)
    within = np.arange(len(detection)) - np.repeat(np.cumsum(num_candidates) - num_candidates, num_candidates)
    truth = truth_order[np.repeat(first, num_candidates) + within]

    overlap = np.minimum(
        paired_iou(detections.human_boxes[detection], ground_truth.human_boxes[truth]),
        paired_iou(detections.object_boxes[detection], ground_truth.object_boxes[truth]),
    )
    close = overlap >= MIN_OVERLAP
    detection, truth, overlap = detection[close], truth[close], overlap[close]
    order = np.lexsort((truth, -overlap, detection))
    best = order[np.diff(detection[order], prepend=-1) > 0]  # of each detection, the one row that counts
    detection, truth = detection[best], truth[best]
    order = np.lexsort((rank[detection], truth))
    winner = order[np.diff(truth[order], prepend=-1) > 0]  # of each true pair, the surest detection
    is_true = np.zeros(len(detections), np.bool_)
    is_true[detection[winner]] = True
    return is_true
