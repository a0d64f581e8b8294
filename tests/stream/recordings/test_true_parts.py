from __future__ import annotations

import numpy as np
import pytest

from hoiclip.evaluation.event_measures import row
from hoiclip.evaluation.events import compare
from stream.recordings.replay import track
from stream.recordings.rerun import rerun_measures
from stream.recordings.true_parts import LADDER, TrueFrame, ladder
from stream.track.tracker import TrackerSettings

MAN, CUP = (100.0, 50.0, 160.0, 210.0), (150.0, 100.0, 170.0, 120.0)
WOMAN, BICYCLE = (400.0, 50.0, 460.0, 210.0), (380.0, 110.0, 500.0, 230.0)
NEAR_CUP = (153.0, 102.0, 175.0, 124.0)
GHOST = (250.0, 50.0, 310.0, 210.0)
SETTINGS = TrackerSettings()


def measured(name, frames, truth, classifier):
    return row(compare({"v": truth}, {"v": track(ladder(frames, truth, classifier)[name], classifier, SETTINGS)}))


def test_everything_true_gives_every_event_and_no_other(classifier, make_frames, truth):
    blind = make_frames(lambda t_s: [])
    assert measured("as detected", blind, truth, classifier)["num_missed"] == 2
    true = measured("everything true", blind, truth, classifier)
    assert (true["f1"], true["num_false"], true["identity_switches"]) == (1.0, 0, 0)


def test_wrong_verbs_are_mended_by_true_verbs_only(classifier, make_frames, truth):
    def rides(t_s):
        """He holds and drinks, boxes near the truth; the woman beside the bicycle is taken for a rider."""
        man = (0.9 if 2 <= t_s < 6 else 0.0, 0.9 if 3 <= t_s < 4 else 0.0, 0.0)
        return [(MAN, NEAR_CUP, 0, man), (WOMAN, BICYCLE, 1, (0.0, 0.0, 0.9))]

    frames = make_frames(rides)
    assert measured("as detected", frames, truth, classifier)["num_false"] == 1
    assert measured("true boxes", frames, truth, classifier)["num_false"] == 1
    assert measured("true verbs", frames, truth, classifier)["num_false"] == 0


def test_ghosts_and_wrong_boxes_are_mended_by_true_boxes_only(classifier, make_frames, truth):
    def haunted(t_s):
        """A ghost with a cup, and the man's own cup taken for a bicycle: he is told to ride."""
        on = 0.9 if 2 <= t_s < 6 else 0.0
        return [
            (GHOST, CUP, 0, (0.8, 0.0, 0.0)),
            (MAN, NEAR_CUP, 0, (on, 0.9 if 3 <= t_s < 4 else 0.0, 0.0)),
            (MAN, CUP, 1, (0.0, 0.0, 0.8)),
        ]

    frames = make_frames(haunted)
    assert measured("as detected", frames, truth, classifier)["num_false"] >= 2
    mended = measured("true boxes", frames, truth, classifier)
    assert (mended["num_false"], mended["num_missed"]) == (0, 0)


def test_what_was_not_found_stays_missing_until_everything_is_true(classifier, make_frames, truth):
    frames = make_frames(lambda t_s: [(WOMAN, BICYCLE, 1, (0.0, 0.0, 0.3))])
    for name in ("true boxes", "true verbs", "true boxes and verbs"):
        assert measured(name, frames, truth, classifier)["num_missed"] == 2
    assert measured("everything true", frames, truth, classifier)["num_missed"] == 0


def test_detected_pairs_are_assigned_by_class_before_overlap(classifier, make_frames, truth):
    true = TrueFrame.of(truth, 3.5, classifier)
    assert len(true.labels) == 4 and true.doing.sum() == 2  # two people times two objects; he holds and drinks
    far = (0.0, 0.0, 20.0, 20.0)
    frame = make_frames(lambda t_s: [(MAN, NEAR_CUP, 0, (1, 1, 0)), (MAN, far, 0, (1, 1, 0))])[0]
    rows = true.assign(frame.pairs)
    assert true.doing[rows[0]].tolist() == [True, True, False] and rows[1] == -1


def test_all_measures_of_a_rerun_have_their_rows(classifier, make_frames, truth):
    def scene(t_s):
        return [(MAN, CUP, 0, (0.9 if 2 <= t_s < 6 else 0.0, 0.9 if 3 <= t_s < 4 else 0.0, 0.0))]

    measures, points = rerun_measures({"v": truth}, {"v": make_frames(scene)}, classifier, SETTINGS)
    assert list(measures["true_parts"]) == list(LADDER)
    assert measures["true_parts"]["as detected"]["f1"] == 1.0
    assert set(measures["plain_threshold"]) >= {"0.3", "0.8"}
    assert len(measures["by_enter_score"]) == len(points) > 10
    assert np.all(np.diff([point.threshold for point in points]) < 0)
    assert measures["at_false_alarm_rates_by_enter_score"] == []  # 10 s of footage cannot tell 60 an hour
    assert points[-1].false_per_hour == pytest.approx(0.0)


def test_pairs_that_do_nothing_were_not_found_and_get_no_true_verb(classifier, make_frames, truth):
    frames = make_frames(lambda t_s: [(MAN, NEAR_CUP, 0, (0.1, 0.1, 0.0)), (WOMAN, BICYCLE, 1, (0.0, 0.0, 0.9))])
    mended = ladder(frames, truth, classifier, 0.2)["true verbs"]
    assert max(len(frame.pairs.scores) for frame in mended) <= 1
    assert max(len(frame.pairs.scores) for frame in ladder(frames, truth, classifier)["true verbs"]) >= 1
    bicycle = classifier.object_names.index("bicycle")
    assert {int(label) for frame in mended for label in frame.pairs.object_labels} <= {bicycle}
