"""Teach an interaction from a handful of examples, without training: visual semantic arithmetic on query embeddings.

The paper makes a verb's classifier from pictures: what a person and an object show together, less the object alone.
Here both terms are embeddings that the model itself gives: of the pairs that do it, less those that do not, measured by
how much embeddings vary in each direction anyway (linear discriminant analysis). Source: HOICLIP (Ning et al., CVPR
2023), section 3.3; Fisher 1936.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoiclip.classifier import Floats, TaughtRow, TrainedHeads
from hoiclip.errors import InputError
from hoiclip.postprocess import sigmoid
from hoiclip.types import Outputs

TEXT_WEIGHT = 1.5  # of the words' unit row beside the examples' unit row; measured by benchmarks/teaching.py
SHRINKAGE = 0.5  # of the spread, towards the same in every direction: there are few examples
GAIN_RANGE = (0.5, 4.0)  # logits for each standard deviation of the other pairs
MIN_OBJECT_SCORE = 0.15
SPACES = ("interactions", "verbs")
ROUNDS = 6  # of choosing the pair that does it and taking the mean anew; it settles in two or three
SURE_LOGIT = 2.2  # what the middle example scores: 0.9


@dataclass(frozen=True)
class Taught:
    """A new row and how well its own examples part from everything else."""

    row: TaughtRow
    num_frames: int  # frames of examples in which a fitting pair was found
    num_others: int  # other pairs, to tell apart from
    separation: float  # ROC AUC of each example, taught by the other ones, against the others; 0.5 is chance


@dataclass(frozen=True)
class _Frame:
    """Fitting queries of one frame; N rows."""

    interactions: Floats  # [N, E] unit
    verbs: Floats  # [N, E] unit
    weights: Floats  # [N] object scores


def teach_row(
    name: str,
    examples: Sequence[Outputs[Floats]],
    background: Sequence[Outputs[Floats]],
    classifiers: TrainedHeads,
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
        classifiers: the model's trained heads.
        embedding: [E] unit text embedding of `name`.
        object_index: the object class it is done with; None for any.
        verb: the known verb that `name` contains, if any; its trained row helps.

    Raises:
        InputError: no example shows a pair with the object.
    """
    shown = [[f for f in _fitting(outputs, object_index) if len(f.weights)] for outputs in examples]
    shown = [frames for frames in shown if frames]
    if not shown:
        raise InputError(
            f"`{name}`: the model finds no fitting pair in any example; give other stretches, or another --object"
        )
    elsewhere = [f for outputs in background for f in _fitting(outputs, object_index)]
    verb_text = np.zeros_like(embedding) if verb is None else _unit(classifiers.verb_text[verb])
    words = (_unit(embedding), verb_text)
    share = classifiers.verb_weight
    means = _means([*(f for frames in shown for f in frames), *elsewhere])
    rows = _first_guess(shown, elsewhere, words, share)
    choice: list[list[int]] = []
    for _ in range(ROUNDS):
        chosen = [[_best(frame, rows, means, share) for frame in frames] for frames in shown]
        if chosen == choice:
            break
        choice = chosen
        rows = _differences(shown, choice, elsewhere)
    everything = [f for outputs in (*examples, *background) for f in _fitting(outputs, None)]
    spread = [_Spread.of(np.concatenate([getattr(f, space) for f in everything])) for space in SPACES]
    doing = [
        [np.stack([getattr(f, space)[i] for f, i in zip(frames, picks, strict=True)]) for space in SPACES]
        for frames, picks in zip(shown, choice, strict=True)
    ]  # by example and space: [F, E]
    others = [_others(shown, choice, elsewhere, space) for space in SPACES]

    def direction(members: Sequence[int]) -> tuple[Floats, Floats]:
        found = []
        for space, word in enumerate(words):
            mean = np.mean([doing[i][space].mean(0) for i in members], 0)  # each example counts the same
            found.append(_unit(spread[space].discriminant(mean) + TEXT_WEIGHT * word))
        return found[0], found[1]

    def project(rows: tuple[Floats, Floats], embeddings: Sequence[Floats]) -> NDArray[np.float64]:
        return np.asarray(embeddings[0] @ rows[0] + share * (embeddings[1] @ rows[1]), np.float64)

    rows = direction(range(len(doing)))
    negative = project(rows, others)
    level, unit = (
        (negative.mean(), negative.std() + 1e-6) if len(negative) > 1 else (project(rows, doing[0]).mean() - 0.3, 0.1)
    )
    positive = []
    for i, embeddings in enumerate(doing):  # scored by what the other examples teach: its own row fits too well
        rest = [j for j in range(len(doing)) if j != i] or [i]
        partial = direction(rest)
        reference = project(partial, others) if len(negative) > 1 else np.array([level - unit, level + unit])
        positive.append((project(partial, embeddings) - reference.mean()) / (reference.std() + 1e-6))
    sure = np.concatenate(positive)
    normal = (negative - level) / unit
    gain, shift = _calibration(sure, normal)
    scale = gain / (unit * classifiers.logit_scale)
    row = TaughtRow(
        name,
        np.asarray(scale * rows[0], np.float32),
        np.asarray(scale * rows[1], np.float32),
        object_index,
        np.asarray(embedding, np.float32),
        float(shift / classifiers.logit_scale - scale * level),
    )
    return Taught(row, len(sure), len(negative), _auc(sure, normal))


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
        return _unit(self.inverse @ (mean - self.mean))


def _calibration(sure: NDArray[np.float64], normal: NDArray[np.float64]) -> tuple[float, float]:
    """Return gain and shift to logits: the middle example at 0.9, 95 % of the others well below one half."""
    middle = float(np.median(sure))
    high = float(np.quantile(normal, 0.95)) if len(normal) else 0.0
    gain = float(np.clip(2 * SURE_LOGIT / max(middle - high, 1e-6), *GAIN_RANGE))
    return gain, SURE_LOGIT - gain * middle


def _fitting(outputs: Outputs[Floats], object_index: int | None) -> list[_Frame]:
    """Return each frame's queries that hold an object of the class (of any, for None)."""
    scores = sigmoid(outputs.object_logits[..., :-1])  # [F,Q,O]
    weights = scores.max(-1) if object_index is None else scores[..., object_index]
    is_fitting = weights >= MIN_OBJECT_SCORE
    if object_index is None:
        is_fitting &= outputs.object_logits.argmax(-1) != outputs.object_logits.shape[-1] - 1
    return [
        _Frame(outputs.interaction_embeddings[f][mask], outputs.verb_embeddings[f][mask], weights[f][mask])
        for f, mask in enumerate(is_fitting)
    ]


def _means(frames: list[_Frame]) -> tuple[Floats, Floats]:
    return _mean([f.interactions for f in frames]), _mean([f.verbs for f in frames])


def _first_guess(
    shown: list[list[_Frame]], elsewhere: list[_Frame], words: tuple[Floats, Floats], share: float
) -> tuple[Floats, Floats]:
    """Return the rows to begin with: of the pair whose like is in every example's frames and least in the others.

    Words alone may point at another pair, and averages from there on would stay with it.
    """
    frames = [frame for group in shown for frame in group]
    means = _means([*frames, *elsewhere])
    seeds = [(f.interactions[i], f.verbs[i]) for group in shown for f in group[:: max(1, len(group) // 2)][:3]
             for i in range(len(f.weights))]  # fmt: skip
    directions = [np.stack([_unit(seed[space] - means[space]) for seed in seeds]) for space in (0, 1)]
    agreement = 0.25 * (directions[0] @ words[0] + share * (directions[1] @ words[1]))
    for group in shown:
        agreement += np.mean([_likeness(f, directions, means, share) for f in group], 0) / len(shown)
    if elsewhere:
        agreement -= np.mean([_likeness(f, directions, means, share) for f in elsewhere], 0)
    best = int(agreement.argmax())
    return directions[0][best], directions[1][best]


def _likeness(frame: _Frame, directions: list[Floats], means: tuple[Floats, Floats], share: float) -> Floats:
    """Return for each of S directions how much the frame's most similar pair is like it, in [-1 - share, 1 + share]."""
    if not len(frame.weights):
        return np.zeros(len(directions[0]), np.float32)
    spaces = []
    for rows, mean, direction in zip((frame.interactions, frame.verbs), means, directions, strict=True):
        away = rows - mean
        spaces.append(away @ direction.T / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6))
    return np.asarray((spaces[0] + share * spaces[1]).max(0), np.float32)


def _best(frame: _Frame, rows: tuple[Floats, Floats], means: tuple[Floats, Floats], share: float) -> int:
    direct = (frame.interactions - means[0]) @ rows[0]
    verbs = (frame.verbs - means[1]) @ rows[1]
    return int((direct + share * verbs + 0.1 * frame.weights).argmax())


def _differences(shown: list[list[_Frame]], choice: list[list[int]], elsewhere: list[_Frame]) -> tuple[Floats, Floats]:
    """Return unit interaction and verb rows, to choose pairs by: the mean of those chosen less that of the others."""
    rows = []
    for space in SPACES:
        doing = [
            _unit(_mean([getattr(frame, space)[[i]] for frame, i in zip(frames, picks, strict=True)]))
            for frames, picks in zip(shown, choice, strict=True)
        ]  # each example counts the same, however long
        others = _others(shown, choice, elsewhere, space)
        rows.append(_unit(_unit(np.mean(doing, 0)) - (_unit(_mean([others])) if len(others) else 0.0)))
    return rows[0], rows[1]


def _others(shown: list[list[_Frame]], choice: list[list[int]], elsewhere: list[_Frame], space: str) -> Floats:
    """Return the embeddings [N, E] of pairs that do not do it.

    In an example's frames these are only the queries unlike the chosen one: several often find the same pair.
    """
    groups = [getattr(frame, space) for frame in elsewhere]
    for frames, picks in zip(shown, choice, strict=True):
        for frame, pick in zip(frames, picks, strict=True):
            rows = getattr(frame, space)
            groups.append(rows[frame.interactions @ frame.interactions[pick] < 0.8])
    groups = [group for group in groups if len(group)]
    return np.concatenate(groups) if groups else np.zeros((0, shown[0][0].interactions.shape[1]), np.float32)


def _auc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    if not len(negative):
        return 1.0
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(below.mean() / (2 * len(negative)))


def _mean(groups: Sequence[Floats]) -> Floats:
    return np.asarray(np.concatenate(groups).mean(0), np.float32)


def _unit(row: NDArray[Any]) -> Floats:
    norm = float(np.linalg.norm(row))
    return np.asarray(row / norm if norm > 1e-8 else row, np.float32)
