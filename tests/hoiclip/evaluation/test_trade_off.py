"""Recall against false alarms, delays by threshold and nAUDC on footage that people can count."""

from __future__ import annotations

import pytest

from hoiclip.evaluation.events import compare
from hoiclip.evaluation.trade_off import ActivityCurve, at_rates, naudc, trade_off


@pytest.fixture
def compared(make_video, make_event):
    """Two true interactions in 20 s: one found surely, one barely; one false event between, one below."""
    true = make_video(("hold cup", 1, 2.0, 10.0), ("ride bicycle", 2, 4.0, 12.0))
    events = (
        make_event("hold cup", 2.0, 10.0, late=0.5, peak=0.9),
        make_event("ride bicycle", 4.0, 12.0, side="right", late=0.2, peak=0.6),
        make_event("ride bicycle", 14.0, 18.0, side="right", peak=0.7),
        make_event("hold cup", 12.0, 14.0, side="empty", peak=0.55),
    )
    return compare({"v": true}, {"v": events})


def test_each_threshold_has_its_recall_and_its_false_alarms(compared):
    points = trade_off(compared)
    assert [p.threshold for p in points] == [0.9, 0.7, 0.6, 0.55]
    assert [p.recall for p in points] == [0.5, 0.5, 1.0, 1.0]
    assert [p.num_false for p in points] == [0, 1, 1, 2]
    assert points[-1].false_per_hour == pytest.approx(2 * 3600 / 20)


def test_a_higher_threshold_is_heard_of_later(compared):
    # Lines score 0.5, 0.6, … a second apart: 0.9 is said 4 s after the announcement.
    assert trade_off(compared)[0].onset_delays_s == (pytest.approx(0.5 + 4),)
    assert sorted(trade_off(compared)[-1].onset_delays_s) == [pytest.approx(1.2), pytest.approx(1.5)]


def test_at_a_rate_the_best_recall_that_keeps_it_is_told_with_its_delays(compared):
    rows = at_rates(trade_off(compared), (400.0, 200.0, 100.0))
    assert [row["limit_per_hour"] for row in rows] == [400.0, 200.0]  # 100 an hour is less than one in 20 s
    assert rows[1]["recall"] == 1.0 and rows[1]["false_alarms"] == 1
    assert rows[1]["onset_delay_p99_s"] >= rows[1]["onset_delay_p50_s"]


def test_without_events_or_footage_the_curve_says_so(make_video):
    (point,) = trade_off(compare({"v": make_video(("hold cup", 1, 0.0, 4.0))}, {}))
    assert (point.recall, point.num_false, point.row()["onset_delay_p50_s"]) == (0.0, 0, None)
    assert at_rates(trade_off([])) == []


def test_naudc_is_the_mean_height_of_the_curve_up_to_its_limit():
    assert ActivityCurve((), ()).naudc() == 1.0  # nothing said
    assert ActivityCurve((0.0,), (0.0,)).naudc() == 0.0  # everything found, nothing false
    assert ActivityCurve((0.1,), (0.0,)).naudc(0.2) == pytest.approx(0.25)  # a triangle, then nothing missed
    assert ActivityCurve((0.0, 0.4), (0.5, 0.1)).naudc(0.2) == pytest.approx(0.4)  # cut halfway down the slope
    assert ActivityCurve((0.0, 0.4), (0.5, 0.1)).naudc(0.8) == pytest.approx((0.4 * 0.3 + 0.4 * 0.1) / 0.8)


def test_time_based_false_alarm_is_what_events_claim_in_excess_of_the_truth(make_video, make_event):
    true = make_video(("hold cup", 1, 0.0, 10.0))
    # Found, with 1 s too much, and told again for 4 s of the 10 s in which it was true: 5 s of the 10 s without it.
    events = make_event("hold cup", 0.0, 11.0, peak=0.8), make_event("hold cup", 2.0, 6.0, peak=0.7)
    mean, by_name = naudc(compare({"v": true}, {"v": events}), limit=0.2)
    assert by_name == {"hold cup": pytest.approx(mean)}
    # First point (0.1, 0), then (0.5, 0): the triangle from (0, 1) to (0.1, 0).
    assert mean == pytest.approx(0.5 * 0.1 / 0.2)


def test_naudc_is_the_mean_over_what_happened(make_video, make_event):
    true = make_video(("hold cup", 1, 0.0, 10.0), ("ride bicycle", 2, 0.0, 10.0))
    mean, by_name = naudc(compare({"v": true}, {"v": [make_event("hold cup", 0.0, 10.0), make_event("kick", 0, 5)]}))
    assert by_name == {"hold cup": 0.0, "ride bicycle": 1.0}
    assert mean == 0.5
    assert naudc(compare({"v": make_video()}, {})) == (None, {})
