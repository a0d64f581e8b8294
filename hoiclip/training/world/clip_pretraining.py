"""Training of the demonstration model's small CLIP on views of drawn pictures and captions made from the vocabulary.

Each step compares every view with every caption that training shows, so that the hardest negatives, other verbs with
the same object, are always there; the verb and the object are asked for one at a time as well. Two things carry over to
pairs that no picture shows: their captions are drawn to what the verb's and the object's own captions add up to, and
some views hide the object, so that the verb must be read from the pose. Regions and patches are supervised beside whole
views, since HOICLIP reads CLIP's patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from hoiclip.clip_tower import ClipTowers
from hoiclip.training.losses import focal
from hoiclip.training.stage import Report, StageSettings, run_stage
from hoiclip.training.world.captions import Captions, Pair
from hoiclip.training.world.shards import Shards
from hoiclip.training.world.views import Targets, ViewBatch, Views
from hoiclip.vocabulary import Vocabulary

RANDOM_PAIRS = 48  # captions of any verb with any object a step
PAIR_WEIGHT, FACTOR_WEIGHT, REGION_WEIGHT, PATCH_WEIGHT, COMPOSITION_WEIGHT = 1.0, 0.5, 0.7, 0.3, 0.5
SUM_WEIGHT = 0.5  # of nearness to the sum, inside the composition loss
LARGEST_SCALE = 50.0  # of the cosine


class PatchHeads(nn.Module):
    """What each patch shows and what is done there; thrown away after the pre-training."""

    def __init__(self, width: int, num_objects: int, num_verbs: int) -> None:
        super().__init__()
        self.classes, self.verbs = nn.Linear(width, 1 + num_objects), nn.Linear(width, num_verbs)
        for head in (self.classes, self.verbs):
            nn.init.constant_(head.bias, -3.0)

    def forward(self, tokens: Tensor, classes: Tensor, verbs: Tensor) -> Tensor:
        """Return the focal loss of patch tokens [N, P, V] against 0/1 labels [N, P, 1 + O] and [N, P, A]."""
        return focal(self.classes(tokens), classes) + focal(self.verbs(tokens), verbs)


@dataclass(frozen=True)
class CaptionRows:
    """Unit text embeddings of everything a view is compared with."""

    pairs: Tensor  # [C, E]
    verbs: Tensor  # [A + 1, E]
    objects: Tensor  # [O, E]


def encode_captions(towers: ClipTowers, tokens: Tensor) -> Tensor:
    """Return unit embeddings [N, E] of tokens [N, L], cut after the longest caption.

    The text tower's attention looks back only, so that what follows a caption's end changes nothing but the time.
    """
    length = int((tokens != 0).sum(1).max())
    tokens = tokens[:, :length]
    x = towers.token_embedding(tokens) + towers.positional_embedding[:length]
    x = towers.ln_final(towers.transformer(x, attn_mask=towers.attn_mask[:length, :length]))
    ends = x[torch.arange(len(tokens)), tokens.argmax(-1)]  # the end token has the highest number
    return F.normalize((ends @ towers.text_projection).float(), dim=-1)


def composition_loss(pairs: Tensor, captions: CaptionRows, members: Sequence[Pair], scale: Tensor) -> Tensor:
    """Return how far captions of pairs [N, E] are from saying their verb and their object, `members`; unit rows.

    Each caption must be nearest to its verb's caption among all verbs and to its object's among all objects, and near
    the sum of both. Nearness to the sum alone would be had most cheaply by making all captions equal.
    """
    verb, item = (torch.tensor([member[i] for member in members]) for i in (0, 1))
    named = F.cross_entropy(scale * pairs @ captions.verbs.T, verb)
    named = named + F.cross_entropy(scale * pairs @ captions.objects.T, item)
    together = F.normalize(captions.verbs[verb] + captions.objects[item], dim=-1)
    return named + SUM_WEIGHT * (1 - F.cosine_similarity(pairs, together, dim=-1)).mean()


def soft_contrast(logits: Tensor, target: Tensor) -> Tensor:
    """Return CLIP's symmetric loss for logits [N, C] and soft targets [N, C]; rows of zeros say nothing.

    Source: CLIP (Radford et al., 2021), with targets spread over everything that is true.
    """
    known = target.sum(1) > 0
    if not bool(known.any()):
        return logits.sum() * 0.0
    logits, target = logits[known], target[known]
    of_views = -(target * logits.log_softmax(1)).sum(1).mean()
    there = target.sum(0) > 0
    by_caption = target[:, there] / target[:, there].sum(0)
    of_captions = -(by_caption * logits[:, there].log_softmax(0)).sum(0).mean()
    return (2 * of_views + of_captions) / 3


def view_loss(embeddings: Tensor, captions: CaptionRows, targets: Targets, scale: Tensor) -> Tensor:
    """Return the loss of unit view embeddings [N, E]: which pair, which verb, which object."""
    pair = soft_contrast(scale * embeddings @ captions.pairs.T, targets.pairs)
    verb = soft_contrast(scale * embeddings @ captions.verbs.T, targets.verbs)
    item = soft_contrast(scale * embeddings @ captions.objects.T, targets.objects)
    return PAIR_WEIGHT * pair + FACTOR_WEIGHT * (verb + item)


def clip_loss(
    towers: ClipTowers, patch_heads: PatchHeads, captions: Captions, tokenizer: SimpleTokenizer, batch: ViewBatch,
    rng: np.random.Generator,
) -> dict[str, Tensor]:  # fmt: skip
    """Return the losses of one batch as ``total`` and its parts."""
    seen = towers.image_tokens(batch.pixels)
    scale = towers.logit_scale.exp().clamp(max=LARGEST_SCALE)
    rows, composition = _rows(towers, captions, tokenizer, scale, rng)
    whole = view_loss(F.normalize(seen.embedding.float(), dim=-1), rows, batch.targets, scale)
    patches = seen.tokens[:, 1:]
    weights = batch.region_patches / batch.region_patches.sum(1, keepdim=True)
    pooled = (weights[:, :, None] * patches[batch.region_view]).sum(1) @ towers.visual.proj
    region = view_loss(F.normalize(pooled.float(), dim=-1), rows, batch.region_targets, scale)
    patch = patch_heads(patches, batch.patch_classes, batch.patch_verbs)
    total = whole + REGION_WEIGHT * region + PATCH_WEIGHT * patch + COMPOSITION_WEIGHT * composition
    parts = {"whole": whole, "region": region, "patch": patch, "composition": composition}
    return {"total": total, **{name: value.detach() for name, value in parts.items()}}


def _rows(
    towers: ClipTowers, captions: Captions, tokenizer: SimpleTokenizer, scale: Tensor, rng: np.random.Generator
) -> tuple[CaptionRows, Tensor]:
    """Return this step's captions, templates drawn anew, and the composition loss of them and of random pairs."""
    shown = captions.pairs
    every = [*shown, *captions.random_pairs(rng, RANDOM_PAIRS)]
    texts = [captions.pair(pair, rng) for pair in every] + captions.verbs(rng) + captions.objects(rng)
    embedded = encode_captions(towers, tokenizer(texts))
    pairs, verbs, objects = embedded.split([len(every), captions.num_verbs, captions.num_objects])
    rows = CaptionRows(pairs[: len(shown)], verbs, objects)
    return rows, composition_loss(pairs, rows, every, scale)


@torch.no_grad()
def spread_texts(towers: ClipTowers) -> None:
    """Begin with captions that differ: with open_clip's initial weights all texts are equal and learning stalls.

    Prompts differ in few tokens, so words get large embeddings, the marks at both ends none, and attention picks words
    out instead of averaging them.
    """
    nn.init.normal_(towers.token_embedding.weight, std=0.3)
    towers.token_embedding.weight[-2:] = 0.0
    for block in towers.transformer.resblocks:
        block.attn.in_proj_weight[: 2 * towers.token_embedding.embedding_dim] *= 3.0
        block.attn.out_proj.weight *= 8.0


def train_clip(
    towers: ClipTowers, settings: StageSettings, batch_size: int, seed: int, shards: Shards, vocabulary: Vocabulary,
    shown: Sequence[int], directory: Any, report: Report,
) -> None:  # fmt: skip
    """Train or resume both towers in place. `shown` are the interactions that training may show."""
    spread_texts(towers)
    captions = Captions(vocabulary, shown)
    size, patch = towers.visual.image_size, towers.visual.patch_size
    views = Views(shards, vocabulary, captions, _side(size), _side(patch), batch_size, seed)
    patch_heads = PatchHeads(towers.visual.ln_post.normalized_shape[0], captions.num_objects, captions.num_verbs - 1)
    trained = nn.ModuleDict({"clip": towers, "patches": patch_heads})
    tokenizer = SimpleTokenizer()

    def loss(batch: ViewBatch) -> dict[str, Tensor]:
        rng = np.random.default_rng((seed, 13, batch.step))
        return clip_loss(towers, patch_heads, captions, tokenizer, batch, rng)

    trained.train()
    groups: list[dict[str, Any]] = [{"params": list(trained.parameters())}]
    run_stage("clip", trained, groups, settings, views.batch, loss, directory, report)
    trained.eval()


def _side(size: Any) -> int:
    """Return the side in pixels; open_clip gives numbers or pairs."""
    return int(size[0]) if isinstance(size, tuple) else int(size)
