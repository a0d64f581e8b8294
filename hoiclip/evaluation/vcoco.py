"""V-COCO's role average precision, scenarios 1 and 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoiclip.evaluation.overlap import paired_iou

MIN_OVERLAP = 0.5


@dataclass(frozen=True)
class RoleTruth:
    """Annotated people, P rows, and what they do to what, R rows. A person may do nothing."""

    person_image: NDArray[np.int64]  # [P] image index
    person_boxes: NDArray[np.float64]  # [P, 4] xyxy in pixels
    role_person: NDArray[np.int64]  # [R] row of the person
    role_verb: NDArray[np.int64]  # [R] verb-role index
    role_boxes: NDArray[np.float64]  # [R, 4] xyxy in pixels; NaN where the role is empty (out of view)

    @classmethod
    def build(
        cls, person_image: Any, person_boxes: Any, role_person: Any, role_verb: Any, role_boxes: Any
    ) -> RoleTruth:
        """Return the tables for anything array-like."""
        return cls(
            np.asarray(person_image, np.int64).reshape(-1),
            np.asarray(person_boxes, np.float64).reshape(-1, 4),
            np.asarray(role_person, np.int64).reshape(-1),
            np.asarray(role_verb, np.int64).reshape(-1),
            np.asarray(role_boxes, np.float64).reshape(-1, 4),
        )


@dataclass(frozen=True)
class RolePairs:
    """Detections, N rows, in any order."""

    image: NDArray[np.int64]  # [N] image index
    verb: NDArray[np.int64]  # [N] verb-role index
    human_boxes: NDArray[np.float64]  # [N, 4] xyxy in pixels
    role_boxes: NDArray[np.float64]  # [N, 4] xyxy in pixels; NaN where the role is said to be empty
    score: NDArray[np.float64]  # [N]

    @classmethod
    def build(cls, image: Any, verb: Any, human_boxes: Any, role_boxes: Any, score: Any) -> RolePairs:
        """Return the table for anything array-like."""
        return cls(
            np.asarray(image, np.int64).reshape(-1),
            np.asarray(verb, np.int64).reshape(-1),
            np.asarray(human_boxes, np.float64).reshape(-1, 4),
            np.asarray(role_boxes, np.float64).reshape(-1, 4),
            np.asarray(score, np.float64).reshape(-1),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[RolePairs]) -> RolePairs:
        """Return all rows of `parts`, in order."""
        if not parts:
            return cls.build([], [], [], [], [])
        rows = zip(*((p.image, p.verb, p.human_boxes, p.role_boxes, p.score) for p in parts), strict=True)
        return cls.build(*(np.concatenate(column) for column in rows))


@dataclass(frozen=True)
class VcocoResult:
    """Role AP of each verb-role in both scenarios; NaN without ground truth."""

    ap: dict[int, NDArray[np.float64]]  # scenario to [V]
    reported: tuple[int, ...]

    def summary(self) -> dict[str, float | None]:
        """Return the means over the reported verb-roles with ground truth, ready for JSON."""
        out: dict[str, float | None] = {}
        for scenario, ap in self.ap.items():
            chosen = ap[list(self.reported)]
            chosen = chosen[~np.isnan(chosen)]
            out[f"role_ap_scenario_{scenario}"] = float(chosen.mean()) if len(chosen) else None
        return out

    def per_verb(self, names: Sequence[str]) -> dict[str, dict[str, float | bool | None]]:
        """Return role AP by verb-role, ready for JSON; `names` are all V of them."""
        return {
            name: {
                "scenario_1": None if np.isnan(self.ap[1][v]) else float(self.ap[1][v]),
                "scenario_2": None if np.isnan(self.ap[2][v]) else float(self.ap[2][v]),
                "is_reported": v in self.reported,
            }
            for v, name in enumerate(names)
        }


def evaluate_vcoco(truth: RoleTruth, detections: RolePairs, num_verbs: int, reported: Sequence[int]) -> VcocoResult:
    """Score `detections` against `truth`.

    A detection belongs to the annotated person its human box overlaps best. It is true if that overlap is at least
    0.5, the person does this verb, the role agrees, and no detection of higher score took it. A role with a box agrees
    at IoU 0.5; an empty one agrees in scenario 1 if it was predicted empty, and in scenario 2 always.

    Args:
        truth: annotated people and roles.
        detections: what a model says.
        num_verbs: V, how many verb-roles there are.
        reported: the verb-roles that the mean is over; V-COCO's 24 are `load_builtin("vcoco").reported_verbs`.

    Source: V-COCO (Gupta and Malik, 2015), the agent-and-role task; AP is the area under the monotone curve.
    """
    person, human_overlap = _nearest_person(truth, detections)
    order = np.lexsort((np.arange(len(detections.score)), -detections.score))
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    # Candidate (detection, role) rows: same person and verb.
    key = np.where(human_overlap >= MIN_OVERLAP, person * num_verbs + detections.verb, -1)
    role_key = truth.role_person * num_verbs + truth.role_verb
    role_order = np.argsort(role_key, kind="stable")
    first = np.searchsorted(role_key[role_order], key, side="left")
    count = np.searchsorted(role_key[role_order], key, side="right") - first
    detection = np.repeat(np.arange(len(key)), count)
    within = np.arange(len(detection)) - np.repeat(np.cumsum(count) - count, count)
    role = role_order[np.repeat(first, count) + within]

    is_empty = np.isnan(truth.role_boxes[role]).any(1)
    said_empty = np.isnan(detections.role_boxes[detection]).any(1)
    overlap = paired_iou(np.nan_to_num(detections.role_boxes[detection]), np.nan_to_num(truth.role_boxes[role]))
    overlap[is_empty | said_empty] = 0.0
    num_truth = np.bincount(truth.role_verb, minlength=num_verbs)
    ap = {}
    for scenario in (1, 2):
        agreement = np.where(is_empty, said_empty if scenario == 1 else True, overlap)
        good = agreement >= MIN_OVERLAP
        rows = np.flatnonzero(good)[np.lexsort((-agreement[good], position[detection[good]]))]
        is_true = np.zeros(len(key), np.bool_)
        taken = np.zeros(len(truth.role_verb), np.bool_)
        for d, r in zip(detection[rows].tolist(), role[rows].tolist(), strict=True):
            if not is_true[d] and not taken[r]:
                is_true[d] = taken[r] = True
        ap[scenario] = np.full(num_verbs, np.nan)
        for verb in np.flatnonzero(num_truth):
            mine = order[detections.verb[order] == verb]
            ap[scenario][verb] = continuous_ap(is_true[mine], int(num_truth[verb]))
    return VcocoResult(ap, tuple(reported))


def continuous_ap(is_true: NDArray[np.bool_], num_ground_truth: int) -> float:
    """Return the area under the precision-recall curve made monotone; `is_true` [N] by falling score."""
    precision = np.cumsum(is_true) / np.arange(1, len(is_true) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best_from_here[is_true].sum() / num_ground_truth)  # recall grows by 1/n at each true detection


def _nearest_person(truth: RoleTruth, detections: RolePairs) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return for each detection the row of the person of its image that it overlaps best (-1: none), and the IoU."""
    person_order = np.argsort(truth.person_image, kind="stable")
    images = truth.person_image[person_order]
    first = np.searchsorted(images, detections.image, side="left")
    count = np.searchsorted(images, detections.image, side="right") - first
    detection = np.repeat(np.arange(len(count)), count)
    within = np.arange(len(detection)) - np.repeat(np.cumsum(count) - count, count)
    person = person_order[np.repeat(first, count) + within]
    overlap = paired_iou(detections.human_boxes[detection], truth.person_boxes[person])
    order = np.lexsort((person, -overlap, detection))
    is_best = np.diff(detection[order], prepend=-1) > 0
    rows = order[is_best]
    nearest, best = np.full(len(count), -1, np.int64), np.zeros(len(count))
    nearest[detection[rows]], best[detection[rows]] = person[rows], overlap[rows]
    return nearest, best
