"""Segmental measures: F1 at several overlaps, and the edit score of what each person did, in order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hoiclip.evaluation.event_types import who
from hoiclip.evaluation.events import Candidates, result_of

OVERLAPS = (0.1, 0.25, 0.5, 0.75)


def f1_by_overlap(compared: Sequence[Candidates], overlaps: Sequence[float] = OVERLAPS) -> dict[str, float]:
    """Return event F1 by the temporal IoU that a match needs.

    Source: F1@k of Lea et al., "Temporal convolutional networks for action segmentation and detection", CVPR 2017;
    here a match also needs the same human, and interactions may go on at the same time.
    """
    return {f"{overlap:g}": result_of(compared, overlap).f1 for overlap in overlaps}


def edit_score(compared: Sequence[Candidates]) -> float | None:
    """Return the segmental edit score in [0, 1], the mean over the people of all videos; None where nothing happened.

    For each person the names of what was told, in order of their start, are compared with what was true: 1 minus the
    Levenshtein distance over the longer length. It punishes splits, repeats and wrong order, and not times. Events that
    show nobody count as one person who did nothing.

    Source: Lea et al., "Segmental spatiotemporal CNNs for fine-grained action segmentation", ECCV 2016; there a video
    is one sequence.
    """
    scores = []
    for each in compared:
        told: dict[int | None, list[tuple[float, str]]] = {}
        true: dict[int | None, list[tuple[float, str]]] = {}
        for event in each.events:
            human = who(each.truth, event) if each.truth.human_boxes else 0
            told.setdefault(human, []).append((event.start_s, event.name))
        for interaction in each.true:
            human = interaction.human_id if each.truth.human_boxes else 0
            true.setdefault(human, []).append((interaction.start_s, interaction.name))
        for human in {**told, **true}:
            ours = [name for _, name in sorted(told.get(human, []))]
            theirs = [name for _, name in sorted(true.get(human, []))]
            scores.append(1 - levenshtein(ours, theirs) / max(len(ours), len(theirs)))
    return float(np.mean(scores)) if scores else None


def levenshtein(a: Sequence[str], b: Sequence[str]) -> int:
    """Return how many insertions, deletions and replacements turn `a` into `b`."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return row[-1]
