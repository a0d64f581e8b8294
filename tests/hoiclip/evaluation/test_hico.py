"""HICO-DET's measures against a slow, obvious oracle, and on cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hoiclip.evaluation.hico import InteractionClasses, Pairs, eleven_point_ap, evaluate_hico

CLASSES = InteractionClasses(
    names=("ride bicycle", "hold bicycle", "hold cup"),
    object_of=np.array([0, 0, 1]),
    rare=(2,),
    unseen={"held_out": (1,)},
)
BOX = [10, 10, 50, 90]
FAR = [200, 200, 260, 290]


def overlap_with_last_pixel(a, b) -> float:
    """IoU of two xyxy boxes whose last pixel belongs to them."""
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    area_a, area_b = ((x1 - x0 + 1) * (y1 - y0 + 1) for x0, y0, x1, y1 in (a, b))
    return width * height / (area_a + area_b - width * height)


def oracle(truth: Pairs, found: Pairs, object_of, known_object: bool) -> list[float | None]:
    """AP by class, one detection and one true pair at a time, from the published rules as people would say them.

    A detection is compared with the one true pair of its picture and interaction that it overlaps best: the smaller of
    the overlaps of humans and of objects, at least 0.5. Was it taken by a detection of higher score, this one is false.
    Recall is compared with the steps of numpy.arange(0, 1.1, 0.1) in floating point.
    """
    average_precision: list[float | None] = []
    for k in range(len(object_of)):
        true_pairs = [t for t in range(len(truth)) if truth.interaction[t] == k]
        if not true_pairs:
            average_precision.append(None)
            continue
        shown = {int(truth.image[t]) for t in range(len(truth)) if object_of[truth.interaction[t]] == object_of[k]}
        mine = [d for d in range(len(found)) if found.interaction[d] == k]
        if known_object:
            mine = [d for d in mine if int(found.image[d]) in shown]
        mine.sort(key=lambda d: -found.score[d])
        taken: set[int] = set()
        recalls, precisions, hits = [], [], 0
        for looked_at, d in enumerate(mine, start=1):
            best, best_overlap = None, 0.0
            for t in true_pairs:
                if truth.image[t] != found.image[d]:
                    continue
                overlap = min(
                    overlap_with_last_pixel(found.human_boxes[d].tolist(), truth.human_boxes[t].tolist()),
                    overlap_with_last_pixel(found.object_boxes[d].tolist(), truth.object_boxes[t].tolist()),
                )
                if overlap > best_overlap:
                    best, best_overlap = t, overlap
            if best is not None and best_overlap >= 0.5 and best not in taken:
                taken.add(best)
                hits += 1
            recalls.append(hits / len(true_pairs))
            precisions.append(hits / looked_at)
        ap = 0.0
        for step in np.arange(0, 1.1, 0.1):
            reached = [p for r, p in zip(recalls, precisions, strict=True) if r >= step]
            ap += max(reached, default=0.0) / 11
        average_precision.append(ap)
    return average_precision


def random_case(seed: int) -> tuple[Pairs, Pairs]:
    """Truth and detections of up to 4 pictures: near boxes, true pairs on top of each other, few distinct scores.

    Half of the cases have exactly 5 true pairs of each of the 3 classes.
    """
    rng = np.random.default_rng(seed)
    num_images = int(rng.integers(1, 4))
    interaction = np.repeat(np.arange(3), 5) if seed % 2 else np.sort(rng.integers(0, 3, int(rng.integers(0, 25))))
    num_truth, num_found = len(interaction), int(rng.integers(0, 60))
    images = rng.integers(0, num_images, num_truth)
    corner, size = rng.integers(0, 12, (2, num_truth, 2)), rng.integers(6, 20, (2, num_truth, 2))
    boxes = np.concatenate([corner, corner + size], axis=2)
    for row in range(1, num_truth):  # beside or on top of the one before
        if interaction[row] == interaction[row - 1] and rng.random() < 0.6:
            boxes[:, row] = boxes[:, row - 1] + rng.integers(-1, 2, (2, 4))
            images[row] = images[row - 1]
    truth = Pairs.build(images, interaction, *boxes)
    if num_truth == 0:
        found_boxes = np.tile(np.array([0, 0, 5, 5]), (2, num_found, 1))
        return truth, Pairs.build(
            [0] * num_found, [0] * num_found, found_boxes[0], found_boxes[1], rng.random(num_found)
        )
    source = rng.integers(0, num_truth, num_found)  # most detections lie near a true pair, many of them near the same
    found_boxes = boxes[:, source] + rng.integers(-2, 3, (2, num_found, 4))
    found_boxes[:, :, 2:] = np.maximum(found_boxes[:, :, 2:], found_boxes[:, :, :2])
    is_stray = rng.random(num_found) < 0.15
    found = Pairs.build(
        np.where(is_stray, rng.integers(0, num_images, num_found), truth.image[source]),
        np.where(is_stray, rng.integers(0, 3, num_found), truth.interaction[source]),
        found_boxes[0],
        found_boxes[1],
        rng.integers(0, 6, num_found) / 5,
    )
    return truth, found


def test_every_class_of_200_random_cases_has_the_oracles_average_precision():
    num_rivals = num_ties = num_skipped_steps = 0
    for seed in range(200):
        truth, found = random_case(seed)
        result = evaluate_hico(truth, found, CLASSES)
        for ap, known_object in ((result.ap, False), (result.known_object_ap, True)):
            expected = [np.nan if v is None else v for v in oracle(truth, found, CLASSES.object_of, known_object)]
            np.testing.assert_allclose(
                ap, expected, rtol=0, atol=1e-12, err_msg=f"seed {seed}, known object {known_object}"
            )
        num_ties += len(found) - len(set(zip(found.interaction.tolist(), found.score.tolist(), strict=True)))
        for d in range(len(found)):
            mine = (truth.image == found.image[d]) & (truth.interaction == found.interaction[d])
            overlaps = [
                min(
                    overlap_with_last_pixel(found.human_boxes[d], truth.human_boxes[t]),
                    overlap_with_last_pixel(found.object_boxes[d], truth.object_boxes[t]),
                )
                for t in np.flatnonzero(mine)
            ]
            num_rivals += sum(overlap >= 0.5 for overlap in overlaps) > 1
        num_skipped_steps += int(((result.max_recall == 0.6) & (result.num_ground_truth == 5)).sum())
    # The cases contain what the rules differ on.
    assert num_rivals > 200 and num_ties > 200 and num_skipped_steps > 5


def test_a_detection_does_not_get_the_next_pair_when_its_best_one_is_taken():
    near, next_to_it = [0, 0, 99, 99], [0, 10, 99, 109]
    truth = Pairs.build([0, 0], [0, 0], [near, next_to_it], [FAR, FAR])
    found = Pairs.build([0, 0], [0, 0], [near, [0, 1, 99, 100]], [FAR, FAR], [0.9, 0.8])  # both nearer to `near`
    result = evaluate_hico(truth, found, CLASSES)
    assert result.max_recall[0] == 0.5
    assert result.ap[0] == pytest.approx(6 / 11)


def test_three_hits_of_five_do_not_reach_the_seventh_recall_step():
    assert eleven_point_ap(np.array([True] * 3), 5) == pytest.approx(6 / 11)  # not 7 / 11
    assert eleven_point_ap(np.array([True] * 7), 10) == pytest.approx(7 / 11)  # 0.7 < 0.7000000000000001
    assert eleven_point_ap(np.array([True] * 3), 10) == pytest.approx(3 / 11)  # 0.3 < 0.30000000000000004
    assert eleven_point_ap(np.array([True] * 4), 5) == pytest.approx(9 / 11)
    assert eleven_point_ap(np.array([True] * 5), 5) == pytest.approx(1.0)


def test_of_two_pairs_the_better_one_is_chosen_even_where_single_precision_sees_no_difference():
    first, second = [0, 0, 5000, 5000.0001], [0, 0, 5000, 5000]
    truth = Pairs.build([0, 0], [0, 0], [first, second], [FAR, FAR])
    found = Pairs.build([0, 0], [0, 0], [first, second], [FAR, FAR], [0.9, 0.8])
    assert evaluate_hico(truth, found, CLASSES).max_recall[0] == 1.0


def test_seen_leaves_out_the_held_out_classes_and_unseen_nothing_else():
    truth = Pairs.build([0, 0, 0, 1], [0, 1, 2, 2], [BOX] * 4, [FAR] * 4)
    found = Pairs.build([0, 0], [1, 2], [BOX] * 2, [FAR] * 2, [0.9, 0.9])  # AP 0, 1 and 6 / 11; class 1 is held out
    split = evaluate_hico(truth, found, CLASSES).summary()["zero_shot"]["held_out"]
    assert split == {"unseen": 1.0, "seen": pytest.approx(3 / 11), "full": pytest.approx(17 / 33)}


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


def test_an_unknown_interaction_or_a_broken_score_is_refused():
    truth = Pairs.build([0], [0], [BOX], [FAR])
    with pytest.raises(ValueError, match=r"0…2"):
        evaluate_hico(truth, Pairs.build([0], [3], [BOX], [FAR], [0.5]), CLASSES)
    with pytest.raises(ValueError, match="finite"):
        evaluate_hico(truth, Pairs.build([0], [0], [BOX], [FAR], [np.nan]), CLASSES)
