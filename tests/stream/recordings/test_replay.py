from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hoiclip.evaluation.events import evaluate_events
from stream.recordings.replay import sweep, threshold_each_frame, track
from stream.track.tracker import TrackerSettings

MAN, CUP = (100.0, 50.0, 160.0, 210.0), (150.0, 100.0, 170.0, 120.0)
SETTINGS = TrackerSettings()


def holds(t_s, score=0.9):
    """The man and his cup, all the time; from 2 to 6 s he holds it, missed for one frame at 4 s."""
    on = 2.0 <= t_s < 6.0 and t_s != 4.0
    return [(MAN, CUP, 0, (score if on else 0.1, 0.0, 0.0)), (MAN, CUP, 0, (0.25, 0.0, 0.0))]


def test_the_trackers_events_come_with_what_is_compared(classifier, make_frames, truth):
    (event,) = track(make_frames(holds), classifier, SETTINGS)
    assert (event.name, event.object, event.start_s) == ("hold cup", "cup", 2.0)
    assert event.end_s == pytest.approx(5.875) and event.announced_s > 2.0 and event.closed_s > event.end_s
    assert event.peak_score > 0.85
    assert event.sightings[0].human_box == pytest.approx(MAN) and event.sightings[0].object_box == pytest.approx(CUP)
    assert event.last_seen is not None and event.last_seen.t_s == event.end_s
    assert evaluate_events({"v": truth}, {"v": [event]}).precision == 1.0


def test_a_plain_threshold_breaks_where_the_tracker_waits(classifier, make_frames):
    frames = make_frames(holds)
    events = threshold_each_frame(frames, classifier, 0.5)
    assert [(e.start_s, e.end_s) for e in events] == [(2.0, 4.0), (4.125, 6.0)]
    assert events[0].human_id != events[1].human_id and events[0].pair_id != events[1].pair_id
    assert [e.announced_s for e in events] == [2.0, 4.125] and events[0].object == "cup"
    assert threshold_each_frame(frames, classifier, 0.95) == []
    until_the_end = threshold_each_frame(make_frames(holds, seconds=5.0), classifier, 0.5)
    assert until_the_end[-1].end_s == pytest.approx(4.875)


def test_a_plain_threshold_never_tells_that_nothing_happens(classifier, make_frames):
    silent = replace(classifier, no_interaction=np.array([True, False, False]))
    assert threshold_each_frame(make_frames(holds), silent, 0.5) == []


def test_a_higher_enter_score_finds_less_and_later(classifier, make_frames, truth):
    one = replace(truth, interactions=truth.interactions[:1])
    recordings = {"v": make_frames(lambda t_s: holds(t_s, 0.7))}
    points = sweep({"v": one}, recordings, classifier, SETTINGS, (0.3, 0.6, 0.8))
    assert [point.threshold for point in points] == [0.8, 0.6, 0.3]
    assert [point.num_matched for point in points] == [0, 1, 1]
    assert points[1].onset_delays_s[0] > points[2].onset_delays_s[0]
    assert points[0].hours == pytest.approx(10 / 3600)


def test_no_frames_make_no_events(classifier):
    assert track([], classifier, SETTINGS) == [] and threshold_each_frame([], classifier, 0.5) == []
