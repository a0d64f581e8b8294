from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from stream.zones.crossings import Crossing
from stream.zones.layout import Layout, Line, Zone
from stream.zones.presence import Move
from stream.zones.watch import Changes, ZoneWatch

SIZE_HW = (100, 200)
LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
LOWER = ((0.0, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0))


@dataclass(frozen=True)
class Pair:
    pair_id: int
    human_box_xyxy_px: tuple[float, float, float, float]
    object_box_xyxy_px: tuple[float, float, float, float]
    is_seen: bool = True


def pair(
    feet: tuple[float, float], centre: tuple[float, float] = (0, 0), *, pair_id: int = 1, seen: bool = True
) -> Pair:
    """A pair whose human stands at `feet` and whose object is about `centre`, in parts of the frame."""
    (x, y), (u, v) = (feet[0] * 200, feet[1] * 100), (centre[0] * 200, centre[1] * 100)
    return Pair(pair_id, (x - 5, y - 30, x + 5, y), (u - 4, v - 4, u + 4, v + 4), seen)


def watch(*zones: Zone, lines: tuple[Line, ...] = ()) -> ZoneWatch:
    return ZoneWatch(Layout(zones, lines), memory_s=2.0)


def test_feet_object_or_both_decide() -> None:
    watched = watch(
        Zone("feet", LEFT, "feet", 0.0), Zone("object", LEFT, "object", 0.0), Zone("both", LEFT, "both", 0.0)
    )
    watched.update(0.0, [pair((0.2, 0.9), (0.8, 0.9)), pair((0.8, 0.9), (0.2, 0.9), pair_id=2)], SIZE_HW)
    watched.update(0.0, [pair((0.2, 0.9), (0.3, 0.9), pair_id=3)], SIZE_HW)
    assert [watched.zones_of(n) for n in (1, 2, 3, 4)] == [("feet",), ("object",), ("feet", "object", "both"), ()]


def test_a_pair_is_in_and_out_once_it_has_been_there_for_the_settling_time() -> None:
    watched = watch(Zone("left", LEFT, "feet", 0.3))
    moves = {
        t / 10: found
        for t, x in enumerate([0.6, 0.4, 0.4, 0.6, 0.4, 0.4, 0.4, 0.4, 0.6, 0.4, 0.6, 0.6, 0.6, 0.6])
        if (found := watched.update(t / 10, [pair((x, 0.9))], SIZE_HW).moves)
    }
    assert moves == {0.7: [Move(1, ("left",), ())], 1.3: [Move(1, (), ("left",))]}


@pytest.mark.parametrize("fps", [4, 10, 25])
def test_dwell_does_not_depend_on_the_frame_rate(fps: int) -> None:
    """In from 2 s to 6 s and from 8 s to 9 s, within an interaction from 3 s to 8.5 s."""
    watched = watch(Zone("left", LEFT, "feet", 0.3))
    for frame in range(10 * fps + 1):
        t = frame / fps
        watched.update(t, [pair((0.3 if 2 <= t < 6 or 8 <= t < 9 else 0.7, 0.9))], SIZE_HW)
    assert watched.dwell_s(1, 3.0, 8.5) == {"left": pytest.approx(3.5, abs=2 / fps)}
    assert watched.dwell_s(1, 0.0, 10.0) == {"left": pytest.approx(5.0, abs=2 / fps)}
    assert watched.dwell_s(1, 6.5, 7.5) == {}


def test_a_pair_that_is_not_seen_stays_where_it_was_and_is_forgotten_in_the_end() -> None:
    watched = watch(Zone("left", LEFT, "feet", 0.0))
    watched.update(1.0, [pair((0.2, 0.9))], SIZE_HW)
    assert watched.update(2.0, [pair((0.9, 0.9), seen=False)], SIZE_HW) == Changes([], [])
    watched.forget_old(2.5)
    assert watched.zones_of(1) == ("left",)
    watched.forget_old(3.5)
    assert watched.zones_of(1) == ()


def test_many_stays_are_summed_up_without_losing_a_second() -> None:
    watched = watch(Zone("left", LEFT, "feet", 0.0))
    for t in range(2001):
        watched.update(float(t), [pair((0.3 if t % 2 else 0.7, 0.9))], SIZE_HW)
    assert watched.dwell_s(1, 0.0, 2000.0) == {"left": 1000.0}
    assert watched.dwell_s(1, 1990.0, 2000.0) == {"left": 5.0}


LINE = Line("door", (0.2, 0.5), (0.8, 0.5))


def crossings(path: list[tuple[float, float]], line: Line = LINE) -> list[str]:
    watched = watch(lines=(line,))
    found = [watched.update(float(t), [pair(place, place)], SIZE_HW).crossings for t, place in enumerate(path)]
    return [crossing.direction for each in found for crossing in each]


def test_lines_tell_the_direction() -> None:
    assert crossings([(0.5, 0.2), (0.5, 0.8), (0.5, 0.2)]) == ["in", "out"]
    assert crossings([(0.5, 0.2), (0.5, 0.8)], Line("door", (0.8, 0.5), (0.2, 0.5))) == ["out"]


def test_who_walks_round_the_end_of_a_line_or_stands_on_it_crosses_nothing() -> None:
    assert crossings([(0.5, 0.2), (0.9, 0.2), (0.9, 0.8), (0.5, 0.8)]) == []
    assert crossings([(0.5, 0.2), *[(0.5, 0.5 + 0.009 * (-1) ** t) for t in range(20)], (0.5, 0.8)]) == ["in"]
    assert crossings([(0.5, 0.5), (0.5, 0.8)]) == []  # where it came from is not known


def test_each_pair_has_a_side_of_its_own() -> None:
    watched = watch(lines=(LINE,))
    watched.update(0.0, [pair((0.3, 0.2)), pair((0.6, 0.8), pair_id=2)], SIZE_HW)
    changes = watched.update(1.0, [pair((0.3, 0.8)), pair((0.6, 0.2), pair_id=2)], SIZE_HW)
    assert changes.crossings == [Crossing(1, "door", "in"), Crossing(2, "door", "out")]
    assert [watched.count(changes.crossings[0], name) for name in ("carry box", "carry box", "ride bicycle")] == [
        1,
        2,
        1,
    ]


def test_humans_who_stand_in_a_mask_are_masked_wherever_their_heads_are() -> None:
    layout = Layout(masks=(LOWER,))
    boxes = np.array([[10, 10, 20, 40], [10, 10, 20, 60], [10, 90, 20, 130]], np.float32)
    assert layout.is_masked(boxes, SIZE_HW).tolist() == [False, True, True]
    assert layout.is_masked(np.zeros((0, 4), np.float32), SIZE_HW).tolist() == []
