"""One event that goes on in another pair: ids stay one to one, and only what was lost goes on."""

from __future__ import annotations

import numpy as np
import pytest

from stream.track.episodes import Episodes
from stream.track.handover import find_continued
from stream.track.motion import HUMAN, BoxTracks
from stream.track.pairs import PairTable
from stream.track.tracker import PairTracker
from tests.stream.track.scenes import OBJECT_NAMES, Scene
from tests.stream.track.scripted import CARRY, HOLD, RIDE, human_at, kinds, object_at, play, tracker


def test_ids_of_tracks_stay_one_to_one_when_one_continues_another() -> None:
    tracks = BoxTracks(velocity_s=0.3, coast_s=0.5)
    tracks.add(np.zeros((2, 2, 5)), np.array([HUMAN, HUMAN, HUMAN, 0, 1]), 0.0)
    assert tracks.ids.tolist() == [1, 2, 3, 1, 2]
    tracks.show_as(2, 1)  # the third human is who was number 1
    assert tracks.ids.tolist() == [3, 2, 1, 1, 2]
    tracks.show_as(1, 1)
    assert tracks.ids.tolist() == [3, 1, 2, 1, 2]
    tracks.show_as(3, 7)  # of an object that is forgotten
    assert tracks.ids.tolist() == [3, 1, 2, 7, 2]


def test_in_random_scenes_no_two_tracks_share_an_id_and_what_has_no_event_shows_its_tracks_ids() -> None:
    for seed in range(30):
        scene = Scene(seed)
        tracker = PairTracker(scene.names, object_names=OBJECT_NAMES, settings=scene.settings)
        for seen in scene.frames():
            tracker.update(seen.t_s, seen.detections, seen.corrupt, seen.cut)
            tracks, pairs, episodes = tracker._tracks, tracker._pairs, tracker._episodes
            for of_kind in (tracks.labels == HUMAN, tracks.labels != HUMAN):
                assert len(np.unique(tracks.ids[of_kind])) == np.count_nonzero(of_kind)
            assert len(np.unique(pairs.pair_ids)) == pairs.num_pairs
            quiet = np.setdiff1d(np.arange(pairs.num_pairs), episodes.rows[episodes.is_open])
            assert np.array_equal(pairs.human_ids[quiet], tracks.ids[pairs.human_rows[quiet]])
            assert np.array_equal(pairs.object_ids[quiet], tracks.ids[pairs.object_rows[quiet]])


def test_everything_that_a_pair_was_doing_goes_on_in_its_continuation() -> None:
    def scene(t: float) -> list:
        jump = 0 if t < 4 else 400  # the human's track is lost, the object stays
        return [(human_at(jump), object_at(40), 0, {RIDE: 0.9, CARRY: 0.8})]

    live = tracker()
    found = play(live, scene, 8) + live.flush(8, "end_of_file")
    assert [t.kind for t in found if t.kind != "updated"] == ["started", "started", "ended", "ended"]
    assert len({(t.pair_id, t.human_id, t.object_id) for t in found}) == 1


def test_what_the_other_half_was_seen_doing_since_does_not_go_on() -> None:
    def scene(t: float) -> list:
        if t < 4:
            return [(human_at(0), object_at(40), 0, {RIDE: 0.9})]
        return [  # somebody else takes the bicycle; the first is still there, with a cup
            (human_at(400), object_at(40), 0, {RIDE: 0.9}),
            (human_at(0), object_at(0, 120, 16), 1, {HOLD: 0.9}),
        ]

    live = tracker(gap_s=2.0)
    rides = [t for t in play(live, scene, 8) if t.interaction == RIDE]
    assert [t.kind for t in rides if t.kind != "updated"] == ["started", "started", "ended"]
    assert len({t.human_id for t in rides}) == 2


@pytest.mark.parametrize("seen_s, is_one", [(0.6, True), (1.6, False)])
def test_a_pair_that_is_seen_long_after_the_other_began_is_not_continued(seen_s: float, is_one: bool) -> None:
    def scene(t: float) -> list:
        first, second = (human_at(0), object_at(0), 0, {RIDE: 0.9}), (human_at(30), object_at(20), 0, {RIDE: 0.55})
        return ([first] if t < 4 + seen_s else []) + ([second] if t >= 4 else [])

    live = tracker(enter_score=0.5, leave_score=0.2, smoothing_s=1.2, gap_s=3.0)
    found = play(live, scene, 12, 10)
    assert (len(kinds(found, "started")) == 1) == is_one


def test_an_object_of_another_class_in_the_same_place_continues_nothing() -> None:
    live = tracker()
    scene = lambda t: [(human_at(0), object_at(0), 0 if t < 4 else 2, {RIDE: 0.9})]  # noqa: E731
    started = kinds(play(live, scene, 8), "started")
    assert [(t.object, t.object_id) for t in started] == [("bicycle", 1), ("suitcase", 2)]


def test_of_two_that_were_lost_the_one_seen_last_is_continued() -> None:
    def lost_at(*seen_s: float) -> int | None:
        """Pairs in one place, of tracks of their own; the last one is about to open what the others were doing."""
        n, t_s = len(seen_s) + 1, 10.0
        box = np.array([0.0, 100, 60, 260, 0, 180, 40, 220])
        ids = np.arange(1, n + 1)
        pairs = PairTable.empty(1)._replace(
            pair_ids=ids, human_ids=ids, object_ids=ids, labels=np.zeros(n, np.int64),
            human_rows=np.arange(0, 2 * n, 2), object_rows=np.arange(1, 2 * n, 2),
            seen_s=np.array([*seen_s, t_s]), in_view_s=np.array([*seen_s, t_s]), boxes=np.tile(box, (n, 1)),
        )  # fmt: skip
        episodes = Episodes.empty().begin(np.arange(n), np.zeros(n, np.int64), 9.8)
        episodes.started_s[:-1] = 5.0
        return find_continued(pairs, episodes, n - 1, np.zeros(n, np.bool_), t_s)

    assert lost_at(8.0, 9.0) == 1
    assert lost_at(9.0, 8.0) == 0


def test_people_who_pass_each_other_and_whose_tracks_are_mixed_up_go_on_as_who_they_were() -> None:
    """Each keeps what they use; the detector lost both for a moment and the tracker took the one for the other."""

    def scene(t: float) -> list:
        # the riders' tracks cross while their bicycles stay; each human stays at the same side of the own bicycle
        if 4 <= t < 4.3:
            return [(human_at(140), object_at(400), 0, {HOLD: 0.2}), (human_at(430), object_at(100), 0, {HOLD: 0.2})]
        return [(human_at(90), object_at(100), 0, {RIDE: 0.9}), (human_at(390), object_at(400), 0, {RIDE: 0.9})]

    live = tracker(gap_s=3.0)
    found = play(live, scene, 9, 10) + live.flush(9, "end_of_file")
    assert [t.kind for t in found if t.kind != "updated"] == ["started", "started", "ended", "ended"]


def test_who_stands_at_the_other_side_of_a_thing_has_taken_it_over() -> None:
    def scene(t: float) -> list:
        giver = (human_at(60), object_at(400, 20, 30), 2, {CARRY: 0.9})  # is in view, with something else
        return [giver, (human_at(60), object_at(110), 0, {RIDE: 0.9})] if t < 4 else [
            giver, (human_at(200), object_at(110), 0, {RIDE: 0.9})
        ]  # fmt: skip

    live = tracker(gap_s=3.0)
    rides = [t for t in play(live, scene, 9, 10) if t.interaction == RIDE]
    assert len({t.human_id for t in kinds(rides, "started")}) == 2


def test_who_stands_where_the_other_stood_goes_on_even_where_the_other_is_in_view() -> None:
    def scene(t: float) -> list:
        other = (human_at(60 if t < 4 else 200), object_at(400, 20, 30), 2, {CARRY: 0.9})
        rider = (human_at(60 if t < 4 else 75), object_at(110), 0, {RIDE: 0.9})
        return [other, rider]

    live = tracker(gap_s=3.0)
    rides = [t for t in play(live, scene, 9, 10) if t.interaction == RIDE]
    assert len(kinds(rides, "started")) == 1 and len({t.human_id for t in rides}) == 1


def test_one_thing_found_twice_is_one_event() -> None:
    """Two boxes of one object that overlap too little to be merged, both doing the same with the same human."""

    def scene(t: float) -> list:
        second = [(human_at(100), object_at(135), 0, {RIDE: 0.8})] if t >= 2 else []
        return [(human_at(100), object_at(110), 0, {RIDE: 0.9}), *second]

    live = tracker()
    found = play(live, scene, 6, 10)
    assert len(kinds(found, "started")) == 1


def test_two_things_side_by_side_are_two_events() -> None:
    def scene(t: float) -> list:
        return [(human_at(100), object_at(60), 0, {RIDE: 0.9}), (human_at(100), object_at(160), 0, {RIDE: 0.8})]

    assert len(kinds(play(tracker(), scene, 6, 10), "started")) == 2


def test_what_begins_beside_a_continuation_begins_in_the_same_frame() -> None:
    def newcomer(t: float) -> list:
        return [(human_at(900), object_at(900), 1, {HOLD: 0.9})] if t >= 5 else []

    def both(t: float) -> list:
        jump = 400 if t >= 5 else 0  # its object begins a new track: the pair is continued by another one
        return [(human_at(0), object_at(40 + jump), 0, {RIDE: 0.9}), *newcomer(t)]

    alone, beside = tracker(), tracker()
    (expected,) = kinds(play(alone, newcomer, 8), "started")
    found = play(beside, both, 8)
    assert [t.interaction for t in kinds(found, "started")] == [RIDE, HOLD]
    assert kinds(found, "started")[1].t_s == expected.t_s
    assert kinds(found, "ended") == []
