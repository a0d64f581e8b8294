"""Who is who from frame to frame, where distance alone would be wrong."""

from __future__ import annotations

import pytest

from tests.stream.track.scripted import CARRY, HOLD, RIDE, frame, human_at, kinds, object_at, play, tracker


@pytest.mark.parametrize("with_newcomer", [False, True])  # the short way, and the full comparison
def test_the_cup_that_is_held_stays_the_held_one_when_two_cups_pass_each_other(with_newcomer: bool) -> None:
    def scene(t: float) -> list:
        held, other = (100, 140) if t < 3 else (122, 118)  # each is nearer to where the other was
        pairs = [
            (human_at(90), object_at(held), 1, {HOLD: 0.9}),
            (human_at(90), object_at(other), 1, {HOLD: 0.12}),
        ]
        return pairs + [(human_at(600), object_at(600), 0, {CARRY: 0.3})] * (with_newcomer and t >= 3)

    live = tracker()
    found = play(live, scene, 6)
    (started,) = kinds(found, "started")
    assert kinds(found, "ended") == []
    ids = {v.object_id: v.object_box_xyxy_px[0] for v in live.snapshot() if v.human_id == started.human_id}
    assert ids == {started.object_id: 122.0, 3 - started.object_id: 118.0}


@pytest.mark.parametrize("spacing", [70, 100])
def test_a_row_of_people_does_not_move_up_when_one_leaves_and_another_joins(spacing: int) -> None:
    def scene(t: float) -> list:
        first = 0 if t < 3 else 1
        return [(human_at(n * spacing), object_at(n * spacing), 0, {RIDE: 0.8}) for n in range(first, first + 4)]

    live = tracker()
    play(live, scene, 3)
    before = {v.human_box_xyxy_px[0]: (v.human_id, v.object_id) for v in live.snapshot()}
    live.update(3.0, frame(scene(3.0)))
    after = {v.human_box_xyxy_px[0]: (v.human_id, v.object_id) for v in live.snapshot() if v.is_seen}
    assert [after[n * spacing] for n in (1, 2, 3)] == [before[n * spacing] for n in (1, 2, 3)]
    assert after[4 * spacing] == (5, 5)  # somebody new


def test_an_object_of_another_class_at_the_same_place_is_another_object() -> None:
    live = tracker()
    live.update(0.0, frame([(human_at(0), object_at(0), 1, {HOLD: 0.8})]))
    live.update(0.2, frame([(human_at(0), object_at(0), 2, {CARRY: 0.8})]))
    seen = [v for v in live.snapshot() if v.is_seen]
    assert [(v.human_id, v.object_id, v.object) for v in seen] == [(1, 2, "suitcase")]


def test_two_objects_of_different_classes_in_one_place_are_two() -> None:
    live = tracker()
    pairs = [(human_at(0), object_at(0), 1, {HOLD: 0.8}), (human_at(0), object_at(1), 2, {CARRY: 0.7})]
    found = [t for i in range(10) for t in live.update(i / 5, frame(pairs))]
    assert {(t.human_id, t.object_id, t.object) for t in kinds(found, "started")} == {(1, 1, "cup"), (1, 2, "suitcase")}


def test_a_human_in_the_place_of_an_object_is_no_object() -> None:
    live = tracker()
    live.update(0.0, frame([(human_at(0), human_at(300), 0, {RIDE: 0.8})]))
    live.update(0.2, frame([(human_at(300), human_at(0), 0, {RIDE: 0.8})]))  # what was called human and object, swapped
    (view,) = (v for v in live.snapshot() if v.is_seen)
    assert (view.human_id, view.object_id) == (2, 2)


@pytest.mark.parametrize("speed_px_s", [150, 175])
def test_a_fast_walker_who_leaves_their_own_box_at_each_frame_stays_one(speed_px_s: float) -> None:
    live = tracker()
    found = play(live, lambda t: [(human_at(speed_px_s * t), object_at(speed_px_s * t), 0, {RIDE: 0.8})], 6, 2.5)
    assert len(kinds(found, "started")) == 1 and kinds(found, "ended") == []
    assert {(t.human_id, t.object_id) for t in found} == {(1, 1)}


def test_who_jumps_farther_than_anybody_walks_is_somebody_else() -> None:
    live = tracker()
    live.update(0.0, frame([(human_at(0), object_at(0), 0, {RIDE: 0.8})]))
    live.update(0.2, frame([(human_at(400), object_at(400), 0, {RIDE: 0.8})]))
    assert [(v.human_id, v.object_id) for v in live.snapshot() if v.is_seen] == [(2, 2)]


def test_people_side_by_side_are_two_though_their_boxes_overlap() -> None:
    pairs = [(human_at(0), object_at(0), 0, {RIDE: 0.8}), (human_at(25), object_at(300), 0, {RIDE: 0.7})]
    live = tracker()
    for i in range(10):
        live.update(i / 5, frame(pairs))
    assert {v.human_id for v in live.snapshot()} == {1, 2}


def test_the_best_detection_of_a_pair_gives_its_boxes_and_each_its_best_scores() -> None:
    live = tracker(smoothing_s=0.0, min_duration_s=0.0)
    pairs = [
        (human_at(4), object_at(4), 0, {RIDE: 0.5, CARRY: 0.6}),
        (human_at(0), object_at(0), 0, {RIDE: 0.9, CARRY: 0.4}),
    ]
    live.update(0.0, frame(pairs))
    (view,) = live.snapshot()
    assert view.human_box_xyxy_px[0] == 0.0
    assert view.interactions == (("ride bicycle", pytest.approx(0.9)), ("carry suitcase", pytest.approx(0.6)))
