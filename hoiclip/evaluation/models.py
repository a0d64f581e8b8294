"""Measure a model on a folder of annotated pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from hoiclip.evaluation.hico import HicoResult, InteractionClasses, Pairs, evaluate_hico
from hoiclip.evaluation.picture_files import PictureFiles
from hoiclip.loaded import LoadedModel
from hoiclip.predictor import Look, Predictor, read_picture


def evaluate_model(
    loaded: LoadedModel,
    look: Look,
    pictures: Path,
    *,
    enhancement: bool = False,
    verb_classifier: bool = True,
    top: int = 100,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> HicoResult:
    """Return HICO-DET's measures of a model on `pictures`, a folder with ``annotations.json`` (`hoistream synth`).

    All interactions of the model's vocabulary are scored, with the predictor's own preprocessing, ranking and NMS.

    Args:
        loaded: the model.
        look: how a picture reaches it, from `LoadedModel.look`.
        pictures: the folder.
        enhancement: add CLIP's opinion of the whole picture.
        verb_classifier: score verbs too; without, only interactions (an ablation).
        top: pairs a picture.
        limit: only the first pictures; all when None.
        progress: called with pictures done and in all.

    Raises:
        InputError: no annotations, or those of another vocabulary.
        PictureError: a picture that is missing or broken.
    """
    vocabulary = loaded.vocabulary
    annotated = PictureFiles.read(pictures / "annotations.json", None).first(limit)
    classifier = loaded.classifier()
    if not verb_classifier:
        classifier = replace(classifier, verb_weight=0.0)
    predictor = Predictor(look, classifier, enhancement=enhancement)
    found: list[Pairs] = []
    for image, picture in enumerate(annotated.true_pictures):
        best = predictor.predict(read_picture(pictures / picture["file_name"]), top=top)
        index = np.full(len(best), image)
        found.append(Pairs.build(index, best.interactions, best.human_boxes_xyxy, best.object_boxes_xyxy, best.scores))
        if progress is not None:
            progress(image + 1, len(annotated.true_pictures))
    truth = annotated.true_hico_pairs(vocabulary)
    return evaluate_hico(truth, Pairs.concatenate(found), InteractionClasses.of(vocabulary))
