"""Cuts that show in the people only."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stream.track.replacement import ReplacementDetector
from tests.stream.track.scripted import CARRY, RIDE, human_at, kinds, object_at, play, tracker


def observed(frames: list[tuple[float, set[int], bool]]) -> list[set[int]]:
    detector = ReplacementDetector()
    return [set(detector.observe(frozenset(ids), any_found=found, t_s=t_s)) for t_s, ids, found in frames]


def test_two_cuts_one_after_the_other_are_each_told_once_after_their_own_time() -> None:
    frames = [(0.0, {1, 2}, False), (0.2, {1, 2}, True)]
    frames += [(0.4, {3, 4}, False), (0.6, {3, 4}, True), (0.8, {3, 4}, True), (1.0, {3, 4}, True)]
    frames += [(1.2, {5, 6}, False), (1.4, {5, 6}, True), (1.6, {5, 6}, True), (1.8, {5, 6}, True)]
    assert observed(frames) == [set()] * 4 + [{1, 2}] + [set()] * 3 + [{3, 4}, set()]


def test_who_comes_back_was_only_missed() -> None:
    frames = [(0.0, {1, 2}, False), (0.2, {3}, False), (0.4, {2, 3}, True), (0.6, {3}, True), (0.8, {3}, True)]
    assert observed(frames) == [set()] * 5


@pytest.mark.parametrize("before", [set[int](), {1}])
def test_fewer_than_two_people_are_no_view_that_could_be_cut(before: set[int]) -> None:
    assert observed([(0.0, before, False), (0.2, {3, 4}, False), (0.8, {3, 4}, True)]) == [set()] * 3


def test_an_empty_frame_neither_tells_a_cut_nor_undoes_it() -> None:
    frames = [(0.0, {1, 2}, False), (0.2, {3, 4}, False), (0.6, set[int](), False), (0.8, {3, 4}, True)]
    assert observed(frames) == [set(), set(), set(), {1, 2}]


def people(x: float) -> Callable[[float], list]:
    return lambda t: [
        (human_at(x), object_at(x), 0, {RIDE: 0.8}),
        (human_at(x + 200), object_at(x + 200), 2, {CARRY: 0.8}),
    ]


def test_the_tracker_ends_everybody_at_the_second_cut_too() -> None:
    live = tracker(gap_s=2.0)
    found = play(live, people(0), 3, 10)
    found += play(live, people(600), 3, 10, start=3.0)
    found += play(live, people(0), 3, 10, start=6.0)
    assert [(t.reason, pytest.approx(t.t_s)) for t in kinds(found, "ended")] == [("cut", 3.4)] * 2 + [("cut", 6.4)] * 2
    assert len({t.human_id for t in found}) == 6
