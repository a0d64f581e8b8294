"""Verb rows for a model from a folder of annotated pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hoiclip.classifier import Classifiers
from hoiclip.errors import InputError
from hoiclip.training.clip_pretraining import square_crop, union_crop
from hoiclip.training.verbs import verb_classifier
from hoiclip.training.world_recipe import clip_pixels, primary_interactions
from hoiclip.weights import LoadedModel


def rows_from_folder(loaded: LoadedModel, folder: Path, per_interaction: int) -> tuple[Classifiers, int]:
    """Return the model's classifiers with verb rows made from ``folder/annotations.json``, and how many were made."""
    path = folder / "annotations.json"
    if not path.exists():
        raise InputError(
            f"{path}: no annotations there; expected HICO-DET's form, as `hoistream synth --pictures` writes it"
        )
    size = loaded.model.config.clip.image_size
    unions, alone, labels = [], [], []
    counts: dict[int, int] = {}
    for annotation in json.loads(path.read_text(encoding="utf-8")):
        picture = None
        boxes = annotation["annotations"]
        for position in primary_interactions(annotation):
            note = annotation["hoi_annotation"][position]
            label = note["hoi_category_id"] - 1
            if counts.get(label, 0) >= per_interaction:
                continue
            counts[label] = counts.get(label, 0) + 1
            if picture is None:
                picture = np.asarray(Image.open(folder / annotation["file_name"]).convert("RGB"))
            human, thing = boxes[note["subject_id"]]["bbox"], boxes[note["object_id"]]["bbox"]
            unions.append(clip_pixels(union_crop(picture, human, thing), size))
            alone.append(clip_pixels(square_crop(picture, thing), size))
            labels.append(label)
    if not labels:
        raise InputError(f"{path}: holds no labelled pair")
    with torch.inference_mode():
        together, things = (
            torch.cat(
                [
                    loaded.model.clip.image_tokens(torch.stack(part[i : i + 64])).embedding
                    for i in range(0, len(part), 64)
                ]
            )
            for part in (unions, alone)
        )
    rows = verb_classifier(together.clone(), things.clone(), torch.tensor(labels), loaded.vocabulary).numpy()
    made = np.linalg.norm(rows, axis=1) > 0
    verb_text = np.where(made[:, None], rows, loaded.classifiers.verb_text).astype(np.float32)
    return replace(loaded.classifiers, verb_text=verb_text), int(made.sum())
