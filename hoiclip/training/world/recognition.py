"""How well CLIP knows what a person does in a crop that training never showed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from hoiclip.clip_tower import encode_texts
from hoiclip.model import HoiClip
from hoiclip.training.crops import clip_pixels, primary_interactions, union_crop
from hoiclip.training.world.shards import Shards
from hoiclip.vocabulary import Vocabulary

MARGIN = 0.15  # about both boxes


@dataclass(frozen=True)
class Recognition:
    """Shares of crops whose prompt is the nearest of the vocabulary's, in [0, 1]; NaN without such crops."""

    seen: float
    unseen: float
    verbs: float  # the nearest prompt's verb is right
    objects: float
    num_crops: int


@torch.no_grad()
def crop_recognition(
    model: HoiClip, shards: Shards, vocabulary: Vocabulary, unseen: Collection[int], limit: int = 2000
) -> Recognition:
    """Measure CLIP zero-shot on at most `limit` crops of people and what they mainly do, among all interactions."""
    text = encode_texts(model.clip, [interaction.prompt for interaction in vocabulary.interactions])
    crops, labels = [], []
    for index, annotation in enumerate(shards.annotations):
        boxes = annotation["annotations"]
        for position in primary_interactions(annotation):
            note = annotation["hoi_annotation"][position]
            ends = boxes[note["subject_id"]]["bbox"], boxes[note["object_id"]]["bbox"]
            crops.append(clip_pixels(union_crop(shards.picture(index), *ends, MARGIN), model.config.clip.image_size))
            labels.append(note["hoi_category_id"] - 1)
        if len(crops) >= limit:
            break
    found = torch.cat(
        [
            (F.normalize(model.clip.image_tokens(torch.stack(crops[i : i + 128])).embedding, dim=-1) @ text.T).argmax(1)
            for i in range(0, len(crops), 128)
        ]
    ).numpy()
    true = np.asarray(labels)
    is_unseen = np.isin(true, list(unseen))
    verb, item = (np.array([pair[i] for pair in vocabulary.interactions]) for i in (0, 1))
    return Recognition(
        _share((found == true)[~is_unseen]),
        _share((found == true)[is_unseen]),
        _share(verb[found] == verb[true]),
        _share(item[found] == item[true]),
        len(true),
    )


def _share(hits: NDArray[np.bool_]) -> float:
    return float(hits.mean()) if len(hits) else float("nan")
