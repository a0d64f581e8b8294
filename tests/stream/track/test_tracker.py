"""The tracker on scenes whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from hoiclip.errors import InputError
from stream.track.tracker import PairTracker, TrackerSettings
from tests.stream.track.scripted import (
    CARRY,
    HOLD,
    NAMES,
    NOTHING,
    RIDE,
    Detections,
    frame,
    human_at,
    kinds,
    object_at,
    play,
    riding,
    tracker,
)


@pytest.mark.parametrize("fps", [2.5, 5, 10, 25, 30])
def test_an_interaction_opens_and_closes_at_the_true_times_at_any_frame_rate(fps):
    live = tracker()
    found = play(live, riding(2, 6), 10, fps) + live.flush(10, "end_of_file")
    (started,), (ended,) = kinds(found, "started"), kinds(found, "ended")
    assert started.started_s == pytest.approx(2, abs=1 / fps + 1e-6)
    assert started.t_s - 2 <= 0.3 + 1 / fps + 1e-6  # said soon after
    assert ended.started_s + ended.duration_s == pytest.approx(6, abs=1 / fps + 1e-6)
    assert (ended.reason, ended.interaction, ended.object) == ("score", RIDE, "bicycle")
    assert ended.started_s == started.started_s and ended.pair_id == started.pair_id
    assert ended.peak_score == pytest.approx(0.9, abs=0.01)


def test_smoothed_scores_do_not_depend_on_the_frame_rate():
    values = []
    for fps in (5, 50):
        live = tracker(enter_score=0.05)
        play(live, riding(1, 9, 0.6, 0.0), 2 + 0.5 / fps, fps)
        values.append(live.snapshot()[0].interactions[0][1])
    assert values[0] == pytest.approx(values[1], abs=0.01)


def test_no_interaction_never_becomes_an_event():
    assert play(tracker(), lambda t: [(human_at(0), object_at(0), 0, {NOTHING: 0.99})], 5) == []


def test_one_frame_never_opens_an_event():
    assert play(tracker(), riding(2, 2.2), 6) == []


def test_corrupt_frames_open_nothing_and_do_not_break_what_is_open():
    live = tracker()
    scene = frame([(human_at(0), object_at(0), 0, {RIDE: 0.99})])
    assert [live.update(i / 5, scene, corrupt=True) for i in range(20)] == [[]] * 20
    found = [t for i in range(20, 60) for t in live.update(i / 5, scene, corrupt=30 <= i < 34)]
    assert [t.kind for t in found if t.kind != "updated"] == ["started"]
    assert kinds(found, "started")[0].started_s == pytest.approx(4.0)


def test_an_occlusion_shorter_than_the_gap_neither_ends_nor_splits():
    live = tracker(gap_s=1.6)

    def scene(t):
        return [] if 3 <= t < 3.7 else [(human_at(20 * t), object_at(20 * t), 0, {RIDE: 0.8})]

    found = play(live, scene, 8, 10) + live.flush(8, "end_of_file")
    assert [t.kind for t in found if t.kind != "updated"] == ["started", "ended"]
    assert len({(t.pair_id, t.human_id, t.object_id) for t in found}) == 1


@pytest.mark.parametrize("half", ["human", "object"])
def test_an_interaction_goes_on_when_one_half_of_the_pair_begins_a_new_track(half):
    def scene(t):
        jump = 400 if t >= 5 else 0  # farther than any box moves between two frames
        human, item = (jump, 40) if half == "human" else (0, 40 + jump)
        return [(human_at(human), object_at(item), 0, {RIDE: 0.9})]

    live = tracker()
    found = play(live, scene, 10) + live.flush(10, "end_of_file")
    (started,), (ended,) = kinds(found, "started"), kinds(found, "ended")
    assert ended.started_s == started.started_s == pytest.approx(0)
    assert ended.started_s + ended.duration_s == pytest.approx(9.8)
    same = ("pair_id", "human_id", "object_id")
    assert [getattr(ended, name) for name in same] == [getattr(started, name) for name in same]
    assert {t.human_id for t in kinds(found, "updated")} == {started.human_id}


def test_what_somebody_hands_over_while_both_are_seen_is_two_events():
    def scene(t):
        holder, other = (0, 300) if t < 5 else (300, 0)
        return [
            (human_at(holder), object_at(150), 0, {RIDE: 0.9}),
            (human_at(other), object_at(150), 0, {RIDE: 0.12}),
        ]

    live = tracker()
    found = play(live, scene, 10) + live.flush(10, "end_of_file")
    first, second = kinds(found, "started")
    assert first.human_id != second.human_id
    assert first.object_id == second.object_id


@pytest.mark.parametrize("seed", range(30))
def test_whatever_starts_ends_once_under_the_same_ids(seed):
    rng = np.random.default_rng(seed)
    live = tracker(gap_s=1.5, enter_score=0.3)
    found = []
    for i in range(80):  # few places, so that pairs are lost, found and confused all the time
        pairs = [
            (human_at(int(rng.integers(4)) * 45), object_at(int(rng.integers(4)) * 45), int(rng.integers(2)),
             {k: float(rng.random()) for k in range(len(NAMES))})
            for _ in range(int(rng.integers(5)))
        ]  # fmt: skip
        found += live.update(i / 5, frame(pairs), corrupt=rng.random() < 0.05)
    found += live.flush(16.0, "end_of_file")
    lives = {}
    for t in found:
        lives.setdefault((t.pair_id, t.human_id, t.object_id, t.interaction, t.started_s), []).append(t.kind)
    assert lives
    for kinds_of in lives.values():
        assert kinds_of[0] == "started" and kinds_of[-1] == "ended"
        assert set(kinds_of[1:-1]) <= {"updated"}


def test_a_new_pair_that_does_something_else_is_not_the_old_one():
    other = next(k for k in range(len(NAMES)) if k not in (RIDE, NOTHING))
    live = tracker()
    scene = lambda t: [(human_at(0), object_at(40 if t < 5 else 440), 0, {RIDE if t < 5 else other: 0.9})]  # noqa: E731
    found = play(live, scene, 10) + live.flush(10, "end_of_file")
    assert [t.interaction for t in kinds(found, "started")] == [RIDE, other]
    assert len({t.pair_id for t in kinds(found, "started")}) == 2


def test_a_pair_that_leaves_ends_as_lost_at_its_last_evidence():
    def scene(t):
        return [(human_at(0), object_at(0), 0, {RIDE: 0.8})] if t < 3 else []

    (ended,) = kinds(play(tracker(), scene, 6, 10), "ended")
    assert ended.reason == "lost" and "not found" in ended.why
    assert ended.started_s + ended.duration_s == pytest.approx(2.9)
    assert ended.t_s == pytest.approx(3.4)  # half of the gap was waited for: nothing hides it


def test_a_human_keeps_one_id_over_several_interactions_and_objects():
    def scene(t):
        body = np.array(human_at(50 + 10 * t))
        yield body, object_at(60 + 10 * t), 0, {RIDE: 0.9 if t > 1 else 0.0}
        yield body + 3, object_at(70 + 10 * t, 120, 16), 1, {HOLD: 0.9 if t > 3 else 0.0}  # another query's box

    started = kinds(play(tracker(min_pair_score=0.0), scene, 6), "started")
    assert [t.interaction for t in started] == [RIDE, HOLD]
    assert len({t.human_id for t in started}) == 1
    assert len({t.object_id for t in started}) == len({t.pair_id for t in started}) == 2


def test_two_queries_of_one_pair_are_one_event():
    def scene(t):
        for shift in (0, 2, -3):
            yield human_at(50 + shift), object_at(60 + shift), 0, {RIDE: 0.8}

    assert len(kinds(play(tracker(), scene, 4), "started")) == 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("hidden_s", [0.0, 0.4])
def test_crossing_people_keep_their_ids_and_what_they_carry(seed, hidden_s):
    rng = np.random.default_rng(seed)
    live = tracker()
    by_direction: dict[int, set] = {1: set(), -1: set()}
    found = []
    for i in range(100):
        t = i / 10
        people = [(1, 30 + 60 * t), (-1, 630 - 60 * t)]  # they meet at t = 5
        if abs(t - 5.2) < hidden_s / 2:
            people = people[:1]  # the one behind is hidden
        rng.shuffle(people)
        jitter = lambda box: np.array(box) + rng.normal(0, 1.5, 4)  # noqa: E731
        found += live.update(
            t, frame([(jitter(human_at(x)), jitter(object_at(x + 20 * d)), 2, {CARRY: 0.8}) for d, x in people])
        )
        for view in live.snapshot():
            if view.is_seen and (t < 4.5 or t > 6):
                x = view.human_box_xyxy_px[0]
                direction = min((1, -1), key=lambda d: abs(x - (330 + d * 60 * (t - 5))))
                by_direction[direction].add((view.human_id, view.object_id, view.pair_id))
    assert len(by_direction[1]) == len(by_direction[-1]) == 1
    assert by_direction[1] != by_direction[-1]
    assert len(kinds(found, "started")) == 2 and not kinds(found, "ended")


def test_crossing_people_with_different_objects_do_not_swap():
    def scene(t):
        a, b = 30 + 100 * t, 630 - 100 * t
        yield human_at(a), object_at(a), 0, {RIDE: 0.8}
        yield human_at(b), object_at(b), 2, {CARRY: 0.8}

    live = tracker()
    found = play(live, scene, 6, 5) + live.flush(6, "end_of_file")
    assert len(kinds(found, "started")) == 2
    assert {(t.human_id, t.interaction) for t in kinds(found, "ended")} == {
        (t.human_id, t.interaction) for t in kinds(found, "started")
    }


def two_people(x: float):
    return lambda t: [
        (human_at(x), object_at(x), 0, {RIDE: 0.8}),
        (human_at(x + 200), object_at(x + 200), 2, {CARRY: 0.8}),
    ]


def test_a_cut_that_the_caller_reports_ends_everything_and_restarts_ids():
    live = tracker()
    before = play(live, two_people(0), 3)
    at_cut = live.update(3.0, frame(two_people(0)(0)), cut=True)  # the same places, other people
    after = play(live, two_people(0), 3, start=3.2)
    assert [t.reason for t in at_cut] == ["cut", "cut"]
    assert len(kinds(after, "started")) == 2
    assert not {t.human_id for t in before} & {t.human_id for t in after}


def test_a_cut_is_noticed_when_everybody_is_replaced_at_once():
    live = tracker()
    before = play(live, two_people(0), 3, 10)
    after = play(live, two_people(600), 3, 10, start=3.0)
    ended = kinds(after, "ended")
    assert [t.reason for t in ended] == ["cut", "cut"]
    assert all(t.started_s + t.duration_s == pytest.approx(2.9) for t in ended)
    assert ended[0].t_s == pytest.approx(3.4)
    assert not {t.human_id for t in before} & {t.human_id for t in kinds(after, "started")}


def test_everybody_missed_for_a_moment_is_no_cut():
    live = tracker()
    play(live, two_people(0), 3, 10)
    assert play(live, two_people(600), 0.2, 10, start=3.0) == []  # false detections elsewhere
    assert {t.kind for t in play(live, two_people(0), 1, 10, start=3.2)} <= {"updated"}


@pytest.mark.parametrize("seed", range(10))
def test_a_weak_score_about_the_threshold_does_not_flicker(seed):
    rng = np.random.default_rng(seed)
    scene = lambda t: [(human_at(0), object_at(0), 0, {RIDE: float(np.clip(rng.normal(0.35, 0.1), 0, 1))})]  # noqa: E731
    found = play(tracker(stationary_s=0), scene, 60)
    assert len(kinds(found, "started")) <= 3


def test_scenery_ends_and_stays_silent_until_something_moves():
    rng = np.random.default_rng(0)
    live = tracker(stationary_s=10)

    def scene(t):
        if 30 < t < 34 or int(t * 5) % 7 == 0:  # missed now and then, and once for long
            return []
        shift = 0 if t < 60 else 10 * (t - 60)
        jitter = rng.normal(0, 0.8, 4)
        return [(np.array(human_at(shift)) + jitter, np.array(object_at(shift)) + jitter, 0, {RIDE: 0.7})]

    found = play(live, scene, 64)
    started, ended = kinds(found, "started"), kinds(found, "ended")
    assert [t.reason for t in ended] == ["stationary"]
    assert ended[0].t_s == pytest.approx(10, abs=1)
    assert len(started) == 2 and started[1].started_s > 60


def test_a_moving_pair_is_never_taken_for_scenery():
    def scene(t):
        x = 100 + 10 * np.sin(t)
        return [(human_at(x), object_at(x), 0, {RIDE: 0.7})]

    assert kinds(play(tracker(stationary_s=5), scene, 60), "ended") == []


def test_a_longest_duration_splits_with_that_reason():
    found = play(tracker(max_event_s=4), riding(0, 60), 10)
    assert [t.reason for t in kinds(found, "ended")] == ["max_duration"] * 2
    assert len(kinds(found, "started")) == 3


def test_updates_are_rate_limited():
    updated = kinds(play(tracker(update_interval_s=2.0), riding(0, 60), 12.1, 10), "updated")
    times = [t.t_s for t in updated]
    assert len(times) == 5 and min(np.diff(times)) >= 2 - 1e-6


def test_thresholds_of_one_interaction_override_the_common_ones():
    both = lambda t: [(human_at(0), object_at(0), 0, {RIDE: 0.5, CARRY: 0.5})]  # noqa: E731
    found = play(tracker(thresholds={"ride bicycle": (0.6, 0.4)}), both, 3)
    assert [t.interaction for t in kinds(found, "started")] == [CARRY]


def test_a_start_is_not_dated_back_over_long_hesitation():
    scene = lambda t: [(human_at(0), object_at(0), 0, {RIDE: 0.36 if t < 0.1 else 0.3 if t < 20 else 0.9})]  # noqa: E731
    (started,) = kinds(play(tracker(enter_score=0.35, stationary_s=0), scene, 22), "started")
    assert started.started_s >= 19


def test_a_clock_that_goes_back_ends_everything_and_tracking_goes_on():
    live = tracker()
    play(live, riding(0, 600), 3, start=100)
    found = live.update(0.0, frame(riding(0, 60)(0)))
    assert [t.reason for t in found] == ["clock"]
    assert len(kinds(play(live, riding(0, 60), 3, start=0.2), "started")) == 1


def test_flush_ends_what_is_open_with_its_reason_and_nothing_twice():
    live = tracker()
    play(live, riding(0, 60), 3)
    assert [(t.kind, t.reason) for t in live.flush(3.0, "end_of_file")] == [("ended", "end_of_file")]
    assert live.flush(3.0, "end_of_file") == [] and live.snapshot() == []


@pytest.mark.parametrize("seed", range(5))
def test_every_start_has_one_end_and_equal_input_gives_equal_output(seed):
    def run():
        rng = np.random.default_rng(seed)
        live, found = tracker(stationary_s=3, max_event_s=5), []
        for i in range(300):
            n = int(rng.integers(0, 8))
            at = rng.uniform(0, 300, (n, 2))
            seen = [
                (human_at(x), object_at(y), int(rng.integers(3)), {int(rng.integers(4)): rng.random()}) for x, y in at
            ]
            found += live.update(i / 5, frame(seen), corrupt=bool(rng.random() < 0.1), cut=bool(rng.random() < 0.01))
        return found + live.flush(60.0, "end_of_file")

    found = run()
    assert found == run()
    is_open: set = set()
    for t in found:
        key = (t.pair_id, t.interaction)
        assert (key in is_open) == (t.kind != "started")
        is_open = is_open | {key} if t.kind == "started" else is_open - {key} if t.kind == "ended" else is_open
        assert 0 <= t.score <= 1 and t.duration_s >= 0 and t.started_s <= t.t_s
    assert not is_open


def test_the_order_of_a_frames_pairs_does_not_matter():
    def run(seed):
        order, rng, live, found = np.random.default_rng(seed), np.random.default_rng(7), tracker(), []
        for i in range(60):
            scene = [(human_at(x), object_at(x), n % 3, {n % 3: rng.random()}) for n, x in enumerate((0, 40, 90, 200))]
            order.shuffle(scene)
            found += live.update(i / 5, frame(scene))
        return found

    assert run(1) == run(2) != []


def test_an_empty_frame_and_an_empty_vocabulary_are_fine():
    assert tracker().update(0.0, frame([])) == []
    nothing = Detections(np.zeros((1, 4)), np.zeros((1, 4)), np.zeros(1, np.int64), np.ones(1), np.zeros((1, 0)))
    assert PairTracker((), object_names=("cup",)).update(0.0, nothing) == []


def test_settings_that_cannot_be_right_are_refused():
    with pytest.raises(InputError, match="gap_s"):
        TrackerSettings(gap_s=-1)
    with pytest.raises(InputError, match="leave"):
        TrackerSettings(enter_score=0.3, leave_score=0.5)
    with pytest.raises(InputError, match="ride bicycle"):
        TrackerSettings(thresholds={"ride bicycle": (0.2, 0.4)})
