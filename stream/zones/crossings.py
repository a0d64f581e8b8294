"""Which pairs cross a line, and which way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from stream.zones.geometry import Point, Points, segments_meet, side_of
from stream.zones.layout import Line

Direction = Literal["in", "out"]
MARGIN = 0.01  # of the frame's height: nearer to a line no side is certain, so that who stands on it counts once


class Crossing(NamedTuple):
    """A pair has crossed a line."""

    pair_id: int
    line: str
    direction: Direction


class Crossings:
    """Follow pairs over `lines`: one crosses when it was surely on one side, is now surely on the other, and the way
    between the two places meets the line, not only its continuation beyond the ends.
    """

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = tuple(lines)
        self._sure: dict[tuple[int, int], tuple[bool, Point]] = {}  # by pair and line: on its right, and where

    def saved(self) -> list[Any]:
        """Return where all pairs were, ready for JSON."""
        return [[*key, is_right, *place] for key, (is_right, place) in self._sure.items()]

    def restore(self, saved: list[Any]) -> None:
        """Go on from what `saved` for the same lines returned."""
        self._sure = {(pair, line): (is_right, (x, y)) for pair, line, is_right, x, y in saved}

    def update(
        self, pair_ids: Sequence[int], feet: Points, centres: Points, size_hw: tuple[int, int]
    ) -> list[Crossing]:
        """Take in where P pairs are: [P, 2] each, in parts of a frame of `size_hw`; return who crossed."""
        found = []
        scale = np.array([size_hw[1] / size_hw[0], 1.0])  # to parts of the height, so that distances mean something
        for number, line in enumerate(self._lines):
            start, end = np.array(line.start) * scale, np.array(line.end) * scale
            places = (feet if line.by == "feet" else centres) * scale
            sides = side_of(start, end, places)
            for pair_id, place, side in zip(pair_ids, places.tolist(), sides.tolist(), strict=True):
                if abs(side) < MARGIN:
                    continue
                is_right, here = side > 0, (place[0], place[1])
                was_right, before = self._sure.get((pair_id, number), (is_right, here))
                self._sure[pair_id, number] = is_right, here
                ends = (tuple(start.tolist()), tuple(end.tolist()))
                if was_right != is_right and segments_meet(before, here, *ends):
                    found.append(Crossing(pair_id, line.name, "in" if is_right else "out"))
        return found

    def forget(self, kept: set[int]) -> None:
        """Forget all pairs but `kept`."""
        for key in [key for key in self._sure if key[0] not in kept]:
            del self._sure[key]
