"""Interactions of pairs, from their first evidence to their end."""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
NEVER = math.inf


class Episode(NamedTuple):
    """One interaction of one pair; times in seconds."""

    row: int  # of the pair
    interaction: int
    onset_s: float  # first frame whose own score was at or above the enter score
    evidence_s: float  # last frame whose own score was at or above the leave score
    low_since_s: float  # since when the smoothed score is below leave, while the pair is seen, or NEVER
    started_s: float  # NEVER until an event opened
    updated_s: float  # last `started` or `updated`
    peak_score: float  # highest smoothed score


class Episodes(NamedTuple):
    """E episodes, by pair, then by interaction, as arrays [E] that are changed in place; fields as in `Episode`."""

    where: Ints  # [2, E]
    values: Floats  # [6, E]

    @classmethod
    def empty(cls) -> Self:
        """Return no episodes."""
        return cls(np.zeros((2, 0), np.int64), np.zeros((6, 0)))

    @property
    def rows(self) -> Ints:
        """[E]."""
        rows: Ints = self.where[0]
        return rows

    @property
    def interactions(self) -> Ints:
        """[E]."""
        interactions: Ints = self.where[1]
        return interactions

    @property
    def onset_s(self) -> Floats:
        """[E]."""
        onset_s: Floats = self.values[0]
        return onset_s

    @property
    def evidence_s(self) -> Floats:
        """[E]."""
        evidence_s: Floats = self.values[1]
        return evidence_s

    @property
    def low_since_s(self) -> Floats:
        """[E]."""
        low_since_s: Floats = self.values[2]
        return low_since_s

    @property
    def started_s(self) -> Floats:
        """[E]."""
        started_s: Floats = self.values[3]
        return started_s

    @property
    def updated_s(self) -> Floats:
        """[E]."""
        updated_s: Floats = self.values[4]
        return updated_s

    @property
    def peak_score(self) -> Floats:
        """[E]."""
        peak_score: Floats = self.values[5]
        return peak_score

    @property
    def num_episodes(self) -> int:
        """E."""
        return len(self.rows)

    @property
    def is_open(self) -> Bools:
        """[E] whether `started` was published and `ended` was not."""
        is_open: Bools = self.started_s < NEVER
        return is_open

    def one_by_one(self, places: Ints) -> list[Episode]:
        """Return the episodes at `places` as they are now."""
        where, values = self.where.take(places, axis=1).tolist(), self.values.take(places, axis=1).tolist()
        return [Episode._make(fields) for fields in zip(*where, *values, strict=True)]

    def begin(self, rows: Ints, interactions: Ints, t_s: float) -> Self:
        """Return these episodes and new ones, whose first evidence is at `t_s`, in order."""
        values = np.empty((6, len(rows)))
        values.T[:] = t_s, t_s, NEVER, NEVER, 0.0, 0.0
        where = np.concatenate([self.where, [rows, interactions]], axis=1)
        return type(self)(where, np.concatenate([self.values, values], axis=1)).in_order()

    def in_order(self) -> Self:
        """Return these episodes by pair, then by interaction."""
        return self.at(np.lexsort(self.where[::-1]))

    def at(self, places: Ints | Bools) -> Self:
        """Return these episodes only."""
        return type(self)(self.where[:, places], self.values[:, places])

    def of_kept_pairs(self, is_kept: Bools) -> Self:
        """Return the episodes of the pairs that `is_kept` [N] says, with these pairs' rows among the kept ones."""
        kept = self.at(is_kept[self.rows])
        kept.rows[:] = (np.cumsum(is_kept) - 1)[kept.rows]
        return kept
