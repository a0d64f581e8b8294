"""Teach an interaction from a handful of examples, without training: visual semantic arithmetic on query embeddings.

The paper makes a verb's classifier from pictures: what a person and an object show together, less the object alone.
Here both terms are embeddings that the model itself gives: of the pairs that do it, less those that do not, measured by
how much embeddings vary in each direction anyway (linear discriminant analysis). Source: HOICLIP (Ning et al., CVPR
2023), section 3.3; Fisher 1936.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hoiclip.classifier import Floats, TaughtRow, TrainedHeads
from hoiclip.errors import InputError
from hoiclip.example_pairs import SPACES, Rows, choose_pairs, chosen_rows, fitting_queries, other_rows
from hoiclip.types import Outputs
from hoiclip.unit_rows import unit_row

TEXT_WEIGHT = 1.5  # of the words' unit row beside the unit row of many examples; measured by benchmarks/teaching.py
FEW_EXAMPLES = (
    3.0  # how much more the words weigh beside few: 1 + this / examples squared, so 4 times beside a single one
)
SHRINKAGE = 0.5  # of the spread, towards the same in every direction: there are few examples
GAIN_RANGE = (0.5, 4.0)  # logits for each standard deviation of the other pairs
SURE_LOGIT = 2.2  # what the middle example scores: 0.9
RESAMPLES = 400  # of the examples, for the interval of the expected precision
MIN_EXAMPLES = 3  # for an interval: fewer say nothing about the next one


@dataclass(frozen=True)
class Taught:
    """A new row and how well its own examples part from everything else, each judged by what the other ones teach."""

    row: TaughtRow
    num_frames: int  # frames of examples in which a fitting pair was found
    num_others: int  # other pairs, to tell apart from
    separation: float  # ROC AUC of the examples against the others; 0.5 is chance
    expected_ap: tuple[float, float] | None  # 90 % interval of average precision; None with too few examples or others


class _Evidence(NamedTuple):
    """What the examples show, in both spaces."""

    examples: list[Rows]  # by example [F, E]: the pairs that do it
    others: Rows  # [N, E]: pairs that do not
    spreads: tuple[_Spread, _Spread]


class _Scores(NamedTuple):
    """Projections in standard deviations of the others from their mean."""

    examples: list[NDArray[np.float64]]  # by example [F], each projected on what the other examples teach
    others: NDArray[np.float64]  # [N]
    level: float  # the others' mean before scaling
    unit: float  # and their standard deviation


def teach_row(
    name: str,
    examples: Sequence[Outputs[Floats]],
    background: Sequence[Outputs[Floats]],
    heads: TrainedHeads,
    embedding: Floats,
    *,
    object_index: int | None = None,
    verb: int | None = None,
) -> Taught:
    """Return a row for `name` from the model's outputs on examples.

    Args:
        name: what is shown, in words.
        examples: for each example the outputs on its frames [F, Q, ...]; in each frame somebody does it.
        background: outputs on frames in which nobody does it; may be empty.
        heads: the model's trained heads.
        embedding: [E] unit text embedding of `name`.
        object_index: the object class it is done with; None for any.
        verb: the known verb that `name` contains, if any; its trained row helps.

    Raises:
        InputError: no example shows a pair with the object.
    """
    verb_text = np.zeros_like(embedding) if verb is None else unit_row(heads.verb_text[verb])
    words = Rows(unit_row(embedding), verb_text)
    evidence = _gather(name, examples, background, object_index, words, heads.verb_weight)
    rows = _direction(evidence, words, range(len(evidence.examples)))
    scores = _score(evidence, words, rows, heads.verb_weight)
    sure = np.concatenate(scores.examples)
    gain, shift = _calibration(sure, scores.others)
    scale = gain / (scores.unit * heads.logit_scale)
    row = TaughtRow(
        name,
        np.asarray(scale * rows.interaction, np.float32),
        np.asarray(scale * rows.verb, np.float32),
        object_index,
        np.asarray(embedding, np.float32),
        float(shift / heads.logit_scale - scale * scores.level),
    )
    return Taught(row, len(sure), len(scores.others), _auc(sure, scores.others), _expected_ap(scores))


def _gather(
    name: str,
    examples: Sequence[Outputs[Floats]],
    background: Sequence[Outputs[Floats]],
    object_index: int | None,
    words: Rows,
    verb_share: float,
) -> _Evidence:
    """Return what does it, what does not, and how embeddings vary at all."""
    found = [[frame for frame in fitting_queries(outputs, object_index) if len(frame)] for outputs in examples]
    shown = [frames for frames in found if frames]
    if not shown:
        raise InputError(
            f"`{name}`: the model finds no fitting pair in any example; give other stretches, or another --object"
        )
    elsewhere = [frame for outputs in background for frame in fitting_queries(outputs, object_index)]
    choice = choose_pairs(shown, elsewhere, words, verb_share)
    every = [frame for outputs in (*examples, *background) for frame in fitting_queries(outputs, None)]
    every = every if any(len(frame) for frame in every) else [frame for frames in shown for frame in frames]
    spreads = [_Spread.of(np.concatenate([getattr(frame, space) for frame in every])) for space in SPACES]
    return _Evidence(
        [chosen_rows(frames, picks) for frames, picks in zip(shown, choice, strict=True)],
        other_rows(shown, choice, elsewhere),
        (spreads[0], spreads[1]),
    )


def _direction(evidence: _Evidence, words: Rows, members: Sequence[int]) -> Rows:
    """Return the unit rows that the examples `members` and the words teach; each example counts the same.

    The fewer there are, the more the words count: the mean of few examples says as much about these as about the act.
    """
    weight = TEXT_WEIGHT * (1 + FEW_EXAMPLES / len(members) ** 2)
    rows = []
    for space, (spread, word) in enumerate(zip(evidence.spreads, words, strict=True)):
        mean = np.mean([evidence.examples[i][space].mean(0) for i in members], 0)
        rows.append(unit_row(spread.discriminant(mean) + weight * word))
    return Rows(rows[0], rows[1])


def _score(evidence: _Evidence, words: Rows, rows: Rows, verb_share: float) -> _Scores:
    """Return how far examples and others lie apart along `rows`.

    An example is judged by the rows that the other ones teach: its own fit it too well.
    """

    def project(onto: Rows, embeddings: Rows) -> NDArray[np.float64]:
        return np.asarray(embeddings[0] @ onto[0] + verb_share * (embeddings[1] @ onto[1]), np.float64)

    examples = evidence.examples
    others = project(rows, evidence.others)
    has_others = len(others) > 1
    level, unit = (
        (float(others.mean()), float(others.std()) + 1e-6)
        if has_others
        else (float(project(rows, examples[0]).mean()) - 0.3, 0.1)
    )
    judged = []
    for i, embeddings in enumerate(examples):
        rest = _direction(evidence, words, [j for j in range(len(examples)) if j != i] or [i])
        reference = project(rest, evidence.others) if has_others else np.array([level - unit, level + unit])
        judged.append((project(rest, embeddings) - reference.mean()) / (reference.std() + 1e-6))
    return _Scores(judged, (others - level) / unit, level, unit)


@dataclass(frozen=True)
class _Spread:
    """Where embeddings of one space lie and how they vary, over all pairs of the clips."""

    mean: NDArray[np.float64]  # [E]
    inverse: NDArray[np.float64]  # [E, E] of the covariance, shrunk

    @classmethod
    def of(cls, rows: Floats) -> _Spread:
        values = rows.astype(np.float64)
        mean, size = values.mean(0), values.shape[1]
        away = values - mean
        covariance = away.T @ away / max(len(values) - 1, 1)
        floor = max(float(np.trace(covariance)) / size, 1e-6)
        return cls(mean, np.linalg.inv(covariance + SHRINKAGE * floor * np.eye(size)))

    def discriminant(self, mean: NDArray[Any]) -> Floats:
        """Return the unit direction [E] in which a group with this mean stands out from the rest."""
        return unit_row(self.inverse @ (mean - self.mean))


def _calibration(sure: NDArray[np.float64], normal: NDArray[np.float64]) -> tuple[float, float]:
    """Return gain and shift to logits: the middle example at 0.9, 95 % of the others well below one half."""
    middle = float(np.median(sure))
    high = float(np.quantile(normal, 0.95)) if len(normal) else 0.0
    gain = float(np.clip(2 * SURE_LOGIT / max(middle - high, 1e-6), *GAIN_RANGE))
    return gain, SURE_LOGIT - gain * middle


def _expected_ap(scores: _Scores) -> tuple[float, float] | None:
    """Return a 90 % interval of the average precision that the row would have on such footage.

    Each example is judged by the others; which examples were given is drawn anew, since the next ones may differ. Which
    pairs of the examples do it was chosen from all of them, so that the truth is rather lower.
    """
    count = len(scores.examples)
    if count < MIN_EXAMPLES or not len(scores.others):
        return None
    rng = np.random.default_rng(0)
    drawn = [rng.integers(count, size=count) for _ in range(RESAMPLES)]
    found = [_average_precision(np.concatenate([scores.examples[i] for i in each]), scores.others) for each in drawn]
    low, high = np.quantile(found, (0.05, 0.95))
    return float(low), float(high)


def _average_precision(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Return the area under the curve of precision over recall; ties count against it."""
    ordered = np.sort(positive)[::-1]
    above = len(negative) - np.searchsorted(np.sort(negative), ordered, "left")  # negatives at least as high
    hits = np.arange(1, len(ordered) + 1)
    return float((hits / (hits + above)).mean())


def _auc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    if not len(negative):
        return 1.0
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(below.mean() / (2 * len(negative)))
