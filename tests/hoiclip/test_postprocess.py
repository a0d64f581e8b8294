from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoiclip.classifier import TextClassifier
from hoiclip.postprocess import PairScores, enhance, interaction_logits, pair_nms, rank, score, sigmoid, to_pairs
from hoiclip.types import Outputs
from hoiclip.vocabulary import load_builtin

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "golden_ranking.npz")


def plain_classifier(object_index: list[int], num_objects: int, *, embed: int = 8) -> TextClassifier:
    """Return a classifier whose rows have the given objects (-1 for any); its embeddings are zeros."""
    count = len(object_index)
    zeros = np.zeros((count, embed), np.float32)
    objects = tuple(f"thing {i}" for i in range(num_objects))
    return TextClassifier(
        names=tuple(f"verb{k} something" for k in range(count)),
        verbs=tuple(f"verb{k}" for k in range(count)),
        objects=tuple("any" if i < 0 else objects[i] for i in object_index),
        prompts=tuple(f"a person {k}" for k in range(count)),
        object_index=np.array(object_index, np.int64),
        text=zeros,
        bias=np.zeros(count, np.float32),
        verb_text=zeros,
        verb_weight=0.5,
        logit_scale=10.0,
        no_interaction=np.zeros(count, np.bool_),
        text_embedding=zeros,
        object_names=objects,
        fingerprint="0" * 16,
    )


def golden_scores(interactions: np.ndarray) -> PairScores:
    height, width = GOLDEN["image_size_hw"][0]
    boxes = GOLDEN["boxes_xyxy_px"] / np.array([width, height, width, height], np.float32)
    centres = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1).astype(np.float32)
    queries = len(interactions)
    objects = GOLDEN["object_scores"][:, :-1]
    labels = GOLDEN["labels"][queries:]
    return PairScores(centres[None, :queries], centres[None, queries:], objects[None], labels[None], interactions[None])


@pytest.mark.parametrize(
    ("prefix", "nms", "enhanced"), [("top100", False, False), ("kept", True, False), ("enhanced_kept", True, True)]
)
def test_ranking_equals_the_golden_numbers(prefix: str, nms: bool, enhanced: bool) -> None:
    hico = load_builtin("hico")
    classifier = plain_classifier([i.object for i in hico.interactions], 80)
    interactions = GOLDEN["interaction_scores"]
    if enhanced:
        interactions = enhance(interactions[None], GOLDEN["clip_scores"])[0]
        np.testing.assert_allclose(interactions, GOLDEN["enhanced_interaction_scores"], atol=1e-6)
    height, width = map(int, GOLDEN["image_size_hw"][0])
    found = rank(golden_scores(interactions), 0, (height, width), classifier, nms=nms)
    wanted = GOLDEN[f"{prefix}_human_object_interaction"]
    of_query = {
        (int(h), int(o)): q
        for q, (h, o) in enumerate(zip(GOLDEN["human_box_index"], GOLDEN["object_box_index"], strict=True))
    }
    rows = {
        (of_query[int(h), int(o)], int(k)): s for (h, o, k), s in zip(wanted, GOLDEN[f"{prefix}_score"], strict=True)
    }
    mine = {(int(q), int(k)): s for q, k, s in zip(found.queries, found.interactions, found.scores, strict=True)}
    assert mine.keys() == rows.keys()
    for key, value in mine.items():
        assert abs(value - rows[key]) < 1e-5
    assert (np.diff(found.scores) <= 0).all()


def slow_rank(scores: PairScores, objects: list[int], top: int) -> list[tuple[int, int]]:
    """Rank, then suppress, the obvious way; boxes are whole pixels of a 100 x 100 picture."""
    inter, obj = scores.interaction_scores[0], scores.object_scores[0]
    table = []
    for q in range(inter.shape[0]):
        for k in range(inter.shape[1]):
            o = obj[q].max() if objects[k] < 0 else obj[q, objects[k]]
            table.append((-(inter[q, k] + o * o), q, k))
    best = [(q, k) for _, q, k in sorted(table)[:top]]

    def pixels(b: np.ndarray) -> tuple[float, ...]:
        return tuple(float(x) * 100 for x in (b[0] - b[2] / 2, b[1] - b[3] / 2, b[0] + b[2] / 2, b[1] + b[3] / 2))

    def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
        w, h = min(a[2], b[2]) - max(a[0], b[0]) + 1, min(a[3], b[3]) - max(a[1], b[1]) + 1
        inside = max(w, 0) * max(h, 0)
        areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
        return inside / (sum(areas) - inside)

    kept: list[tuple[int, int]] = []
    for q, k in best:
        mine = pixels(scores.human_boxes_cxcywh[0, q]), pixels(scores.object_boxes_cxcywh[0, q])
        for other, row in kept:
            if row == k:
                theirs = pixels(scores.human_boxes_cxcywh[0, other]), pixels(scores.object_boxes_cxcywh[0, other])
                if overlap(mine[0], theirs[0]) * overlap(mine[1], theirs[1]) ** 0.5 > 0.7:
                    break
        else:
            kept.append((q, k))
    return kept


def random_scores(seed: int, queries: int, rows: int, *, ties: bool = False) -> PairScores:
    rng = np.random.default_rng(seed)
    centres = rng.choice([0.3, 0.32, 0.5, 0.75], size=(2, 1, queries, 4)).astype(np.float32)
    centres[..., 2:] = rng.choice([0.2, 0.21, 0.4], size=(2, 1, queries, 2))
    inter = rng.random((1, queries, rows), np.float32)
    obj = rng.random((1, queries, 3), np.float32)
    if ties:
        inter, obj = np.round(inter, 1), np.zeros_like(obj)
    return PairScores(centres[0], centres[1], obj, obj.argmax(-1), inter)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.lists(st.integers(-1, 2), max_size=5), st.booleans())
def test_ranking_and_suppression_agree_with_the_slow_way(
    seed: int, queries: int, objects: list[int], ties: bool
) -> None:
    scores = random_scores(seed, queries, len(objects), ties=ties)
    found = rank(scores, 0, (100, 100), plain_classifier(objects, 3), top=30)
    mine = list(zip(found.queries.tolist(), found.interactions.tolist(), strict=True))
    assert mine == slow_rank(scores, objects, 30)
    assert len(set(mine)) == len(mine)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_equal_scores_never_give_one_query_and_interaction_twice(value: float) -> None:
    scores = random_scores(1, 16, 9)
    same = scores._replace(interaction_scores=np.full_like(scores.interaction_scores, value))
    same = same._replace(object_scores=np.full_like(scores.object_scores, value))
    found = rank(same, 0, (100, 100), plain_classifier([0] * 9, 3), nms=False)
    assert len(found) == 100
    assert len(set(zip(found.queries.tolist(), found.interactions.tolist(), strict=True))) == 100


def test_an_empty_vocabulary_finds_nothing() -> None:
    classifier = plain_classifier([], 3)
    outputs = Outputs(
        *(np.zeros(s, np.float32) for s in ((1, 5, 4), (1, 5, 4), (1, 5, 4), (1, 5, 8), (1, 5, 8), (1, 8)))
    )
    for enhancement in (False, True):
        scores = score(outputs, classifier, enhancement=enhancement)
        assert scores.interaction_scores.shape == (1, 5, 0)
        assert len(rank(scores, 0, (10, 10), classifier)) == 0
        assert to_pairs(scores, 0, (10, 10), classifier).scores.shape == (0, 0)


def test_logits_add_the_verbs_share_before_the_scale() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2, 3, 8)).astype(np.float32)
    classifier = replace(
        plain_classifier([0, 1, -1], 3), text=rows[0], verb_text=rows[1], bias=np.array([0.1, 0, -0.1], np.float32)
    )
    e, v = rng.normal(size=(2, 1, 4, 8)).astype(np.float32)
    zeros = np.zeros((1, 4, 4), np.float32)
    found = interaction_logits(Outputs(zeros, zeros, zeros, e, v, np.zeros((1, 8), np.float32)), classifier)
    for q in range(4):
        for k in range(3):
            wanted = 10.0 * (e[0, q] @ rows[0, k] + classifier.bias[k]) + 0.5 * 10.0 * (v[0, q] @ rows[1, k])
            assert found[0, q, k] == pytest.approx(wanted, abs=1e-4)


def test_sigmoid_is_exact_and_does_not_overflow() -> None:
    x = np.array([-1e4, -5.0, 0.0, 5.0, 1e4], np.float32)
    np.testing.assert_allclose(sigmoid(x), [0, 1 / (1 + np.exp(5.0)), 0.5, 1 / (1 + np.exp(-5.0)), 1], atol=1e-6)


@pytest.mark.parametrize("top_k", [1, 3, 5, 50])
def test_the_enhancement_adds_clips_best_and_half_for_the_rest(top_k: int) -> None:
    clip = np.array([[0.3, 0.1, 0.25, -0.2, 0.28]], np.float32)
    added = enhance(np.zeros((1, 2, 5), np.float32), clip, top_k)
    best = set(np.argsort(-clip[0])[:top_k].tolist())
    for k in range(5):
        wanted = 1 / (1 + np.exp(-clip[0, k])) if k in best else 0.5
        np.testing.assert_allclose(added[0, :, k], wanted, atol=1e-6)


def pair_case() -> tuple[PairScores, list[int]]:
    """Three queries: two of one pair (bench), the second knows another act better; one alone with another object."""
    humans = np.array([[[0.3, 0.5, 0.2, 0.6], [0.3, 0.5, 0.2, 0.6], [0.7, 0.5, 0.2, 0.6]]], np.float32)
    things = np.array([[[0.4, 0.7, 0.2, 0.2], [0.4, 0.7, 0.2, 0.2], [0.8, 0.3, 0.1, 0.1]]], np.float32)
    objects = np.array([[[0.9, 0.1, 0.0], [0.8, 0.1, 0.0], [0.1, 0.7, 0.0]]], np.float32)
    acts = np.array([[[0.9, 0.1, 0.6], [0.3, 0.8, 0.1], [0.2, 0.9, 0.5]]], np.float32)
    return PairScores(humans, things, objects, objects.argmax(-1), acts), [0, 0, 1]


def test_a_pair_found_by_two_queries_is_one_row_with_the_best_of_both() -> None:
    scores, objects = pair_case()
    pairs = to_pairs(scores, 0, (100, 200), plain_classifier(objects, 3))
    np.testing.assert_allclose(pairs.scores, [[0.81, 0.64, 0], [0, 0, 0.35]], atol=1e-6)
    assert pairs.object_labels.tolist() == [0, 1]
    np.testing.assert_allclose(pairs.human_boxes_xyxy[0], [40, 20, 80, 80], atol=1e-3)
    np.testing.assert_allclose(pairs.object_scores, [0.9, 0.7], atol=1e-6)


def test_pairs_below_the_score_and_rows_that_say_nothing_happens_are_left_out() -> None:
    scores, objects = pair_case()
    classifier = plain_classifier(objects, 3)
    assert len(to_pairs(scores, 0, (100, 200), classifier, min_score=0.5).scores) == 1
    silent = replace(classifier, no_interaction=np.array([True, True, False]))
    assert to_pairs(scores, 0, (100, 200), silent).object_labels.tolist() == [1]


def test_a_row_for_any_object_takes_the_best_object_of_each_query() -> None:
    scores, _ = pair_case()
    pairs = to_pairs(scores, 0, (100, 200), plain_classifier([-1, -1, -1], 3))
    np.testing.assert_allclose(pairs.scores[:, 0], [0.81, 0.14], atol=1e-6)


def test_suppression_keeps_pairs_of_other_interactions() -> None:
    boxes = np.array([[0, 0, 10, 10]] * 3, np.float32)
    kept = pair_nms(boxes, boxes, np.array([1, 2, 1]), np.array([0.3, 0.5, 0.4], np.float32))
    assert kept.tolist() == [1, 2]


def test_enhanced_scores_stay_on_the_scale_of_plain_ones() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(6, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    classifier = replace(plain_classifier([0] * 6, 3), text=rows, text_embedding=rows)
    zeros = np.zeros((1, 4, 4), np.float32)
    outputs = Outputs(zeros, zeros, zeros, rows[None, :4], rows[None, :4], rows[:1])
    plain, enhanced = (score(outputs, classifier, enhancement=e, top_k=2).interaction_scores for e in (False, True))
    gain = (enhanced - plain)[0, 0]
    best = np.argsort(-(rows @ rows[0]))[:2]
    np.testing.assert_allclose(gain[best], sigmoid((rows @ rows[0])[best]) - 0.5, atol=1e-5)
    assert np.abs(np.delete(gain, best)).max() < 1e-6


def test_pairs_that_do_nothing_follow_those_that_do_where_their_object_is_sure() -> None:
    object_scores = np.array([[[0.9, 0.1], [0.8, 0.1], [0.3, 0.1]]], np.float32)
    boxes = np.array([[[0.2, 0.5, 0.1, 0.1], [0.5, 0.5, 0.1, 0.1], [0.8, 0.5, 0.1, 0.1]]], np.float32)
    interactions = np.array([[[0.9], [0.1], [0.1]]], np.float32)
    scores = PairScores(boxes, boxes, object_scores, object_scores.argmax(-1), interactions)
    classifier = plain_classifier([0], 2)
    alone = to_pairs(scores, 0, (100, 200), classifier, min_score=0.2)
    both = to_pairs(scores, 0, (100, 200), classifier, min_score=0.2, min_object_score=0.5)
    assert alone.scores.tolist() == both.scores[:1].tolist()
    assert both.scores[:, 0].tolist() == pytest.approx([0.81, 0.08])
    assert both.human_boxes_xyxy[:, 0].tolist() == pytest.approx([30.0, 90.0])


def test_of_interactions_that_exclude_each_other_all_but_the_likeliest_count_half() -> None:
    boxes, objects = np.full((1, 2, 4), 0.5, np.float32), np.ones((1, 2, 1), np.float32)
    boxes[0, 1, 0] = 0.9
    interactions = np.array([[[0.9, 0.8, 0.6], [0.4, 0.7, 0.6]]], np.float32)
    scores = PairScores(boxes, boxes, objects, objects.argmax(-1), interactions)
    classifier = replace(plain_classifier([0, 0, 0], 1), rivals=np.array([[1], [0], [2]]))  # the third goes with any
    pairs = to_pairs(scores, 0, (100, 200), classifier)
    assert pairs.scores.tolist() == [pytest.approx([0.9, 0.4, 0.6]), pytest.approx([0.2, 0.7, 0.6])]
