"""Which of a frame's queries is the pair that an example is about: the one whose like is in every example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hoiclip.classifier import Floats
from hoiclip.postprocess import sigmoid
from hoiclip.types import Outputs
from hoiclip.unit_rows import mean_row, unit_row

MIN_OBJECT_SCORE = 0.15
SPACES = ("interactions", "verbs")
ROUNDS = 6  # of choosing the pair that does it and taking the mean anew; it settles in two or three
UNLIKE = 0.8  # a query whose cosine with the chosen one is higher shows the same pair


@dataclass(frozen=True)
class FittingQueries:
    """Queries of one frame that hold the object in question; N rows."""

    interactions: Floats  # [N, E] unit
    verbs: Floats  # [N, E] unit
    weights: Floats  # [N] object scores

    def __len__(self) -> int:
        return len(self.weights)


class Rows(NamedTuple):
    """A row for each space of embeddings, both [E]."""

    interaction: Floats
    verb: Floats


Frames = Sequence[FittingQueries]


def fitting_queries(outputs: Outputs[Floats], object_index: int | None) -> list[FittingQueries]:
    """Return each frame's queries that hold an object of the class (of any, for None), of outputs [F, Q, ...]."""
    scores = sigmoid(outputs.object_logits[..., :-1])  # [F,Q,O]
    weights = scores.max(-1) if object_index is None else scores[..., object_index]
    is_fitting = weights >= MIN_OBJECT_SCORE
    if object_index is None:
        is_fitting &= outputs.object_logits.argmax(-1) != outputs.object_logits.shape[-1] - 1
    return [
        FittingQueries(outputs.interaction_embeddings[f][mask], outputs.verb_embeddings[f][mask], weights[f][mask])
        for f, mask in enumerate(is_fitting)
    ]


def choose_pairs(shown: Sequence[Frames], elsewhere: Frames, words: Rows, verb_share: float) -> list[list[int]]:
    """Return for each example and frame which query does it.

    Args:
        shown: by example its frames, none of them empty.
        elsewhere: frames in which nobody does it.
        words: unit rows of what is shown, in words; zeros where they say nothing.
        verb_share: what the verb embeddings count beside the interaction embeddings.
    """
    means = _means([*(frame for frames in shown for frame in frames), *elsewhere])
    rows = _first_guess(shown, elsewhere, means, words, verb_share)
    choice: list[list[int]] = []
    for _ in range(ROUNDS):
        chosen = [[_best(frame, rows, means, verb_share) for frame in frames] for frames in shown]
        if chosen == choice:
            break
        choice = chosen
        rows = _differences(shown, choice, elsewhere)
    return choice


def chosen_rows(frames: Frames, picks: Sequence[int]) -> Rows:
    """Return the embeddings [F, E] of the chosen query of each frame, in both spaces."""
    rows = [np.stack([getattr(f, space)[i] for f, i in zip(frames, picks, strict=True)]) for space in SPACES]
    return Rows(rows[0], rows[1])


def other_rows(shown: Sequence[Frames], choice: Sequence[Sequence[int]], elsewhere: Frames) -> Rows:
    """Return the embeddings [N, E] of pairs that do not do it, in both spaces.

    In an example's frames these are only the queries unlike the chosen one: several often find the same pair.
    """
    groups: list[tuple[Floats, Floats]] = [(frame.interactions, frame.verbs) for frame in elsewhere]
    for frames, picks in zip(shown, choice, strict=True):
        for frame, pick in zip(frames, picks, strict=True):
            unlike = frame.interactions @ frame.interactions[pick] < UNLIKE
            groups.append((frame.interactions[unlike], frame.verbs[unlike]))
    width = shown[0][0].interactions.shape[1]
    none = np.zeros((0, width), np.float32)
    return Rows(*(np.concatenate([none, *(group[space] for group in groups)]) for space in (0, 1)))


def _means(frames: Frames) -> Rows:
    return Rows(mean_row([f.interactions for f in frames]), mean_row([f.verbs for f in frames]))


def _first_guess(shown: Sequence[Frames], elsewhere: Frames, means: Rows, words: Rows, verb_share: float) -> Rows:
    """Return the rows to begin with: of the pair whose like is in every example's frames and least in the others.

    Words alone may point at another pair, and averages from there on would stay with it.
    """
    seeds = [(f.interactions[i], f.verbs[i]) for group in shown for f in group[:: max(1, len(group) // 2)][:3]
             for i in range(len(f.weights))]  # fmt: skip
    directions = [np.stack([unit_row(seed[space] - means[space]) for seed in seeds]) for space in (0, 1)]
    agreement = 0.25 * (directions[0] @ words[0] + verb_share * (directions[1] @ words[1]))
    for group in shown:
        agreement += np.mean([_likeness(f, directions, means, verb_share) for f in group], 0) / len(shown)
    if elsewhere:
        agreement -= np.mean([_likeness(f, directions, means, verb_share) for f in elsewhere], 0)
    best = int(agreement.argmax())
    return Rows(directions[0][best], directions[1][best])


def _likeness(frame: FittingQueries, directions: list[Floats], means: Rows, verb_share: float) -> Floats:
    """Return for each of S directions how much the frame's most similar pair is like it, within 1 + `verb_share`."""
    if not len(frame.weights):
        return np.zeros(len(directions[0]), np.float32)
    spaces = []
    for rows, mean, direction in zip((frame.interactions, frame.verbs), means, directions, strict=True):
        away = rows - mean
        spaces.append(away @ direction.T / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6))
    return np.asarray((spaces[0] + verb_share * spaces[1]).max(0), np.float32)


def _best(frame: FittingQueries, rows: Rows, means: Rows, verb_share: float) -> int:
    direct = (frame.interactions - means[0]) @ rows[0]
    verbs = (frame.verbs - means[1]) @ rows[1]
    return int((direct + verb_share * verbs + 0.1 * frame.weights).argmax())


def _differences(shown: Sequence[Frames], choice: Sequence[Sequence[int]], elsewhere: Frames) -> Rows:
    """Return unit rows to choose pairs by: the mean of those chosen less that of the others."""
    others = other_rows(shown, choice, elsewhere)
    by_example = [chosen_rows(frames, picks) for frames, picks in zip(shown, choice, strict=True)]
    rows = []
    for space in (0, 1):
        # each example counts the same, however long
        doing = unit_row(np.mean([unit_row(example[space].mean(0)) for example in by_example], 0))
        rows.append(unit_row(doing - (unit_row(others[space].mean(0)) if len(others[space]) else 0.0)))
    return Rows(rows[0], rows[1])
