"""Statistics of training features: near their own data, far from what is not like it; they travel in a card."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hoiclip.errors import InputError
from hoiclip.familiarity import CARD_KEY, TrainingFeatures, frame_features
from hoiclip.types import Outputs

EMBED, QUERIES, OBJECTS = 16, 6, 3


def outputs(seed: int, count: int, shift: float = 0.0) -> Outputs[np.ndarray]:
    """Return frames whose interaction embeddings lie about one direction, `shift` to its side."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(0).normal(size=(2, EMBED))
    rows = directions[0] + shift * directions[1] + 0.3 * rng.normal(size=(count, QUERIES, EMBED))
    unit = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    logits = rng.normal(size=(count, QUERIES, OBJECTS + 1)).astype(np.float32)
    boxes = np.full((count, QUERIES, 4), 0.5, np.float32)
    return Outputs(boxes, boxes, logits, unit, unit, unit[:, 0])


def test_frames_of_the_training_data_are_near_and_others_far() -> None:
    known = TrainingFeatures.fit(outputs(1, 400), limit=1.0)
    assert known.distance(frame_features(outputs(2, 40))) < 0.5
    assert known.distance(frame_features(outputs(3, 40, shift=1.0))) > 2.0
    single = [known.distance(frame_features(outputs(seed, 1))) for seed in range(100, 200)]
    assert np.mean(single) == pytest.approx(1.0, abs=0.15)


def test_queries_that_are_sure_of_an_object_count_more() -> None:
    one = outputs(1, 1)
    logits = np.full_like(one.object_logits, -9.0)
    logits[0, 2, 0] = 9.0
    features = frame_features(one._replace(object_logits=logits))
    np.testing.assert_allclose(features[0], one.interaction_embeddings[0, 2], atol=0.01)


def test_they_travel_in_a_card_as_they_are() -> None:
    known = TrainingFeatures.fit(outputs(1, 300), limit=0.8)
    card = json.loads(json.dumps({CARD_KEY: known.to_card()}))
    found = TrainingFeatures.of_card(card, EMBED)
    assert found is not None and found.fingerprint == known.fingerprint
    other = TrainingFeatures.of_card({CARD_KEY: known.to_card() | {"limit": 0.9}}, EMBED)
    assert other is not None and other.fingerprint != known.fingerprint


def test_a_card_without_them_says_nothing_and_a_broken_one_is_refused() -> None:
    assert TrainingFeatures.of_card({}, EMBED) is None
    with pytest.raises(InputError, match="card"):
        TrainingFeatures.of_card({CARD_KEY: {"limit": 1.0, "mean": "AAAA"}}, EMBED)
