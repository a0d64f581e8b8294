"""How long a pair that is not seen is waited for: less at the frame's edge, all of the gap behind somebody."""

from __future__ import annotations

import pytest

from stream.track.tracker import PairTracker, Transition
from tests.stream.track.scripted import CARRY, RIDE, Seen, frame, human_at, kinds, object_at, tracker

SIZE_HW = (400, 640)


def watch(live: PairTracker, scene: object, seconds: float, fps: float = 10) -> list[Transition]:
    found: list[Transition] = []
    for i in range(round(seconds * fps)):
        found += live.update(i / fps, frame(scene(i / fps)), size_hw=SIZE_HW)  # type: ignore[operator]
    return found


def rider(x: float) -> Seen:
    return human_at(x), object_at(x + 10), 0, {RIDE: 0.9}


def test_who_goes_out_at_the_edge_is_waited_for_a_quarter_of_the_gap() -> None:
    def scene(t: float) -> list[Seen]:
        x = 300 + 80 * t
        return [rider(x)] if x + 60 < SIZE_HW[1] else []

    (ended,) = kinds(watch(tracker(gap_s=2.0), scene, 8), "ended")
    assert ended.reason == "lost" and ended.why.startswith("pair out at the frame's edge for 0.5 s")
    assert ended.t_s - (ended.started_s + ended.duration_s) == pytest.approx(0.5, abs=0.01)


def test_who_stands_at_the_edge_and_is_missed_has_not_left() -> None:
    (ended,) = kinds(watch(tracker(gap_s=2.0), lambda t: [rider(580)] if t < 3 else [], 6), "ended")
    assert ended.why.startswith("pair not found where it should be for 1.0 s")


def test_without_the_frames_size_nobody_is_known_to_leave() -> None:
    live, found = tracker(gap_s=2.0), []
    for i in range(80):
        x = 300 + 8 * i
        found += live.update(i / 10, frame([rider(x)] if x + 60 < SIZE_HW[1] else []))
    (ended,) = kinds(found, "ended")
    assert ended.why.startswith("pair not found where it should be")


@pytest.mark.parametrize("hidden_s, is_one", [(1.6, True), (2.4, False)])
def test_who_is_behind_somebody_is_waited_for_all_of_the_gap(hidden_s: float, is_one: bool) -> None:
    def scene(t: float) -> list[Seen]:
        is_hidden = 3 <= t < 3 + hidden_s
        other = (human_at(130), object_at(400, 20, 30), 2, {CARRY: 0.9})
        return [other] if is_hidden else [other, rider(100)]

    rides = [t for t in watch(tracker(gap_s=2.0), scene, 8) if t.interaction == RIDE]
    assert [t.kind for t in rides if t.kind != "updated"] == (
        ["started"] if is_one else ["started", "ended", "started"]
    )


def test_time_between_frames_in_which_nobody_looked_is_no_absence() -> None:
    live = tracker(gap_s=3.0)
    for i in range(20):
        live.update(i / 10, frame([rider(100)]), size_hw=SIZE_HW)
    assert live.update(3.6, frame([]), size_hw=SIZE_HW) == []  # 1.7 s without a frame; half of the gap is 1.5 s
    assert [t.kind for t in live.update(3.7, frame([rider(100)]), size_hw=SIZE_HW)] == ["updated"]
