"""The table of pairs: what goes leaves nothing behind."""

from __future__ import annotations

import numpy as np
import pytest

from tests.stream.track.scripted import NAMES, RIDE, frame, human_at, object_at, play, tracker


def visitor(number: int, score: float = 0.9) -> list:
    return [(human_at(200.0 * number), object_at(200.0 * number), 0, {RIDE: score})]


def test_sixty_visitors_one_after_the_other_leave_nothing_behind() -> None:
    live = tracker(gap_s=0.4, track_memory_s=0.4)
    for number in range(60):
        play(live, lambda t, n=number: visitor(n), 1.0, start=2.0 * number)  # type: ignore[misc]
        assert (live._pairs.num_pairs, len(live._tracks)) <= (2, 4)
    live.update(200.0, frame([]))
    assert (live._pairs.num_pairs, len(live._tracks), live._episodes.num_episodes) == (0, 0, 0)


def test_a_newcomer_inherits_no_scores_of_who_went() -> None:
    def first_score(live) -> float:
        live.update(10.0, frame([]))
        live.update(10.1, frame(visitor(5, score=0.5)))
        return float(live._pairs.smoothed[-1, RIDE])

    fresh, used = tracker(), tracker()
    fresh.update(0.0, frame([]))
    play(used, lambda t: visitor(0), 4)
    assert first_score(used) == first_score(fresh) == pytest.approx(0.5 * -np.expm1(-0.1 / 0.4), rel=1e-5)


def test_of_three_the_one_in_the_middle_may_go_and_the_others_stay_who_they_are() -> None:
    live = tracker(gap_s=0.4, track_memory_s=0.4)
    play(live, lambda t: visitor(0) + visitor(1, 0.8) + visitor(2, 0.7), 3)
    before = {view.human_box_xyxy_px: view for view in live.snapshot()}
    play(live, lambda t: visitor(0) + visitor(2, 0.7), 3, start=3.0)
    assert live._pairs.num_pairs == 2
    for view in live.snapshot():
        was = before[view.human_box_xyxy_px]
        assert (view.pair_id, view.human_id, view.object_id) == (was.pair_id, was.human_id, was.object_id)
        assert view.interactions[0][0] == NAMES[RIDE]
