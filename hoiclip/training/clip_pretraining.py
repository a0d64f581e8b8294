"""Contrastive training of a small CLIP on crops of people and what they do, with captions made from the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from hoiclip.clip_tower import ClipTowers
from hoiclip.vocabulary import Vocabulary

TEMPLATES: tuple[str, ...] = (
    "a photo of a person {phrase} {article} {object}",
    "a person {phrase} {article} {object}",
    "someone is {phrase} {article} {object}",
    "a picture of a person who is {phrase} {article} {object}",
)
VERB_ONLY, OBJECT_ONLY = "a photo of a person {phrase} something", "a photo of {article} {object}"


def captions(vocabulary: Vocabulary, interactions: Sequence[int], rng: np.random.Generator) -> list[str]:
    """Return a caption for each interaction; some name only the verb or the object, so that both have a meaning."""
    texts = []
    for index in interactions:
        interaction = vocabulary.interactions[index]
        noun = vocabulary.objects[interaction.object].name.replace("_", " ")
        words = {
            "phrase": vocabulary.verbs[interaction.verb].phrase,
            "object": noun,
            "article": "an" if noun[0] in "aeio" else "a",
        }
        roll = rng.random()
        template = (
            VERB_ONLY if roll < 0.15 else OBJECT_ONLY if roll < 0.3 else TEMPLATES[int(rng.integers(len(TEMPLATES)))]
        )
        texts.append(template.format(**words))
    return texts


def contrastive_loss(towers: ClipTowers, image: Tensor, texts: Sequence[str], tokenizer: SimpleTokenizer) -> Tensor:
    """Return CLIP's symmetric loss for unit image embeddings [N, E] and captions; equal captions all count.

    Source: CLIP (Radford et al., 2021); a batch repeats captions, so targets are spread over the equal ones.
    """
    unique, inverse = np.unique(np.asarray(texts), return_inverse=True)
    text = F.normalize(towers.encode_text(tokenizer(list(unique))).float(), dim=-1)
    logits = towers.logit_scale.exp().clamp(max=100.0) * image @ text.T  # [N,unique]
    target = torch.as_tensor(inverse, dtype=torch.int64, device=logits.device)
    one_hot = F.one_hot(target, len(unique)).float()
    per_text = one_hot / one_hot.sum(0, keepdim=True)
    loss: Tensor = (F.cross_entropy(logits, target) - (per_text * logits.log_softmax(0)).sum(0).mean()) / 2
    return loss


class FactorHeads(nn.Module):
    """Verb and object classifiers shared by images and texts; thrown away after the pre-training.

    Contrast alone over few captions leaves prompts of one object almost equal. Asking both towers for the verb and the
    object of what they embed, and the text tower also for pairs that no picture shows, spreads the prompts so that an
    unseen pair lies between what it is made of.
    """

    def __init__(self, embed_dim: int, num_verbs: int, num_objects: int) -> None:
        super().__init__()
        self.verbs, self.objects = nn.Linear(embed_dim, num_verbs), nn.Linear(embed_dim, num_objects)

    def forward(self, unit: Tensor, verb: Tensor, thing: Tensor) -> Tensor:
        """Return the mean cross-entropy for unit embeddings [N, E] and their labels [N]; a label of -1 is unknown."""
        scaled = 10.0 * unit
        by_verb = F.cross_entropy(self.verbs(scaled), verb, ignore_index=-1)
        return by_verb + F.cross_entropy(self.objects(scaled), thing, ignore_index=-1)


def factor_loss(
    towers: ClipTowers, heads: FactorHeads, image: Tensor, interactions: Sequence[int], vocabulary: Vocabulary,
    tokenizer: SimpleTokenizer, rng: np.random.Generator, num_texts: int = 32,
) -> Tensor:  # fmt: skip
    """Return the factor loss of unit image embeddings [N, E] and of captions of random pairs."""
    pairs = [vocabulary.interactions[i] for i in interactions]
    loss = heads(image, torch.tensor([p.verb for p in pairs]), torch.tensor([p.object for p in pairs]))
    verbs = rng.integers(len(vocabulary.verbs), size=num_texts)
    things = rng.integers(len(vocabulary.objects), size=num_texts)
    texts = []
    for verb, thing in zip(verbs, things, strict=True):
        noun = vocabulary.objects[thing].name.replace("_", " ")
        template = TEMPLATES[int(rng.integers(len(TEMPLATES)))]
        article = "an" if noun[0] in "aeio" else "a"
        texts.append(template.format(phrase=vocabulary.verbs[verb].phrase, article=article, object=noun))
    text = F.normalize(towers.encode_text(tokenizer(texts)).float(), dim=-1)
    total: Tensor = loss + heads(text, torch.as_tensor(verbs), torch.as_tensor(things))
    return total


def union_crop(
    picture: NDArray[np.uint8], human: Sequence[float], thing: Sequence[float], margin: float = 0.1
) -> NDArray[np.uint8]:
    """Return the part of RGB [H, W, 3] around both boxes (xyxy px), squared up with a margin, kept inside the frame."""
    x0, y0 = min(human[0], thing[0]), min(human[1], thing[1])
    x1, y1 = max(human[2], thing[2]), max(human[3], thing[3])
    return square_crop(picture, (x0, y0, x1, y1), margin)


def square_crop(picture: NDArray[np.uint8], box: Sequence[float], margin: float = 0.1) -> NDArray[np.uint8]:
    """Return the square part of RGB [H, W, 3] around `box` (xyxy px), at most as large as the frame allows."""
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = box
    side = min(max(x1 - x0, y1 - y0) * (1 + 2 * margin), height, width)
    left = min(max((x0 + x1 - side) / 2, 0), width - side)
    top = min(max((y0 + y1 - side) / 2, 0), height - side)
    return picture[int(top) : int(top + side), int(left) : int(left + side)]
