"""Measure a model on a folder of annotated pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from hoiclip.classifier import TextClassifier
from hoiclip.errors import InputError
from hoiclip.evaluation.hico import HicoResult, InteractionClasses, Pairs, evaluate_hico
from hoiclip.evaluation.picture_files import PictureFiles
from hoiclip.postprocess import rank, score
from hoiclip.types import Canvas, Outputs
from hoiclip.weights import LoadedModel

BATCH = 8


def evaluate_model(
    loaded: LoadedModel,
    pictures: Path,
    *,
    enhancement: bool = False,
    verb_classifier: bool = True,
    top: int = 100,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> HicoResult:
    """Return HICO-DET's measures of a model on `pictures`, a folder with ``annotations.json`` (`hoistream synth`).

    Pictures are scaled to the model's canvas, as video is. All the model's interactions are scored.

    Args:
        loaded: the model with its classifiers.
        pictures: the folder.
        enhancement: add CLIP's opinion of the whole picture.
        verb_classifier: score verbs too; without, only interactions (an ablation).
        top: pairs a picture.
        limit: only the first pictures; all when None.
        progress: called with pictures done and in all.

    Raises:
        InputError: no annotations, a missing picture, annotations of another vocabulary.
    """
    vocabulary = loaded.vocabulary
    annotated = PictureFiles.read(pictures / "annotations.json", None).first(limit)
    classifier = loaded.classifier()
    if not verb_classifier:
        classifier = replace(classifier, verb_weight=0.0)
    config = loaded.model.config
    canvas = Canvas(config.shorter_side, config.longer_side)
    names = [picture["file_name"] for picture in annotated.true_pictures]
    found: list[Pairs] = []
    for start in range(0, len(names), BATCH):
        images = [_read(pictures / name) for name in names[start : start + BATCH]]
        frames = np.stack([_fit(image, canvas) for image in images])
        sizes = [(image.shape[0], image.shape[1]) for image in images]
        found += _detect(loaded, classifier, frames, sizes, start, enhancement, top)
        if progress is not None:
            progress(start + len(images), len(names))
    truth = annotated.true_hico_pairs(vocabulary)
    return evaluate_hico(truth, Pairs.concatenate(found), InteractionClasses.of(vocabulary))


def _detect(
    loaded: LoadedModel,
    classifier: TextClassifier,
    frames: NDArray[np.uint8],
    sizes_hw: list[tuple[int, int]],
    first: int,
    enhancement: bool,
    top: int,
) -> list[Pairs]:
    """Return one table for each frame [B, H, W, 3]; images count from `first`."""
    with torch.inference_mode():
        outputs = Outputs(*(field.numpy() for field in loaded.model(torch.from_numpy(frames))))
    scores = score(outputs, classifier, enhancement=enhancement)
    tables = []
    for index, size_hw in enumerate(sizes_hw):
        best = rank(scores, index, size_hw, classifier, top=top)
        image = np.full(len(best), first + index)
        tables.append(Pairs.build(image, best.interactions, best.human_boxes_xyxy, best.object_boxes_xyxy, best.scores))
    return tables


def _read(path: Path) -> NDArray[np.uint8]:
    """Return an RGB picture [H, W, 3]."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{path}: cannot be read as a picture; annotations.json names it")
    rgb: NDArray[np.uint8] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return rgb


def _fit(image: NDArray[np.uint8], canvas: Canvas) -> NDArray[np.uint8]:
    if image.shape[:2] == tuple(canvas):
        return image
    scaled: NDArray[np.uint8] = cv2.resize(image, (canvas.width, canvas.height), interpolation=cv2.INTER_AREA)
    return scaled
