"""When events begin and end, on the rare paths: dips, gaps, long stillness, limits of time."""

from __future__ import annotations

import pytest

from tests.stream.track.scripted import RIDE, frame, human_at, kinds, object_at, play, riding, tracker


def at_rest(score: float) -> list:
    return [(human_at(0), object_at(0), 0, {RIDE: score})]


def test_an_event_closes_once_its_score_was_low_for_the_shortest_duration_and_no_other_time() -> None:
    live = tracker(smoothing_s=0.0, min_duration_s=0.6, gap_s=2.0, track_memory_s=3.0)
    (ended,) = kinds(play(live, riding(0, 5), 10, 10), "ended")
    assert ended.t_s == pytest.approx(5.6)
    assert ended.why == "score 0.15 < leave 0.23 for 0.6 s"


def test_dips_that_are_each_too_short_do_not_add_up() -> None:
    def scene(t: float) -> list:
        return at_rest(0.1 if t > 1 and round(10 * t) % 5 in (3, 4) else 0.9)  # 0.2 s of every 0.5 s

    live = tracker(smoothing_s=0.0, min_duration_s=0.3, stationary_s=0.0)
    found = play(live, scene, 20, 10)
    assert len(kinds(found, "started")) == 1 and kinds(found, "ended") == []


def test_a_dip_that_goes_on_after_the_pair_was_hidden_counts_from_where_it_began() -> None:
    def scene(t: float) -> list:
        return [] if 2.0 < t < 2.5 else at_rest(0.9 if t < 2 else 0.1)

    live = tracker(smoothing_s=0.0, min_duration_s=0.4, gap_s=1.0)
    (ended,) = kinds(play(live, scene, 4, 10), "ended")
    assert (ended.reason, ended.t_s) == ("score", pytest.approx(2.5))


def test_who_stood_still_long_before_an_event_is_not_scenery_when_it_begins() -> None:
    live = tracker(stationary_s=10.0)
    found = play(live, lambda t: at_rest(0.9 if t >= 30 else 0.15), 60)
    (started,), (ended,) = kinds(found, "started"), kinds(found, "ended")
    assert started.started_s == pytest.approx(30)
    assert ended.reason == "stationary"
    assert ended.t_s - started.started_s == pytest.approx(10, abs=0.21)


def test_tracks_are_remembered_for_the_gap_even_where_their_memory_is_shorter() -> None:
    live = tracker(track_memory_s=0.2, gap_s=1.5)
    found = play(live, lambda t: at_rest(0.9) if t < 3 else [], 8, 10)
    assert [(t.kind, t.reason) for t in found if t.kind != "updated"] == [("started", "score"), ("ended", "lost")]


def test_who_is_hidden_is_found_again_within_the_gap_even_where_the_memory_is_shorter() -> None:
    live = tracker(track_memory_s=0.2, gap_s=2.5)
    found = play(live, lambda t: [] if 3 <= t < 4 else at_rest(0.9), 8, 10) + live.flush(8, "end_of_file")
    assert [(t.kind, t.reason) for t in found if t.kind != "updated"] == [
        ("started", "score"),
        ("ended", "end_of_file"),
    ]


def test_nothing_is_reported_of_a_pair_while_it_is_hidden() -> None:
    live = tracker(gap_s=6.0, update_interval_s=0.5)
    play(live, riding(0, 60), 3, 10)
    assert play(live, lambda t: [], 2.5, 10, start=3.0) == []
    assert {t.kind for t in play(live, riding(0, 60), 1, 10, start=5.5)} == {"updated"}


def test_a_lost_pair_says_for_how_long_it_was_unseen() -> None:
    live = tracker(gap_s=1.0)
    (ended,) = kinds(play(live, lambda t: at_rest(0.9) if t < 2 else [], 5, 10), "ended")
    assert ended.why == "pair not found where it should be for 0.5 s ≥ 0.5 s"


def test_damaged_frames_say_nothing_so_that_a_pair_is_waited_for_all_of_the_gap() -> None:
    live = tracker(gap_s=1.0)
    play(live, lambda t: at_rest(0.9), 2, 10)
    found = [step for i in range(15) for step in live.update(2.0 + i / 10, frame([]), corrupt=True)]
    (ended,) = kinds(found, "ended")
    assert (ended.t_s, ended.why) == (pytest.approx(2.9), "pair unseen for 1.0 s ≥ gap 1.0 s")


def test_a_flicker_is_forgotten_and_the_next_evidence_counts_anew() -> None:
    live = tracker(smoothing_s=0.0, min_duration_s=0.5)
    found = play(live, lambda t: at_rest(0.9 if t < 0.3 or t >= 2 else 0.15), 4, 10)
    (started,) = kinds(found, "started")
    assert (started.started_s, started.t_s) == (pytest.approx(2.0), pytest.approx(2.5))


def test_evidence_that_is_hidden_for_the_gap_is_forgotten() -> None:
    live = tracker(smoothing_s=0.0, min_duration_s=1.0, gap_s=0.5, track_memory_s=5.0)
    found = play(live, lambda t: at_rest(0.9) if t < 0.5 or t >= 2 else [], 4, 10)
    (started,) = kinds(found, "started")
    assert started.started_s == pytest.approx(2.0)


def test_scores_of_who_is_unseen_sink_before_an_event_and_are_kept_during_one() -> None:
    def after_a_gap(is_open: bool) -> float:
        live = tracker(enter_score=0.5 if is_open else 0.95, leave_score=0.05, gap_s=5.0, track_memory_s=5.0)
        play(live, lambda t: at_rest(0.9), 3, 10)
        play(live, lambda t: [], 2, 10, start=3.0)
        live.update(5.0, frame(at_rest(0.9)))
        play(live, lambda t: at_rest(0.96), 1, 50, start=5.02)
        return live.snapshot()[0].interactions[0][1] if is_open else float(bool(live.snapshot()[0].interactions))

    assert after_a_gap(True) > 0.9
    assert after_a_gap(False) == 0.0


@pytest.mark.parametrize("fps", [5, 25])
def test_the_peak_is_the_highest_smoothed_score_of_the_event_alone(fps: float) -> None:
    live = tracker(max_event_s=4.0)
    found = play(live, lambda t: at_rest(0.9 if t < 4 else 0.5), 7.5, fps) + live.flush(7.5, "end_of_file")
    first, second = kinds(found, "ended")
    assert first.peak_score == pytest.approx(0.9, abs=0.01)
    assert 0.5 < second.peak_score < 0.85


def test_what_the_score_was_before_an_event_opened_is_no_peak_of_it() -> None:
    live = tracker(smoothing_s=0.0, min_duration_s=0.5)
    found = play(live, lambda t: at_rest(0.95 if t < 0.3 else 0.6), 3, 10) + live.flush(3.0, "end_of_file")
    assert [t.peak_score for t in found if t.kind != "updated"] == [pytest.approx(0.6)] * 2
