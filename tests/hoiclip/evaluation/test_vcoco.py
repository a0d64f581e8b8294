"""V-COCO's role AP against a slow oracle and on cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoiclip.evaluation.vcoco import RolePairs, RoleTruth, continuous_ap, evaluate_vcoco
from hoiclip.vocabulary import load_builtin

PERSON, THING, FAR = [0, 0, 40, 90], [30, 30, 60, 60], [200, 200, 260, 290]
EMPTY = [np.nan] * 4


def iou(a, b) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    area_a, area_b = ((x1 - x0 + 1) * (y1 - y0 + 1) for x0, y0, x1, y1 in (a, b))
    return width * height / (area_a + area_b - width * height)


def oracle(truth: RoleTruth, found: RolePairs, verb: int, scenario: int) -> float:
    """Walk one verb's detections by score; step the precision-recall curve."""
    roles = [r for r in range(len(truth.role_verb)) if truth.role_verb[r] == verb]
    if not roles:
        return float("nan")
    taken, hits, curve = set(), 0, []
    mine = [d for d in range(len(found.verb)) if found.verb[d] == verb]
    for n, d in enumerate(sorted(mine, key=lambda d: -found.score[d]), start=1):
        people = [p for p in range(len(truth.person_image)) if truth.person_image[p] == found.image[d]]
        overlaps = [iou(found.human_boxes[d].tolist(), truth.person_boxes[p].tolist()) for p in people]
        if people and max(overlaps) >= 0.5:
            person = people[overlaps.index(max(overlaps))]
            said_empty = bool(np.isnan(found.role_boxes[d, 0]))
            options = []
            for r in roles:
                if truth.role_person[r] != person or r in taken:
                    continue
                if np.isnan(truth.role_boxes[r, 0]):
                    agreement = float(said_empty or scenario == 2)
                else:
                    agreement = 0.0 if said_empty else iou(found.role_boxes[d].tolist(), truth.role_boxes[r].tolist())
                if agreement >= 0.5:
                    options.append((-agreement, r))
            if options:
                taken.add(min(options)[1])
                hits += 1
        curve.append((hits / len(roles), hits / n))
    area, last = 0.0, 0.0
    for i, (recall, _) in enumerate(curve):
        area += (recall - last) * max(p for _, p in curve[i:])
        last = recall
    return area


def boxes(rng, n, empty):
    corner = rng.integers(0, 10, (n, 2))
    out = np.concatenate([corner, corner + rng.integers(3, 14, (n, 2))], axis=1).astype(float)
    out[rng.random(n) < empty] = np.nan
    return out


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 8), st.integers(0, 14), st.integers(0, 50))
def test_equals_the_oracle_on_random_pictures(seed, num_people, num_roles, num_found):
    rng = np.random.default_rng(seed)
    num_roles = num_roles if num_people else 0
    truth = RoleTruth.build(
        np.sort(rng.integers(0, 3, num_people)), boxes(rng, num_people, 0),
        rng.integers(0, max(num_people, 1), num_roles), rng.integers(0, 2, num_roles), boxes(rng, num_roles, 0.3),
    )  # fmt: skip
    found = RolePairs.build(
        rng.integers(0, 3, num_found), rng.integers(0, 2, num_found), boxes(rng, num_found, 0),
        boxes(rng, num_found, 0.3), rng.integers(0, 6, num_found) / 5,
    )  # fmt: skip
    result = evaluate_vcoco(truth, found, 2, (0, 1))
    for scenario in (1, 2):
        expected = [oracle(truth, found, verb, scenario) for verb in (0, 1)]
        np.testing.assert_allclose(result.ap[scenario], expected, atol=1e-12)


def test_an_empty_role_must_be_predicted_empty_only_in_scenario_one():
    truth = RoleTruth.build([0], [PERSON], [0], [0], [EMPTY])
    boxed = evaluate_vcoco(truth, RolePairs.build([0], [0], [PERSON], [THING], [0.9]), 1, (0,))
    empty = evaluate_vcoco(truth, RolePairs.build([0], [0], [PERSON], [EMPTY], [0.9]), 1, (0,))
    assert boxed.summary() == {"role_ap_scenario_1": 0.0, "role_ap_scenario_2": 1.0}
    assert empty.summary() == {"role_ap_scenario_1": 1.0, "role_ap_scenario_2": 1.0}


def test_a_box_that_exists_must_be_found_in_both_scenarios():
    truth = RoleTruth.build([0], [PERSON], [0], [0], [THING])
    for wrong in (EMPTY, FAR):
        summary = evaluate_vcoco(truth, RolePairs.build([0], [0], [PERSON], [wrong], [0.9]), 1, (0,)).summary()
        assert set(summary.values()) == {0.0}


def test_the_person_who_overlaps_best_decides_even_if_another_does_the_verb():
    truth = RoleTruth.build([0, 0], [[0, 0, 40, 90], [0, 0, 44, 90]], [1], [0], [THING])
    found = RolePairs.build([0], [0], [[0, 0, 40, 90]], [THING], [0.9])
    assert evaluate_vcoco(truth, found, 1, (0,)).ap[1][0] == 0.0


def test_verbs_without_ground_truth_are_in_no_mean():
    truth = RoleTruth.build([0], [PERSON], [0], [0], [THING])
    found = RolePairs.build([0, 0], [0, 1], [PERSON] * 2, [THING] * 2, [0.9, 0.8])
    assert evaluate_vcoco(truth, found, 3, (0, 1)).summary()["role_ap_scenario_1"] == 1.0


def test_average_precision_is_the_area_under_the_monotone_curve():
    assert continuous_ap(np.array([True, False, True]), 4) == pytest.approx((1 + 2 / 3) / 4)
    assert continuous_ap(np.zeros(0, bool), 4) == 0.0


def test_the_mean_is_over_twenty_four_roles_without_point():
    vocabulary = load_builtin("vcoco")
    names = {vocabulary.verbs[v].name for v in vocabulary.reported_verbs}
    assert len(names) == 24 and names.isdisjoint({"point_instr", "stand", "walk", "run", "smile"})
