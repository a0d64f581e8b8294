"""Pairs in view that do little end what they were doing, and begin nothing."""

from __future__ import annotations

import pytest

from stream.track.tracker import Transition
from tests.stream.track.scripted import CARRY, NAMES, RIDE, Seen, frame, human_at, kinds, object_at, play, tracker

LOW = 0.05  # below `min_pair_score` of the scripted tracker, 0.1


def test_a_pair_that_is_seen_to_do_nothing_ends_by_its_score_long_before_the_gap() -> None:
    scene = lambda t: [(human_at(100), object_at(110), 0, {RIDE: 0.9 if t < 3 else LOW})]  # noqa: E731
    (ended,) = kinds(play(tracker(gap_s=4.0), scene, 8, 10), "ended")
    assert ended.reason == "score"
    assert ended.t_s < 4.0
    assert ended.started_s + ended.duration_s == pytest.approx(2.9)


def test_an_idle_pair_keeps_its_ids_while_it_walks_on() -> None:
    """It moves farther than any box does between two frames, unless it is followed meanwhile."""

    def scene(t: float) -> list[Seen]:
        x = 100 + 60 * t
        return [(human_at(x), object_at(x + 10), 0, {RIDE: LOW if 3 <= t < 3.4 else 0.9})]

    live = tracker(gap_s=4.0)
    found = play(live, scene, 8, 10) + live.flush(8, "end_of_file")
    assert [t.kind for t in found if t.kind != "updated"] == ["started", "ended"]
    assert len({(t.pair_id, t.human_id, t.object_id) for t in found}) == 1


def test_idle_pairs_begin_nothing() -> None:
    live = tracker()
    idle = [(human_at(100), object_at(110), 0, dict.fromkeys(range(len(NAMES)), LOW))]
    assert play(live, lambda t: idle, 3) == []
    assert live.snapshot() == []


def test_another_class_at_the_same_place_does_not_show_that_the_pair_is_idle() -> None:
    def scene(t: float) -> list[Seen]:
        return [(human_at(100), object_at(110), 0 if t < 3 else 2, {RIDE: 0.9 if t < 3 else LOW})]

    (ended,) = kinds(play(tracker(gap_s=2.0), scene, 8, 10), "ended")
    assert ended.reason == "lost"


def test_what_is_seen_behind_somebody_is_no_evidence_that_a_pair_is_idle() -> None:
    def scene(t: float) -> list[Seen]:
        is_hidden = 3 <= t < 4.5
        other = (human_at(130), object_at(400, 20, 30), 2, {CARRY: 0.9})
        return [other, (human_at(100), object_at(110), 0, {RIDE: LOW if is_hidden else 0.9})]

    live = tracker(gap_s=2.0)
    rides: list[Transition] = [t for t in play(live, scene, 8, 10) if t.interaction == RIDE]
    assert {t.kind for t in rides} == {"started", "updated"}


def test_a_frame_without_open_events_leaves_idle_pairs_alone() -> None:
    live = tracker()
    live.update(0.0, frame([(human_at(100), object_at(110), 0, {RIDE: 0.3})]))
    assert live.update(0.1, frame([(human_at(100), object_at(110), 0, {RIDE: LOW})])) == []
