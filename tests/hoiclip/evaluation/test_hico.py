"""HICO-DET's measures against a slow, obvious oracle, and on cases worked out by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoiclip.evaluation.hico import InteractionClasses, Pairs, eleven_point_ap, evaluate_hico

CLASSES = InteractionClasses(
    names=("ride bicycle", "hold bicycle", "hold cup"),
    object_of=np.array([0, 0, 1]),
    rare=(2,),
    unseen={"held_out": (1,)},
)
BOX = [10, 10, 50, 90]
FAR = [200, 200, 260, 290]


def inclusive_iou(a, b) -> float:
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    area_a, area_b = ((x1 - x0 + 1) * (y1 - y0 + 1) for x0, y0, x1, y1 in (a, b))
    return width * height / (area_a + area_b - width * height)


def oracle(truth: Pairs, found: Pairs, object_of, known_object: bool) -> list[float | None]:
    """Average precision by class, one detection at a time."""
    out: list[float | None] = []
    for k in range(len(object_of)):
        truths = [g for g in range(len(truth)) if truth.interaction[g] == k]
        if not truths:
            out.append(None)
            continue
        shown = {int(truth.image[g]) for g in range(len(truth)) if object_of[truth.interaction[g]] == object_of[k]}
        mine = [d for d in range(len(found)) if found.interaction[d] == k]
        if known_object:
            mine = [d for d in mine if int(found.image[d]) in shown]
        mine.sort(key=lambda d: -found.score[d])
        used, hits, curve = set(), 0, []
        for n, d in enumerate(mine, start=1):
            best, best_overlap = None, 0.5
            for g in truths:
                if g in used or truth.image[g] != found.image[d]:
                    continue
                overlap = min(
                    inclusive_iou(found.human_boxes[d].tolist(), truth.human_boxes[g].tolist()),
                    inclusive_iou(found.object_boxes[d].tolist(), truth.object_boxes[g].tolist()),
                )
                if overlap > best_overlap or (overlap == best_overlap and best is None):
                    best, best_overlap = g, overlap
            if best is not None:
                used.add(best)
                hits += 1
            curve.append((Fraction(hits, len(truths)), Fraction(hits, n)))
        points = [max((p for r, p in curve if r >= Fraction(t, 10)), default=Fraction(0)) for t in range(11)]
        out.append(float(sum(points) / 11))
    return out


def random_pairs(rng: np.random.Generator, n: int, images: int) -> Pairs:
    corner = rng.integers(0, 12, (2, n, 2))
    size = rng.integers(2, 16, (2, n, 2))
    boxes = np.concatenate([corner, corner + size], axis=2)
    return Pairs.build(rng.integers(0, images, n), rng.integers(0, 3, n), boxes[0], boxes[1], rng.integers(0, 6, n) / 5)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 25), st.integers(0, 60))
def test_equals_the_oracle_on_random_pairs(seed, num_truth, num_found):
    rng = np.random.default_rng(seed)
    truth, found = random_pairs(rng, num_truth, 3), random_pairs(rng, num_found, 3)
    result = evaluate_hico(truth, found, CLASSES)
    for ap, known_object in ((result.ap, False), (result.known_object_ap, True)):
        expected = [np.nan if v is None else v for v in oracle(truth, found, CLASSES.object_of, known_object)]
        np.testing.assert_allclose(ap, expected, atol=1e-12)


def test_ground_truth_as_detections_scores_one_everywhere():
    truth = Pairs.build([0, 0, 1], [0, 1, 2], [BOX, BOX, FAR], [FAR, FAR, BOX])
    summary = evaluate_hico(truth, truth, CLASSES).summary()
    assert summary["default"] == summary["known_object"] == {"full": 1.0, "rare": 1.0, "non_rare": 1.0}
    assert summary["zero_shot"]["held_out"] == {"unseen": 1.0, "seen": 1.0, "full": 1.0}


def test_a_class_without_detections_scores_zero_in_every_mean_it_belongs_to():
    truth = Pairs.build([0, 0, 0], [0, 1, 2], [BOX] * 3, [FAR] * 3)
    found = Pairs.build([0], [0], [BOX], [FAR], [0.9])
    summary = evaluate_hico(truth, found, CLASSES).summary()
    assert summary["default"] == {"full": pytest.approx(1 / 3), "rare": 0.0, "non_rare": 0.5}
    assert summary["zero_shot"]["held_out"]["unseen"] == 0.0


def test_a_class_without_ground_truth_is_in_no_mean():
    truth = Pairs.build([0], [0], [BOX], [FAR])
    found = Pairs.build([0, 0], [0, 2], [BOX, BOX], [FAR, FAR], [0.9, 0.8])
    result = evaluate_hico(truth, found, CLASSES)
    assert np.isnan(result.ap[2])
    assert result.summary()["default"] == {"full": 1.0, "rare": None, "non_rare": 1.0}


def test_a_second_detection_of_one_pair_is_false():
    truth = Pairs.build([0], [0], [BOX], [FAR])
    found = Pairs.build([0, 0], [0, 0], [BOX, BOX], [FAR, FAR], [0.8, 0.9])
    assert evaluate_hico(truth, found, CLASSES).ap[0] == 1.0  # full recall before the false one
    truth = Pairs.build([0, 1], [0, 0], [BOX] * 2, [FAR] * 2)
    found = Pairs.build([0, 0, 1], [0] * 3, [BOX] * 3, [FAR] * 3, [0.9, 0.8, 0.7])
    assert evaluate_hico(truth, found, CLASSES).ap[0] == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)


def test_both_boxes_must_overlap_by_half_counting_the_last_pixel():
    truth = Pairs.build([0], [0], [[0, 0, 9, 9]], [FAR])
    half = Pairs.build([0], [0], [[0, 0, 9, 4]], [FAR], [1.0])  # 50 of 100 pixels; 36/81 without the last pixel
    less = Pairs.build([0], [0], [[0, 0, 9, 3]], [FAR], [1.0])
    assert evaluate_hico(truth, half, CLASSES).ap[0] == 1.0
    assert evaluate_hico(truth, less, CLASSES).ap[0] == 0.0


def test_known_object_forgets_detections_in_images_without_the_object():
    truth = Pairs.build([0, 1], [0, 2], [BOX] * 2, [FAR] * 2)
    found = Pairs.build([1, 0], [0, 0], [BOX] * 2, [FAR] * 2, [0.9, 0.5])
    result = evaluate_hico(truth, found, CLASSES)
    assert (result.ap[0], result.known_object_ap[0]) == (0.5, 1.0)


def test_three_hits_of_ten_reach_recall_three_tenths():
    assert eleven_point_ap(np.array([True] * 3), 10) == pytest.approx(4 / 11)


def test_an_unknown_interaction_or_a_broken_score_is_refused():
    truth = Pairs.build([0], [0], [BOX], [FAR])
    with pytest.raises(ValueError, match=r"0…2"):
        evaluate_hico(truth, Pairs.build([0], [3], [BOX], [FAR], [0.5]), CLASSES)
    with pytest.raises(ValueError, match="finite"):
        evaluate_hico(truth, Pairs.build([0], [0], [BOX], [FAR], [np.nan]), CLASSES)
