"""What stays still is scenery: silent while it stays, wherever it is missed, until another view begins."""

from __future__ import annotations

import numpy as np
import pytest

from stream.track.tracker import PairTracker, Transition
from tests.stream.track.scripted import CARRY, RIDE, frame, human_at, kinds, object_at, play, tracker

POSTER = (human_at(0), object_at(0), 0, {RIDE: 0.8})


def poster(t: float) -> list:
    return [POSTER]


def with_a_muted_poster(**settings: float) -> PairTracker:
    """Return a tracker that has taken a pair for scenery; the time is 5 s."""
    live = tracker(stationary_s=2.0, **settings)
    assert [t.reason for t in kinds(play(live, poster, 5), "ended")] == ["stationary"]
    return live


def starts(found: list[Transition]) -> list[int]:
    return [t.interaction for t in kinds(found, "started")]


def test_scenery_that_was_missed_for_long_is_still_scenery() -> None:
    live = with_a_muted_poster()
    play(live, lambda t: [], 10, start=5.0)
    assert play(live, poster, 5, start=15.0) == []


def test_the_place_of_a_poster_says_nothing_about_who_stands_elsewhere() -> None:
    live = with_a_muted_poster()
    play(live, lambda t: [], 10, start=5.0)
    assert starts(play(live, lambda t: [(human_at(200), object_at(200), 0, {RIDE: 0.8})], 2, start=15.0)) == [RIDE]
    half = lambda t: [(human_at(0), object_at(100), 0, {RIDE: 0.8})]  # noqa: E731 (the human's place, another object)
    assert starts(play(live, half, 2, start=30.0)) == [RIDE]


def test_only_what_was_scenery_is_silent_at_its_place() -> None:
    live = with_a_muted_poster()
    play(live, lambda t: [], 10, start=5.0)
    both = lambda t: [(human_at(0), object_at(0), 0, {RIDE: 0.8, CARRY: 0.7})]  # noqa: E731
    assert starts(play(live, both, 2, start=15.0)) == [CARRY]


def test_after_a_cut_that_the_caller_knows_the_old_scenery_is_forgotten() -> None:
    live = with_a_muted_poster()
    play(live, lambda t: [], 10, start=5.0)  # the poster's pair is dropped, its place known
    live.update(15.0, frame([]), cut=True)
    assert starts(play(live, poster, 2, start=15.2)) == [RIDE]


def test_after_a_cut_the_scenery_that_was_in_view_is_forgotten() -> None:
    live = with_a_muted_poster()
    found = live.update(5.0, frame([POSTER]), cut=True)
    found += play(live, poster, 2, start=5.2)
    assert starts(found) == [RIDE]


def test_a_cut_that_the_tracker_finds_itself_makes_it_forget_the_scenery() -> None:
    live = with_a_muted_poster(gap_s=1.0, track_memory_s=1.0)
    people = lambda x: lambda t: [(human_at(x + d), object_at(x + d), 2, {CARRY: 0.8}) for d in (0, 150)]  # noqa: E731
    play(live, people(300), 2, 10, start=8.0)
    assert {t.why for t in kinds(play(live, people(900), 1, 10, start=10.0), "ended")} == {
        "all 2 people were replaced at once"
    }
    assert RIDE in starts(play(live, poster, 2, start=12.0))


def test_a_clock_that_starts_anew_shows_the_same_view_and_its_scenery_stays_silent() -> None:
    live = with_a_muted_poster()
    assert play(live, poster, 5, start=0.0) == []


def test_scenery_that_moves_is_scenery_no_more() -> None:
    live = with_a_muted_poster()
    moved = lambda t: [(human_at(20), object_at(20), 0, {RIDE: 0.8})]  # noqa: E731
    assert starts(play(live, moved, 2, start=5.0)) == [RIDE]


def test_a_detectors_jitter_is_no_movement() -> None:
    rng = np.random.default_rng(0)
    live = with_a_muted_poster()
    shake = lambda t: [  # noqa: E731
        (np.array(human_at(0)) + rng.uniform(-3, 3, 4), np.array(object_at(0)) + rng.uniform(-3, 3, 4), 0, {RIDE: 0.8})
    ]
    assert play(live, shake, 30, start=5.0) == []


@pytest.mark.parametrize("count", [30, 80])
def test_the_last_64_places_of_scenery_are_known(count: int) -> None:
    live = tracker(stationary_s=1.0, gap_s=0.4, track_memory_s=0.4)
    at = lambda n: [(human_at(200.0 * n), object_at(200.0 * n), 0, {RIDE: 0.8})]  # noqa: E731
    for n in range(count):
        play(live, lambda t, n=n: at(n), 2, start=3.0 * n)  # type: ignore[misc]
    began = [n for n in range(count) if starts(play(live, lambda t, n=n: at(n), 0.8, start=1000 + 3.0 * n))]  # type: ignore[misc]
    assert began == list(range(max(0, count - 64)))


def test_scenery_that_was_missed_is_measured_from_where_it_was_and_not_from_where_it_is_found_again() -> None:
    live = with_a_muted_poster()
    play(live, lambda t: [], 10, start=5.0)
    at = lambda x: [(human_at(x), object_at(x), 0, {RIDE: 0.8})]  # noqa: E731
    assert play(live, lambda t: at(4), 3, start=15.0) == []  # less than 6 % of the human's size
    assert starts(play(live, lambda t: at(8), 3, start=18.0)) == [RIDE]  # more, though again 4 px only
