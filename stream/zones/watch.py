"""One camera's layout at work: masks before the tracker, zones and lines after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from stream.zones.crossings import Crossing, Crossings
from stream.zones.layout import Layout, centres, feet, relative
from stream.zones.presence import Move, Presence

Box = tuple[float, float, float, float]


class TrackedPair(Protocol):
    """What is asked of a live pair; boxes are left, top, right, bottom in pixels."""

    @property
    def pair_id(self) -> int: ...  # noqa: D102
    @property
    def human_box_xyxy_px(self) -> Box: ...  # noqa: D102
    @property
    def object_box_xyxy_px(self) -> Box: ...  # noqa: D102
    @property
    def is_seen(self) -> bool: ...  # noqa: D102


class Changes(NamedTuple):
    """What a frame changed."""

    moves: list[Move]
    crossings: list[Crossing]


class ZoneWatch:
    """Follow the pairs of one source through its layout; used from one thread, frames in order."""

    def __init__(self, layout: Layout, memory_s: float) -> None:
        """Follow pairs by `layout`; one that was not seen for `memory_s` is forgotten."""
        self.layout = layout
        self._presence = Presence(layout.zones)
        self._crossings = Crossings(layout.lines)
        self._counts: Counter[tuple[str, str, str]] = Counter()  # by line, direction and interaction
        self._memory_s = memory_s
        self._seen_s: dict[int, float] = {}  # media time at which each pair was seen last

    def update(self, t_s: float, pairs: Sequence[TrackedPair], size_hw: tuple[int, int]) -> Changes:
        """Take in the live pairs at media time `t_s`; return which came into a zone, left one or crossed a line."""
        seen = [pair for pair in pairs if pair.is_seen]
        ids = [pair.pair_id for pair in seen]
        standing = relative(feet(np.array([pair.human_box_xyxy_px for pair in seen])), size_hw)
        objects = relative(centres(np.array([pair.object_box_xyxy_px for pair in seen])), size_hw)
        moves = self._presence.update(t_s, ids, standing, objects)
        crossings = self._crossings.update(ids, standing, objects, size_hw)
        self._seen_s |= dict.fromkeys(ids, t_s)
        return Changes(moves, crossings)

    def saved(self) -> dict[str, Any]:
        """Return all that later frames depend on, ready for JSON."""
        return {
            "presence": self._presence.saved(),
            "crossings": self._crossings.saved(),
            "counts": [[*key, count] for key, count in self._counts.items()],
            "seen_s": list(self._seen_s.items()),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from what `saved` of a watch over the same layout returned."""
        self._presence.restore(saved["presence"])
        self._crossings.restore(saved["crossings"])
        self._counts = Counter({(line, way, interaction): count for line, way, interaction, count in saved["counts"]})
        self._seen_s = dict(saved["seen_s"])

    def zones_of(self, pair_id: int) -> tuple[str, ...]:
        """Return the zones that a pair is in."""
        return self._presence.zones_of(pair_id)

    def dwell_s(self, pair_id: int, from_s: float, until_s: float) -> dict[str, float]:
        """Return how long a pair was in each zone between two media times."""
        return self._presence.dwell_s(pair_id, from_s, until_s)

    def count(self, crossing: Crossing, interaction: str) -> int:
        """Count a crossing of an interaction; return how many of it there were on this line and way."""
        key = (crossing.line, crossing.direction, interaction)
        self._counts[key] += 1
        return self._counts[key]

    def forget_old(self, t_s: float) -> None:
        """Forget the pairs that were not seen for long by `t_s`, or after it: the source's clock began anew."""
        self._seen_s = {pair: seen for pair, seen in self._seen_s.items() if t_s - self._memory_s <= seen <= t_s}
        kept = set(self._seen_s)
        self._presence.forget(kept)
        self._crossings.forget(kept)
