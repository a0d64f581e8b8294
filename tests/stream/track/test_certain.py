"""The short way of the usual frame finds what the full comparison finds, and its bounds are bounds."""

from __future__ import annotations

import numpy as np
import pytest

import stream.track.association as association
from stream.track.boxes import box_distance, to_corners
from stream.track.certain import CertainMatch, match_if_certain
from stream.track.matching import KnownPairs
from stream.track.tracker import PairTracker
from tests.stream.track.scenes import Detections, outcome


def close_boxes(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes [2, 2, N] and others near them, some very near."""
    corner = rng.uniform(0, 500, (count, 2))
    a = np.concatenate([corner, corner + rng.uniform(5, 200, (count, 2))], axis=1)
    noise = rng.normal(0, 1, (count, 4)) * rng.uniform(0, 30, (count, 1))
    b = a + noise
    b[:, 2:] = np.maximum(b[:, 2:], b[:, :2] + 1)
    return to_corners(a), to_corners(b)


def test_distances_lie_within_their_bounds() -> None:
    a, b = close_boxes(np.random.default_rng(0), 20_000)
    distance, iou = box_distance(a, b)
    edges = np.abs(a - b)
    r = (edges[0] + edges[1]) / (a[1] - a[0] + b[1] - b[0])
    assert np.all(np.minimum(r.max(axis=0), 1.0) <= distance + 1e-5)
    near = r.max(axis=0) < 0.5
    s = r.sum(axis=0)
    assert 5_000 < np.count_nonzero(near) < 20_000
    assert np.all((distance <= s * (s + 2) + 1e-5)[near])
    assert np.all((1 - 2 * s <= iou + 1e-5)[near])


def crowd(seed: int, num_humans: int, spacing_px: float) -> list[Detections]:
    """Return frames of people in a row with two objects each, seen with noise and now and then missed."""
    rng = np.random.default_rng(seed)
    labels, likely = rng.integers(0, 2, 2 * num_humans), rng.integers(0, 3, 2 * num_humans)
    owner = np.arange(2 * num_humans) % num_humans
    frames = []
    for i in range(60):
        place = np.stack([spacing_px * np.arange(num_humans) + 40 * np.sin(i / 8), np.full(num_humans, 100.0)], axis=1)
        human = np.concatenate([place, place + np.array([60, 160])], axis=1)[owner]
        item = np.concatenate([place[owner] + np.array([10, 40]), place[owner] + np.array([50, 80])], axis=1)
        item += 30 * (np.arange(2 * num_humans) // num_humans)[:, None]
        scores = rng.uniform(0, 0.1, (2 * num_humans, 3))
        scores[np.arange(2 * num_humans), likely] = rng.uniform(0.5, 0.9, 2 * num_humans)
        seen = rng.random(2 * num_humans) < 0.97
        frames.append(
            Detections(
                (human + rng.normal(0, 2, human.shape))[seen].astype(np.float32),
                (item + rng.normal(0, 2, item.shape))[seen].astype(np.float32),
                labels[seen],
                np.ones(int(seen.sum()), np.float32),
                scores[seen].astype(np.float32),
            )
        )
    return frames


def told(frames: list[Detections]) -> list[object]:
    tracker = PairTracker(("a", "b", "c"), object_names=("bicycle", "cup"))
    return [(tracker.update(i / 5, seen), tracker.snapshot()) for i, seen in enumerate(frames)]


@pytest.mark.parametrize("spacing_px", [15, 40, 80, 200])
@pytest.mark.parametrize("seed", range(4))
def test_the_short_way_finds_what_the_full_comparison_finds(
    seed: int, spacing_px: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[bool] = []

    def counted(*args: object) -> CertainMatch | None:
        found = match_if_certain(*args)  # type: ignore[arg-type]
        taken.append(found is not None)
        return found

    frames = crowd(seed, 6, spacing_px)
    monkeypatch.setattr(association, "match_if_certain", counted)
    short = told(frames)
    monkeypatch.setattr(association, "match_if_certain", lambda *args: None)
    assert told(frames) == short
    if spacing_px >= 80:
        assert sum(taken) > 0.5 * len(taken)  # the usual frame


def test_wild_scenes_are_the_same_without_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = range(24)
    short = [outcome(seed) for seed in seeds]
    monkeypatch.setattr(association, "match_if_certain", lambda *args: None)
    assert [outcome(seed) for seed in seeds] == short


def box(x: float, y: float = 0.0, width: float = 100.0, height: float = 100.0) -> list[float]:
    return [x, y, x + width, y + height]


def match(tracks: list[list[float]], ends: list[tuple[int, int]], pairs: list[tuple[list[float], list[float]]]):
    """Return the certain match of detected pairs of one class with the known pairs `ends`, rows of human and object."""
    known = KnownPairs(
        np.array([human for human, _ in ends]),
        np.array([item for _, item in ends]),
        np.zeros(len(ends), np.int64),
        np.zeros((len(ends), len(pairs)), np.float32),
    )
    detected = [human for human, _ in pairs] + [item for _, item in pairs]
    boxes = to_corners(np.array(tracks + detected))
    return match_if_certain(boxes, len(tracks), known, np.zeros(len(pairs), np.int64))


TWO = [box(0), box(300), box(600)]  # a human with two objects, at 300 and 600
ENDS = [(0, 1), (0, 2)]


def test_the_first_box_of_each_human_and_object_stands_for_it() -> None:
    found = match(TWO, ENDS, [(box(1), box(601)), (box(2), box(301))])
    assert found is not None
    assert found.pair_rows.tolist() == [1, 0]
    assert found.track_rows.tolist() == [0, 0, 2, 1]
    assert found.leaders.tolist() == [0, 2, 3]


def test_two_boxes_of_one_track_that_hardly_overlap_are_left_to_the_full_comparison() -> None:
    assert match(TWO, ENDS, [(box(10), box(600)), (box(-10), box(300))]) is not None
    assert match(TWO, ENDS, [(box(18), box(600)), (box(-18), box(300))]) is None


def test_a_box_that_is_far_from_its_track_and_near_to_another_is_left_to_the_full_comparison() -> None:
    apart = [box(0), box(300), box(1000), box(600)]
    near = [box(0), box(300), box(70), box(600)]  # the second human is nearer to where the first one is seen
    pairs = [(box(40), box(300)), (box(1000), box(600))]
    assert match(apart, [(0, 1), (2, 3)], pairs) is not None
    assert match(near, [(0, 1), (2, 3)], [pairs[0], (box(70), box(600))]) is None


def test_a_track_without_a_pair_may_be_nearer_to_a_box_that_is_far_from_its_own() -> None:
    assert match([box(0), box(300)], [(0, 1)], [(box(35), box(300))]) is not None
    assert match([box(0), box(300), box(35)], [(0, 1)], [(box(35), box(300))]) is None


def test_boxes_without_an_area_are_left_to_the_full_comparison() -> None:
    assert match([box(0), box(300)], [(0, 1)], [(box(0), box(300))]) is not None
    point = box(0, width=1e-6, height=1e-6)  # equal, and yet its IoU is about 0
    assert match([point, box(300)], [(0, 1)], [(point, box(300))]) is None
