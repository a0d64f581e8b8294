"""Which pairs are in which zones, since when, and for how long in all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from stream.zones.geometry import Bools, Points, contains
from stream.zones.layout import Zone

EPSILON_S = 1e-9  # media times are sums of fractions
_MOST_STAYS = 256  # of one pair in one zone that are kept apart; the oldest are summed up


class Move(NamedTuple):
    """A pair has come into zones or left some."""

    pair_id: int
    entered: tuple[str, ...]
    left: tuple[str, ...]


@dataclass
class _Stay:
    from_s: float
    to_s: float
    seconds: float  # fewer than from `from_s` to `to_s` where several stays were summed up


@dataclass
class _Place:
    """One pair and one zone."""

    is_in: bool = False
    changed_s: float | None = None  # since when it is seen on the other side of what `is_in` says
    since_s: float = 0.0  # of the stay that goes on
    stays: list[_Stay] = field(default_factory=list)


class Presence:
    """Follow pairs through `zones`. A pair that is not seen stays where it was seen last.

    Being inside counts from the first frame inside, once it has lasted `settle_s`; leaving likewise. So a person on a
    zone's edge does not come and go with every frame, and times do not depend on the frame rate.
    """

    def __init__(self, zones: Sequence[Zone]) -> None:
        self._zones = tuple(zones)
        self._polygons = [np.array(zone.polygon) for zone in zones]
        self._places: dict[int, list[_Place]] = {}  # by pair id, one a zone

    def update(self, t_s: float, pair_ids: Sequence[int], feet: Points, centres: Points) -> list[Move]:
        """Take in where P pairs are at media time `t_s`: [P, 2] each, in parts of the frame; return who moved."""
        inside = [self._is_inside(zone, index, feet, centres) for index, zone in enumerate(self._zones)]
        moves = []
        for row, pair_id in enumerate(pair_ids):
            places = self._places.setdefault(pair_id, [_Place() for _ in self._zones])
            entered: list[str] = []
            left: list[str] = []
            for zone, place, is_inside in zip(self._zones, places, inside, strict=True):
                if _settles(place, bool(is_inside[row]), t_s, zone.settle_s):
                    (entered if place.is_in else left).append(zone.name)
            if entered or left:
                moves.append(Move(pair_id, tuple(entered), tuple(left)))
        return moves

    def saved(self) -> list[Any]:
        """Return where all pairs are and were, ready for JSON."""
        return [[pair_id, [asdict(place) for place in places]] for pair_id, places in self._places.items()]

    def restore(self, saved: list[Any]) -> None:
        """Go on from what `saved` for the same zones returned."""
        self._places = {
            pair_id: [_Place(**{**place, "stays": [_Stay(**stay) for stay in place["stays"]]}) for place in places]
            for pair_id, places in saved
        }

    def _is_inside(self, zone: Zone, index: int, feet: Points, centres: Points) -> Bools:
        polygon = self._polygons[index]
        if zone.by == "object":
            return contains(polygon, centres)
        standing = contains(polygon, feet)
        return standing & contains(polygon, centres) if zone.by == "both" else standing

    def zones_of(self, pair_id: int) -> tuple[str, ...]:
        """Return the zones that a pair is in, in the order of the configuration."""
        places = self._places.get(pair_id, ())
        return tuple(zone.name for zone, place in zip(self._zones, places, strict=False) if place.is_in)

    def dwell_s(self, pair_id: int, from_s: float, until_s: float) -> dict[str, float]:
        """Return how long a pair was in each zone between two media times; zones it was not in are left out."""
        found = {}
        for zone, place in zip(self._zones, self._places.get(pair_id, ()), strict=False):
            seconds = sum(_overlap(stay, from_s, until_s) for stay in place.stays)
            if place.is_in:
                seconds += max(0.0, until_s - max(from_s, place.since_s))
            if seconds > 0 or place.is_in:
                found[zone.name] = seconds
        return found

    def forget(self, kept: set[int]) -> None:
        """Forget all pairs but `kept`."""
        for pair_id in self._places.keys() - kept:
            del self._places[pair_id]


def _settles(place: _Place, is_inside: bool, t_s: float, settle_s: float) -> bool:
    """Note where a pair is seen; return whether it has come in or gone out by that."""
    if is_inside == place.is_in:
        place.changed_s = None
        return False
    if place.changed_s is None:
        place.changed_s = t_s
    if t_s - place.changed_s < settle_s - EPSILON_S:
        return False
    if place.is_in:
        place.stays.append(_Stay(place.since_s, place.changed_s, place.changed_s - place.since_s))
        if len(place.stays) > _MOST_STAYS:
            first, second = place.stays[:2]
            place.stays[:2] = [_Stay(first.from_s, second.to_s, first.seconds + second.seconds)]
    place.is_in, place.since_s, place.changed_s = is_inside, place.changed_s, None
    return True


def _overlap(stay: _Stay, from_s: float, until_s: float) -> float:
    return min(stay.seconds, max(0.0, min(stay.to_s, until_s) - max(stay.from_s, from_s)))
