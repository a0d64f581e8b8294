"""Pair IDF1 and HOTA against values of TrackEval 1.3 and against cases that people can count."""

from __future__ import annotations

import numpy as np
import pytest

from hoiclip.evaluation.event_types import PredictedEvent, Sighting, TrueInteraction, TrueVideo
from hoiclip.evaluation.pair_tracking import TrackFrame, TrackingCounts, count_tracking, track_frame, track_frames

# HOTA, DetA, AssA, IDF1 of the tracks `random_tracks(seed)`, seeds 0 to 5, and of all six together. Made by
# `trackeval.metrics.HOTA().eval_sequence` and `Identity()`, TrackEval 1.3.0; 200 seeds agreed to the last digit.
TRACKEVAL = (
    (0.267909209523, 0.444134441445, 0.162679384256, 0.279069767442),
    (0.245073635001, 0.412314149408, 0.148484886861, 0.254901960784),
    (0.269564532364, 0.43943527553, 0.166473874133, 0.275862068966),
    (0.247401709632, 0.44343354821, 0.139497016193, 0.232835820896),
    (0.205603929048, 0.366479152378, 0.11913534678, 0.240310077519),
    (0.193955508812, 0.383340040501, 0.099562501128, 0.164794007491),
)
TRACKEVAL_TOGETHER = (0.2427423674540093, 0.4178793480440613, 0.1428030498289251, 0.2437357630979499)

MAN, CUP = (0.0, 0.0, 60.0, 160.0), (50.0, 60.0, 70.0, 80.0)
WOMAN, BALL = (300.0, 0.0, 360.0, 160.0), (340.0, 100.0, 380.0, 140.0)


def random_tracks(seed, num_frames=40):
    """Tracks with misses, ghosts, new names and swapped names."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 6))
    names, next_name = list(range(count)), 100
    frames = []
    for t in range(num_frames):
        true = [k for k in range(count) if rng.random() < 0.85]
        for k in range(count):
            if rng.random() < 0.08:
                names[k], next_name = next_name, next_name + 1
        if count > 1 and rng.random() < 0.08:
            a, b = rng.choice(count, 2, replace=False)
            names[a], names[b] = names[b], names[a]
        shown = [k for k in range(count) if rng.random() < 0.8]
        told = [names[k] for k in shown] + [10_000 + t] * int(rng.random() < 0.2)
        overlap = rng.random((len(true), len(told))) * 0.4
        for i, k in enumerate(true):
            for j, other in enumerate(shown):
                if k == other:
                    overlap[i, j] = rng.uniform(0.3, 1.0)
        frames.append(TrackFrame(np.array(true, np.int64), np.array(told, np.int64), overlap))
    return frames


def measures(counts: TrackingCounts):
    return counts.hota, counts.detection_accuracy, counts.association_accuracy, counts.idf1


@pytest.mark.parametrize("seed", range(6))
def test_random_tracks_have_trackevals_values(seed):
    assert measures(count_tracking(random_tracks(seed))) == pytest.approx(TRACKEVAL[seed], abs=1e-9)


def test_several_videos_have_trackevals_values_together():
    total = TrackingCounts.total([count_tracking(random_tracks(seed)) for seed in range(6)])
    assert measures(total) == pytest.approx(TRACKEVAL_TOGETHER, abs=1e-9)


def frames_of(*told_ids):
    return [track_frame({1: (MAN, CUP)}, {} if told is None else {told: (MAN, CUP)}) for told in told_ids]


def test_a_pair_that_changes_its_id_halfway_has_half_the_idf1_and_the_root_of_half_the_hota():
    kept, changed = count_tracking(frames_of(5, 5, 5, 5)), count_tracking(frames_of(5, 5, 6, 6))
    assert (kept.idf1, kept.hota) == (1.0, 1.0)
    assert (changed.idf1, changed.hota) == (0.5, pytest.approx(0.5**0.5))
    missed = count_tracking(frames_of(5, 5, None, None))
    assert (missed.idf1, missed.detection_accuracy, missed.association_accuracy) == (pytest.approx(2 / 3), 0.5, 0.5)


def test_a_pair_is_found_only_where_both_of_its_boxes_are():
    wrong_object = count_tracking([track_frame({1: (MAN, CUP)}, {1: (MAN, BALL)})] * 3)
    assert (wrong_object.idf1, wrong_object.hota) == (0.0, 0.0)
    nothing = count_tracking([track_frame({}, {})])
    assert (nothing.idf1, nothing.hota) == (None, None)


def test_told_pairs_lie_between_their_lines_and_true_ones_where_they_are_annotated():
    times = np.arange(0, 4, 0.2)

    def moved(box, by):
        return (box[0] + by, box[1], box[2] + by, box[3])

    video = TrueVideo(
        (TrueInteraction("hold cup", 1, 0.0, 4.0, 2, "cup"),),
        times,
        [{1: moved(MAN, 50 * t)} for t in times],
        [{2: moved(CUP, 50 * t)} for t in times],
        {2: "cup"},
        4.0,
    )
    lines = tuple(Sighting(t, moved(MAN, 50 * t), moved(CUP, 50 * t), 0.9) for t in (1.0, 3.0))
    last = Sighting(3.9, moved(MAN, 195), moved(CUP, 195), 0.3)
    event = PredictedEvent("hold cup", 7, 0.6, 3.9, 1.0, 4.4, lines, 3, "cup", 0.9, last)
    counts = count_tracking(track_frames(video, [event]))
    assert (counts.num_true, counts.num_told) == (20, 15)  # told from its announcement to its end, 5 frames a second
    assert counts.id_true == 15
    assert counts.detection_accuracy == pytest.approx(15 / 20, abs=0.01)
