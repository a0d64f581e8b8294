"""Teach an interaction from a handful of examples, without training: visual semantic arithmetic on query embeddings.

The paper makes a verb's classifier from pictures: what a person and an object show together, less the object alone.
Here both terms are embeddings that the model itself gives: of the pairs that do it, less those that do not. Source:
HOICLIP (Ning et al., CVPR 2023), section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoiclip.classifier import Classifiers, Floats, TaughtRow
from hoiclip.errors import InputError
from hoiclip.postprocess import sigmoid
from hoiclip.types import Outputs

TEXT_SHARE = 0.35  # of the row; the rest comes from the examples
MIN_OBJECT_SCORE = 0.15
ROUNDS = 6  # of choosing the pair that does it and taking the mean anew; it settles in two or three
SURE_LOGIT = 2.2  # what the middle example scores: 0.9


@dataclass(frozen=True)
class Taught:
    """A new row and how well its own examples part from everything else."""

    row: TaughtRow
    num_frames: int  # frames of examples in which a fitting pair was found
    num_others: int  # other pairs, to tell apart from
    separation: float  # ROC AUC of examples against the others, in [0, 1]; 0.5 is chance


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
    classifiers: Classifiers,
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
    centre = classifiers.text_embedding.mean(0) if len(classifiers.text_embedding) else np.zeros_like(embedding)
    text = _unit(embedding - centre)
    verb_text = np.zeros_like(embedding)
    if verb is not None:
        verb_text = _unit(classifiers.verb_text[verb] - classifiers.verb_text.mean(0))
    share = classifiers.verb_weight
    rows = _first_guess(shown, elsewhere, (text, verb_text), share)
    means = _means([*(f for frames in shown for f in frames), *elsewhere])
    choice: list[list[int]] = []
    for _ in range(ROUNDS):
        chosen = [[_best(frame, rows, means, share) for frame in frames] for frames in shown]
        if chosen == choice:
            break
        choice = chosen
        rows = _arithmetic(shown, choice, elsewhere, (text, verb_text))
    return _calibrated(name, rows, shown, choice, elsewhere, classifiers, embedding, object_index)


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


def _arithmetic(
    shown: list[list[_Frame]], choice: list[list[int]], elsewhere: list[_Frame], words: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    """Return unit interaction and verb rows: together less alone, with a share of what the words say."""
    rows = []
    for space, word in zip(("interactions", "verbs"), words, strict=True):
        doing = [
            _unit(_mean([getattr(frame, space)[[i]] for frame, i in zip(frames, picks, strict=True)]))
            for frames, picks in zip(shown, choice, strict=True)
        ]  # each example counts the same, however long
        others = _others(shown, choice, elsewhere, space)
        difference = _unit(np.mean(doing, 0)) - (_unit(_mean([others])) if len(others) else 0.0)
        mixed = (1 - TEXT_SHARE) * _unit(difference) + TEXT_SHARE * word if word.any() else difference
        rows.append(_unit(mixed))
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


def _calibrated(
    name: str,
    rows: tuple[Floats, Floats],
    shown: list[list[_Frame]],
    choice: list[list[int]],
    elsewhere: list[_Frame],
    classifiers: Classifiers,
    embedding: Floats,
    object_index: int | None,
) -> Taught:
    """Scale and shift the rows so that the middle example scores 0.9 and nearly all others below one half."""
    share, scale = classifiers.verb_weight, classifiers.logit_scale
    picked = [
        (frame.interactions[i] @ rows[0] + share * (frame.verbs[i] @ rows[1]))
        for frames, picks in zip(shown, choice, strict=True)
        for frame, i in zip(frames, picks, strict=True)
    ]
    positive = np.array(picked, np.float64)
    interactions = _others(shown, choice, elsewhere, "interactions")
    verbs = _others(shown, choice, elsewhere, "verbs")
    negative = np.asarray(interactions @ rows[0] + share * (verbs @ rows[1]), np.float64)
    middle = float(np.median(positive))
    high = float(np.quantile(negative, 0.95)) if len(negative) else middle - 0.3
    gap = max(middle - high, 0.0)
    gain = float(np.clip(2 * SURE_LOGIT / (scale * max(gap, 1e-6)), 0.3, 3.0))
    bias = SURE_LOGIT / scale - gain * middle
    row = TaughtRow(
        name,
        np.asarray(gain * rows[0], np.float32),
        np.asarray(gain * rows[1], np.float32),
        object_index,
        np.asarray(embedding, np.float32),
        bias,
    )
    return Taught(row, len(positive), len(negative), _auc(positive, negative))


def _auc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    if not len(negative):
        return 1.0
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(below.mean() / (2 * len(negative)))


def _mean(groups: Sequence[Floats]) -> Floats:
    return np.asarray(np.concatenate(groups).mean(0), np.float32)


def _unit(row: Floats) -> Floats:
    norm = float(np.linalg.norm(row))
    return np.asarray(row / norm if norm > 1e-8 else row, np.float32)
