"""Training of the demonstration model's small CLIP: first the words, then what they look like.

The text tower learns alone, in a minute: every caption must say its verb and its object, pairs that no picture shows
included, so that these lie where verb and object put them. Then it stays as it is, and the image tower learns to answer
it (as in LiT, Zhai et al., 2022): each view is compared with every caption that training shows, so that the hardest
negatives, other verbs with the same object, are always there; verb and object are asked one at a time as well. Some
views hide the object: then the verb must be read from the pose. Regions and patches are supervised beside whole views,
since HOICLIP reads CLIP's patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from hoiclip.clip_tower import ClipTowers
from hoiclip.position import sine_position
from hoiclip.training.losses import focal
from hoiclip.training.stage import Report, StageSettings, run_stage
from hoiclip.training.world.captions import TEMPLATES, Captions, Pair
from hoiclip.training.world.shards import Shards
from hoiclip.training.world.view_labels import Targets
from hoiclip.training.world.views import ViewBatch, Views
from hoiclip.vocabulary import Vocabulary

PAIR_WEIGHT, FACTOR_WEIGHT, REGION_WEIGHT, PATCH_WEIGHT = 0.5, 1.0, 0.7, 0.3
SUM_WEIGHT = 1.0  # of nearness to the sum, inside the composition loss
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
    towers: ClipTowers, patch_heads: PatchHeads, captions: CaptionRows, batch: ViewBatch
) -> dict[str, Tensor]:
    """Return the losses of one batch as ``total`` and its parts."""
    seen = towers.image_tokens(batch.pixels)
    scale = towers.logit_scale.exp().clamp(max=LARGEST_SCALE)
    whole = view_loss(F.normalize(seen.embedding.float(), dim=-1), captions, batch.targets, scale)
    patches = seen.tokens[:, 1:]
    weights = batch.region_patches / batch.region_patches.sum(1, keepdim=True)
    pooled = (weights[:, :, None] * patches[batch.region_view]).sum(1) @ towers.visual.proj
    region = view_loss(F.normalize(pooled.float(), dim=-1), captions, batch.region_targets, scale)
    patch = patch_heads(patches, batch.patch_classes, batch.patch_verbs)
    total = whole + REGION_WEIGHT * region + PATCH_WEIGHT * patch
    return {"total": total, "whole": whole.detach(), "region": region.detach(), "patch": patch.detach()}


def caption_rows(towers: ClipTowers, captions: Captions, pairs: Sequence[Pair], template: int) -> CaptionRows:
    """Return the embeddings of these pairs and of every verb and object, said in one way."""
    texts = [captions.pair(pair, template) for pair in pairs] + captions.verbs(template) + captions.objects(template)
    embedded = encode_captions(towers, SimpleTokenizer()(texts))
    return CaptionRows(*embedded.split([len(pairs), captions.num_verbs, captions.num_objects]))


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


@torch.no_grad()
def look_at_edges(towers: ClipTowers) -> None:
    """Begin with patches described by their coarse colours and edges, and with places that know their neighbours.

    Patches are read through the lowest frequencies of a cosine transform, each about equally loud in pictures, mixed
    by a rotation; positions are sines of row and column. From a random start both take very many pictures to learn.
    """
    conv, tower = towers.visual.conv1, towers.visual
    width, _, side, _ = conv.weight.shape
    count = {0: width - 2 * (width // 5), 1: width // 5, 2: width // 5}
    colours = torch.tensor([[0.58, 0.58, 0.58], [0.71, 0.0, -0.71], [0.41, -0.82, 0.41]])
    at = (torch.arange(side) + 0.5) / side
    waves = (
        torch.stack([torch.cos(torch.pi * k * at) * (1.0 if k else 0.7071) for k in range(side)]) / (side / 2) ** 0.5
    )
    lowest = sorted(((i * i + j * j) ** 0.5, i, j) for i in range(side) for j in range(side))
    rows = [
        (1 + frequency) / side * torch.einsum("c,h,w->chw", colours[colour], waves[i], waves[j])
        for colour, number in count.items()
        for frequency, i, j in lowest[:number]
    ]
    rotation, _ = torch.linalg.qr(torch.randn(width, width))
    conv.weight.copy_((rotation @ torch.stack(rows).flatten(1)).view_as(conv.weight))
    grid = round((tower.positional_embedding.shape[0] - 1) ** 0.5)
    position = sine_position(torch.zeros(1, grid, grid, dtype=torch.bool), width)[0]
    tower.positional_embedding[1:] = 0.5 * (position - position.mean(0))


@torch.no_grad()
def attend_to_likeness(towers: ClipTowers, amount: float = 0.7, through: float = 0.4) -> None:
    """Begin with image attention as trained transformers have it: to what is alike, and passed on with its sign turned.

    Source: "Mimetic initialization of self-attention layers" (Trockman and Kolter, ICML 2023), where small data gains
    most.
    """
    for block in towers.visual.transformer.resblocks:
        width, heads = block.attn.embed_dim, block.attn.num_heads
        size = width // heads
        query, key, value = block.attn.in_proj_weight.chunk(3)
        for head in range(heads):
            rows = slice(head * size, (head + 1) * size)
            product = amount * torch.randn(width, width) / width**0.5 + amount * torch.eye(width)
            left, spread, right = torch.linalg.svd(product)
            query[rows] = (left[:, :size] * spread[:size].sqrt()).T
            key[rows] = right[:size] * spread[:size].sqrt()[:, None]
        product = through * torch.randn(width, width) / width**0.5 - through * torch.eye(width)
        left, spread, right = torch.linalg.svd(product)
        value.copy_(spread.sqrt()[:, None] * right)
        block.attn.out_proj.weight.copy_(left * spread.sqrt())


def train_words(
    towers: ClipTowers, captions: Captions, settings: StageSettings, directory: Path, report: Report
) -> None:
    """Train or resume the text tower in place, on captions alone."""
    spread_texts(towers)
    text = nn.ModuleDict({"tokens": towers.token_embedding, "transformer": towers.transformer, "norm": towers.ln_final})
    parameters = [*text.parameters(), towers.positional_embedding, towers.text_projection]
    pairs = captions.every_pair

    def loss(template: int) -> dict[str, Tensor]:
        rows = caption_rows(towers, captions, pairs, template)
        scale = towers.logit_scale.exp().detach()
        return {"total": composition_loss(rows.pairs, rows, pairs, scale)}

    groups: list[dict[str, Any]] = [{"params": parameters}]
    run_stage("words", towers, groups, settings, lambda step: step, loss, directory, report)


def train_clip(
    towers: ClipTowers, words: StageSettings, settings: StageSettings, batch_size: int, seed: int, shards: Shards,
    vocabulary: Vocabulary, shown: Sequence[int], directory: Path, report: Report,
) -> None:  # fmt: skip
    """Train or resume both towers in place. `shown` are the interactions that training may show."""
    captions = Captions(vocabulary, shown)
    train_words(towers, captions, words, directory, report)
    look_at_edges(towers)
    attend_to_likeness(towers)
    with torch.no_grad():
        rows = [caption_rows(towers, captions, captions.pairs, template) for template in range(len(TEMPLATES))]
    size, patch = _side(towers.visual.image_size), _side(towers.visual.patch_size)
    views = Views(shards, vocabulary, captions, size, patch, batch_size, seed)
    patch_heads = PatchHeads(towers.visual.ln_post.normalized_shape[0], captions.num_objects, captions.num_verbs - 1)
    trained = nn.ModuleDict({"clip": towers, "patches": patch_heads})

    def loss(batch: ViewBatch) -> dict[str, Tensor]:
        return clip_loss(towers, patch_heads, rows[batch.step % len(rows)], batch)

    learning = [*towers.visual.parameters(), towers.logit_scale, *patch_heads.parameters()]
    groups: list[dict[str, Any]] = [{"params": learning}]
    run_stage("clip", trained, groups, settings, views.batch, loss, directory, report)
    trained.eval()


def _side(size: Any) -> int:
    """Return the side in pixels; open_clip gives numbers or pairs."""
    return int(size[0]) if isinstance(size, tuple) else int(size)
