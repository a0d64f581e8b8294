"""A model that knows the truth scores 1; one that looks away scores 0."""

from __future__ import annotations

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from hoiclip.classifier import TextClassifier
from hoiclip.evaluation.models import evaluate_model
from hoiclip.predictor import PictureError
from hoiclip.types import Outputs
from hoiclip.vocabulary import load_builtin

WORLD = load_builtin("world")
K, O = len(WORLD.interactions), len(WORLD.objects)  # noqa: E741
HEIGHT, WIDTH = 128, 224  # half the canvas: boxes must come back in the picture's own pixels


def knowing_model(interactions, shift=0.0):
    """Return a model and how it sees: picture `i` (known by its brightness) shows interaction `interactions[i]`."""

    def look(picture: np.ndarray) -> Outputs:
        assert picture.shape == (HEIGHT, WIDTH, 3)
        k = interactions[round(float(picture.mean()) / 20)]
        boxes = np.array([[[0.25 + shift, 0.5, 0.3, 0.8]]], np.float32)
        things = np.array([[[0.5, 0.5, 0.2, 0.4]]], np.float32)
        logits = np.full((1, 1, O + 1), -8.0, np.float32)
        logits[0, 0, WORLD.interactions[k].object] = 8.0
        embeddings = np.zeros((1, 1, K), np.float32)
        embeddings[0, 0, k] = 1.0
        return Outputs(boxes, things, logits, embeddings, embeddings, embeddings[:, 0])

    eye = np.eye(K, dtype=np.float32)
    classifier = TextClassifier(
        names=tuple(WORLD.display(k) for k in range(K)), verbs=("",) * K, objects=("",) * K, prompts=("",) * K,
        object_index=np.array([i.object for i in WORLD.interactions]), text=eye, bias=np.full(K, -0.5, np.float32),
        verb_text=eye, verb_weight=0.5, logit_scale=10.0, no_interaction=np.zeros(K, bool), text_embedding=eye,
        object_names=("",) * O, fingerprint="",
    )  # fmt: skip
    return SimpleNamespace(vocabulary=WORLD, classifier=lambda: classifier), look


@pytest.fixture
def pictures(tmp_path):
    shown, records = [0, 5, K - 1, 5], []
    for i, k in enumerate(shown):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((HEIGHT, WIDTH, 3), 20 * i, np.uint8))
        human = [0.1 * WIDTH, 0.1 * HEIGHT, 0.4 * WIDTH, 0.9 * HEIGHT]
        thing = [0.4 * WIDTH, 0.3 * HEIGHT, 0.6 * WIDTH, 0.7 * HEIGHT]
        category = WORLD.objects[WORLD.interactions[k].object].coco_id
        boxes = [{"bbox": human, "category_id": 1}, {"bbox": thing, "category_id": category}]
        pair = {"subject_id": 0, "object_id": 1, "hoi_category_id": k + 1}
        records.append({"file_name": f"{i}.png", "annotations": boxes, "hoi_annotation": [pair]})
    (tmp_path / "annotations.json").write_text(json.dumps(records))
    return tmp_path, shown


@pytest.mark.parametrize("options", [{}, {"enhancement": True}, {"verb_classifier": False}])
def test_a_model_that_knows_the_truth_scores_one(pictures, options):
    folder, shown = pictures
    summary = evaluate_model(*knowing_model(shown), folder, **options).summary()
    assert summary["default"]["full"] == summary["zero_shot"]["held_out"]["unseen"] == 1.0
    assert summary["num_classes_with_ground_truth"] == 3


def test_a_model_whose_boxes_are_elsewhere_scores_zero(pictures):
    folder, shown = pictures
    assert evaluate_model(*knowing_model(shown, shift=0.4), folder).mean() == 0.0


def test_a_limit_and_progress_are_kept(pictures):
    folder, shown = pictures
    steps = []
    result = evaluate_model(*knowing_model(shown), folder, limit=2, progress=lambda *done: steps.append(done))
    assert result.num_ground_truth.sum() == 2 and steps == [(1, 2), (2, 2)]


def test_a_picture_that_is_missing_is_named(pictures):
    folder, shown = pictures
    (folder / "3.png").unlink()
    with pytest.raises(PictureError, match=r"3\.png"):
        evaluate_model(*knowing_model(shown), folder)
