"""Verb rows for a model from annotated pictures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from hoiclip.classifier import TrainedHeads
from hoiclip.errors import InputError
from hoiclip.model import HoiClip
from hoiclip.training.crops import clip_pixels, primary_interactions, square_crop, union_crop
from hoiclip.training.verbs import verb_classifier
from hoiclip.vocabulary import Vocabulary
from hoiclip.weights import TorchModel


class Example(NamedTuple):
    """One labelled pair."""

    picture: NDArray[np.uint8]  # [H, W, 3] RGB
    human: Any  # box xyxy in pixels
    item: Any
    interaction: int


@torch.no_grad()
def verb_rows(model: HoiClip, vocabulary: Vocabulary, examples: Iterable[Example]) -> tuple[Tensor, int]:
    """Return unit verb rows [A, E], zeros where no example shows the verb, and the number of examples."""
    size, labels = model.config.clip.image_size, []
    device = model.logit_scale.device
    embedded: tuple[list[Tensor], list[Tensor]] = ([], [])
    waiting: tuple[list[Tensor], list[Tensor]] = ([], [])

    def embed() -> None:
        for crops, out in zip(waiting, embedded, strict=True):
            out.append(model.clip.image_tokens(torch.stack(crops).to(device)).embedding.cpu())
            crops.clear()

    for example in examples:
        labels.append(example.interaction)
        waiting[0].append(clip_pixels(union_crop(example.picture, example.human, example.item), size))
        waiting[1].append(clip_pixels(square_crop(example.picture, example.item), size))
        if len(waiting[0]) == 64:
            embed()
    if waiting[0]:
        embed()
    if not labels:
        return torch.zeros(len(vocabulary.verbs), model.config.clip.embed_dim), 0
    together, alone = (torch.cat(parts) for parts in embedded)
    return verb_classifier(together, alone, torch.tensor(labels), vocabulary), len(labels)


def rows_from_folder(loaded: TorchModel, folder: Path, per_interaction: int) -> tuple[TrainedHeads, int]:
    """Return the model's trained heads with verb rows made from ``folder/annotations.json``, and how many were made."""
    path = folder / "annotations.json"
    if not path.exists():
        raise InputError(
            f"{path}: no annotations there; expected HICO-DET's form, as `hoistream synth --pictures` writes it"
        )
    rows, count = verb_rows(loaded.module, loaded.vocabulary, _examples(path, folder, per_interaction))
    if not count:
        raise InputError(f"{path}: holds no labelled pair")
    made = np.linalg.norm(rows.numpy(), axis=1) > 0
    verb_text = np.where(made[:, None], rows.numpy(), loaded.heads.verb_text).astype(np.float32)
    return replace(loaded.heads, verb_text=verb_text), int(made.sum())


def _examples(path: Path, folder: Path, per_interaction: int) -> Iterator[Example]:
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
            yield Example(picture, boxes[note["subject_id"]]["bbox"], boxes[note["object_id"]]["bbox"], label)
