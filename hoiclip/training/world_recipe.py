"""The demonstration model from scratch: a small CLIP, a detector warm-up, then HOICLIP's own training."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from hoiclip.config import ModelConfig
from hoiclip.model import CLIP_MEAN, CLIP_STD, Features, HoiClip
from hoiclip.position import sine_position
from hoiclip.training.clip_pretraining import (
    FactorHeads,
    captions,
    contrastive_loss,
    factor_loss,
    square_crop,
    union_crop,
)
from hoiclip.training.data import FrameBatch, Order, Targets, frame_batch
from hoiclip.training.losses import LossWeights
from hoiclip.training.matcher import PairTargets
from hoiclip.training.objective import all_layers
from hoiclip.training.shards import Shards
from hoiclip.training.stage import StageSettings, run_stage
from hoiclip.training.verbs import verb_classifier
from hoiclip.training.warmup import DenseHead, dense_loss, memory_of
from hoiclip.vocabulary import Vocabulary

logger = logging.getLogger(__name__)
Report = Callable[[str, int, int, dict[str, float]], None]


@dataclass(frozen=True)
class WorldRecipe:
    """Sizes of the three stages."""

    seed: int = 1
    clip: StageSettings = field(default_factory=lambda: StageSettings(1500, 1e-3, warm_up=50))
    clip_batch: int = 64
    clip_crops: int = 30000
    coarse: StageSettings = field(default_factory=lambda: StageSettings(1200, 1e-3, warm_up=100))
    fine: StageSettings = field(default_factory=lambda: StageSettings(700, 6e-4, warm_up=50))
    queries: StageSettings = field(default_factory=lambda: StageSettings(8000, 1e-3, warm_up=200))
    cached_pictures: int = 24000
    whole: StageSettings = field(default_factory=lambda: StageSettings(1000, 2e-4, warm_up=50, average=0.995))
    batch_size: int = 16
    coarse_scale: float = 0.75
    backbone_lr: float = 0.5  # share of the detector's rate
    loss: LossWeights = field(default_factory=LossWeights)


class Classifier(nn.Module):
    """The trained heads outside the graph: interaction bias and verb rows; the interaction text rows stay frozen."""

    text: Tensor
    verb_to_interaction: Tensor

    def __init__(self, text: Tensor, verbs: Tensor, verb_to_interaction: Tensor, verb_weight: float) -> None:
        super().__init__()
        self.register_buffer("text", text)  # [K, E] unit rows
        self.register_buffer("verb_to_interaction", verb_to_interaction)  # [A, K] 0/1
        self.verbs = nn.Parameter(verbs.clone())  # [A, E]
        self.bias = nn.Parameter(torch.full((len(text),), -0.35))
        self.verb_weight = verb_weight

    def forward(self, interaction: Tensor, verb: Tensor, scale: Tensor) -> Tensor:
        """Return interaction logits [..., K] of unit embeddings [..., E]."""
        direct = interaction @ self.text.T + self.bias
        through_verb = (verb @ self.verbs.T) @ self.verb_to_interaction
        logits: Tensor = scale * (direct + self.verb_weight * through_verb)
        return logits


class Trained(NamedTuple):
    """What training leaves."""

    model: HoiClip  # batch norm in evaluation mode
    classifier: Classifier


def train_world(
    config: ModelConfig, recipe: WorldRecipe, shards: Shards, vocabulary: Vocabulary, directory: Path, report: Report
) -> Trained:
    """Run or resume the three stages; checkpoints go to `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    model = HoiClip(config, frozen_batch_norm=False)
    seen = [i for i in range(len(vocabulary.interactions)) if i not in set(vocabulary.unseen.get("held_out", ()))]
    _train_clip(model, recipe, shards, vocabulary, directory, report)
    model.clip.requires_grad_(False)
    classifier = make_classifier(model, shards, vocabulary)
    _fix_object_classifier(model, vocabulary)
    _warm_up(model, seen, recipe, shards, vocabulary, directory, report)
    _train_detector(model, classifier, seen, recipe, shards, vocabulary, directory, report)
    return Trained(model.eval(), classifier.eval())


@torch.no_grad()
def encode_texts(model: HoiClip, texts: list[str]) -> Tensor:
    """Return unit text embeddings [N, E]."""
    return F.normalize(model.clip.encode_text(SimpleTokenizer()(texts)).float(), dim=-1)


class ClipBatch(NamedTuple):
    """Crops [N, 3, S, S], what is done on each, and a caption of it."""

    step: int
    crops: Tensor
    interactions: list[int]
    texts: list[str]


def _train_clip(
    model: HoiClip, recipe: WorldRecipe, shards: Shards, vocabulary: Vocabulary, directory: Path, report: Report
) -> None:
    size = model.config.clip.image_size
    tokenizer = SimpleTokenizer()
    # Prompts differ in few tokens; with open_clip's tiny initial embeddings all texts begin equal and learning stalls.
    nn.init.normal_(model.clip.token_embedding.weight, std=0.3)
    crops, labels = _person_crops(shards, round(size * 1.125), recipe.clip_crops)
    order = Order(len(crops), recipe.clip_batch, recipe.seed)
    mean, std = (torch.tensor(v).view(3, 1, 1) * 255 for v in (CLIP_MEAN, CLIP_STD))

    def make(step: int) -> ClipBatch:
        rng = np.random.default_rng((recipe.seed, 11, step))
        indices = order.indices(step)
        room = crops.shape[1] - size
        picked = []
        for index in indices:
            top, left = (int(v) for v in rng.integers(0, room + 1, 2))
            crop = crops[index, top : top + size, left : left + size]
            picked.append(crop[:, ::-1] if rng.random() < 0.5 else crop)
        pixels = torch.from_numpy(np.stack(picked)).permute(0, 3, 1, 2).float()
        interactions = [int(labels[i]) for i in indices]
        return ClipBatch(step, (pixels - mean) / std, interactions, captions(vocabulary, interactions, rng))

    heads = FactorHeads(model.config.clip.embed_dim, len(vocabulary.verbs), len(vocabulary.objects))
    trained = nn.ModuleDict({"clip": model.clip, "heads": heads})

    def loss(batch: ClipBatch) -> dict[str, Tensor]:
        image = F.normalize(model.clip.image_tokens(batch.crops).embedding.float(), dim=-1)
        contrast = contrastive_loss(model.clip, image, batch.texts, tokenizer)
        rng = np.random.default_rng((recipe.seed, 13, batch.step))
        factors = factor_loss(model.clip, heads, image, batch.interactions, vocabulary, tokenizer, rng)
        return {"total": contrast + factors, "contrast": contrast.detach(), "factors": factors.detach()}

    model.train()
    groups: list[dict[str, Any]] = [{"params": list(trained.parameters())}]
    run_stage("clip", trained, groups, recipe.clip, make, loss, directory, report)
    model.eval()


def _person_crops(shards: Shards, size: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return up to `count` square crops [N, size, size, 3] of acting people, and the interaction of each."""
    crops, labels = [], []
    for index, annotation in enumerate(shards.annotations):
        boxes = annotation["annotations"]
        for position in primary_interactions(annotation):
            note = annotation["hoi_annotation"][position]
            crop = union_crop(
                shards.picture(index), boxes[note["subject_id"]]["bbox"], boxes[note["object_id"]]["bbox"], 0.15
            )
            crops.append(cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA))
            labels.append(note["hoi_category_id"] - 1)
        if len(crops) >= count:
            break
    return np.stack(crops), np.asarray(labels, np.int64)


def primary_interactions(annotation: dict[str, Any]) -> list[int]:
    """Return the positions of each pair's first interaction: what the person mainly does."""
    first: dict[tuple[int, int], int] = {}
    for position, note in enumerate(annotation["hoi_annotation"]):
        first.setdefault((note["subject_id"], note["object_id"]), position)
    return list(first.values())


def clip_pixels(crop: np.ndarray[Any, np.dtype[np.uint8]], size: int, *, flip: bool = False) -> Tensor:
    """Return a normalised CLIP input [3, size, size] of a square RGB crop."""
    resized = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA if crop.shape[0] > size else cv2.INTER_CUBIC)
    pixels = (
        torch.from_numpy(np.ascontiguousarray(resized[:, ::-1] if flip else resized)).permute(2, 0, 1).float() / 255
    )
    return (pixels - torch.tensor(CLIP_MEAN).view(3, 1, 1)) / torch.tensor(CLIP_STD).view(3, 1, 1)


@torch.no_grad()
def make_classifier(model: HoiClip, shards: Shards, vocabulary: Vocabulary, per_interaction: int = 150) -> Classifier:
    """Return the classifier with text rows from the prompts and verb rows by visual semantic arithmetic."""
    text = encode_texts(model, [interaction.prompt for interaction in vocabulary.interactions])
    table = torch.zeros(len(vocabulary.verbs), len(vocabulary.interactions))
    for index, interaction in enumerate(vocabulary.interactions):
        table[interaction.verb, index] = 1.0
    size = model.config.clip.image_size
    counts: dict[int, int] = {}
    unions, alone, labels = [], [], []
    for index, annotation in enumerate(shards.annotations):
        for position in primary_interactions(annotation):
            note = annotation["hoi_annotation"][position]
            label = note["hoi_category_id"] - 1
            if counts.get(label, 0) >= per_interaction:
                continue
            counts[label] = counts.get(label, 0) + 1
            boxes = annotation["annotations"]
            human, thing = boxes[note["subject_id"]]["bbox"], boxes[note["object_id"]]["bbox"]
            picture = shards.picture(index)
            unions.append(clip_pixels(union_crop(picture, human, thing), size))
            alone.append(clip_pixels(square_crop(picture, thing), size))
            labels.append(label)
    embed = [
        torch.cat([model.clip.image_tokens(torch.stack(c[i : i + 128])).embedding for i in range(0, len(c), 128)])
        for c in (unions, alone)
    ]
    verbs = verb_classifier(embed[0], embed[1], torch.tensor(labels), vocabulary)
    return Classifier(text, verbs, table, model.config.verb_weight)


@torch.no_grad()
def _fix_object_classifier(model: HoiClip, vocabulary: Vocabulary) -> None:
    """Set the object classifier to the text embeddings of the object prompts; only its bias stays trainable."""
    texts = [thing.prompt for thing in vocabulary.objects] + [vocabulary.no_object_prompt]
    model.object_head.classifier.weight.copy_(encode_texts(model, texts))
    model.object_head.classifier.bias.zero_()
    model.object_head.classifier.weight.requires_grad_(False)


def _warm_up(
    model: HoiClip,
    seen: list[int],
    recipe: WorldRecipe,
    shards: Shards,
    vocabulary: Vocabulary,
    directory: Path,
    report: Report,
) -> None:
    """Train backbone and encoder densely: first on smaller frames, which is twice as fast, then at full size."""
    head = DenseHead(model.config.d_model, len(vocabulary.objects) + 1, len(seen))
    trained = nn.ModuleDict(
        {"backbone": model.backbone, "input_proj": model.input_proj, "encoder": model.encoder, "head": head}
    )
    targets = Targets(vocabulary, seen)
    model.train()
    model.backbone.to(memory_format=torch.channels_last)
    groups: list[dict[str, Any]] = [{"params": list(trained.parameters())}]
    for name, settings, scale, seed in (
        ("coarse", recipe.coarse, recipe.coarse_scale, 1),
        ("fine", recipe.fine, 1.0, 2),
    ):
        order = Order(len(shards.annotations), recipe.batch_size, recipe.seed + seed)

        def loss(batch: FrameBatch, scale: float = scale) -> dict[str, Tensor]:
            image, _ = model.prepare(batch.frames)
            if scale != 1.0:
                image = F.interpolate(image, scale_factor=scale, mode="bilinear", antialias=True)
            memory, grid = memory_of(model, image.contiguous(memory_format=torch.channels_last))
            return dense_loss(head, memory, grid, batch.boxes, batch.labels, batch.pairs)

        def batch_of(step: int, order: Order = order) -> FrameBatch:
            return frame_batch(shards, targets, order, step)

        run_stage(name, trained, groups, settings, batch_of, loss, directory, report)


class CachedBatch(NamedTuple):
    """What the decoders read, computed once by the frozen encoder and CLIP."""

    memory: Tensor  # [B, h*w, d_model]
    clip_tokens: Tensor  # [B, 1 + patches, V]
    pairs: list[PairTargets]


def pair_losses(model: HoiClip, classifier: Classifier, memory: Tensor, grid: tuple[int, int], clip_tokens: Tensor,
                pairs: list[PairTargets], seen: Tensor, recipe: WorldRecipe) -> dict[str, Tensor]:  # fmt: skip
    """Return HOICLIP's losses on every decoder layer for memory [B, h*w, d_model] and CLIP tokens [B, 1 + patches, V].

    Unseen interactions are left out: their absence from training says nothing about them.
    """
    mask = torch.zeros(1, *grid, dtype=torch.bool)
    position = sine_position(mask, model.config.d_model).to(memory.dtype)
    instances = model.instance_decoder(model.queries(len(memory)), memory, position, None)
    interactions = model.interaction_decoder(instances.humans[-1], instances.objects[-1], clip_tokens, memory)
    blank = clip_tokens.new_ones(len(memory), model.config.clip.embed_dim)
    features = Features(memory, memory, instances.humans, instances.objects, interactions, clip_tokens, blank)
    outputs = model.heads(features, last_only=False)
    logits = classifier(
        outputs.interaction_embeddings.float(), outputs.verb_embeddings.float(), model.logit_scale.exp()
    )[..., seen]
    return all_layers(outputs, logits, pairs, recipe.loss)


def _train_detector(
    model: HoiClip,
    classifier: Classifier,
    seen: list[int],
    recipe: WorldRecipe,
    shards: Shards,
    vocabulary: Vocabulary,
    directory: Path,
    report: Report,
) -> None:
    """Train the decoders on cached memory (five times as fast as end to end), then everything together."""
    columns = torch.tensor(seen)
    targets = Targets(vocabulary, seen)
    model.eval()
    trained = nn.ModuleDict({"model": model, "classifier": classifier})
    frozen = {
        id(p) for part in (model.backbone, model.input_proj, model.encoder, model.clip) for p in part.parameters()
    }
    learning = [p for p in trained.parameters() if p.requires_grad and id(p) not in frozen]
    stride = model.config.stride
    height, width = shards.pixels[0].shape[1:3]
    grid = (-(-height // stride), -(-width // stride))
    done = directory / "queries.pt"
    finished = done.exists() and torch.load(done, weights_only=True)["step"] >= recipe.queries.steps
    count = min(recipe.cached_pictures, len(shards.annotations))
    memory, tokens = (None, None) if finished else _cache(model, shards, count, report)
    order = Order(count, 2 * recipe.batch_size, recipe.seed + 3)

    def cached(step: int) -> CachedBatch:
        indices = order.indices(step)
        assert memory is not None and tokens is not None
        return CachedBatch(
            memory[indices].float(),
            tokens[indices].float(),
            [targets.pairs(shards.annotations[i], False) for i in indices],
        )

    def query_loss(batch: CachedBatch) -> dict[str, Tensor]:
        return pair_losses(model, classifier, batch.memory, grid, batch.clip_tokens, batch.pairs, columns, recipe)

    run_stage("queries", trained, [{"params": learning}], recipe.queries, cached, query_loss, directory, report)
    memory = tokens = None  # free them: a few gigabytes
    whole_order = Order(len(shards.annotations), recipe.batch_size, recipe.seed + 4)

    def whole_loss(batch: FrameBatch) -> dict[str, Tensor]:
        image, crop = model.prepare(batch.frames)
        seen_memory, size = memory_of(model, image.contiguous(memory_format=torch.channels_last))
        with torch.no_grad():
            clip_tokens = model.clip.image_tokens(crop).tokens
        return pair_losses(model, classifier, seen_memory, size, clip_tokens, batch.pairs, columns, recipe)

    backbone = [p for p in model.backbone.parameters() if p.requires_grad]
    known = {id(p) for p in backbone}
    others = [p for p in trained.parameters() if p.requires_grad and id(p) not in known]
    groups: list[dict[str, Any]] = [{"params": others}, {"params": backbone, "lr": recipe.backbone_lr}]
    run_stage(
        "whole",
        trained,
        groups,
        recipe.whole,
        lambda step: frame_batch(shards, targets, whole_order, step),
        whole_loss,
        directory,
        report,
    )


@torch.no_grad()
def _cache(model: HoiClip, shards: Shards, count: int, report: Report) -> tuple[Tensor, Tensor]:
    """Return memory [N, h*w, d_model] and CLIP tokens [N, 1 + patches, V] of the first pictures, in half precision."""
    memories, tokens = [], []
    for start in range(0, count, 32):
        frames = torch.from_numpy(np.stack([shards.picture(i) for i in range(start, min(start + 32, count))]))
        image, crop = model.prepare(frames)
        with torch.autocast("cpu", torch.bfloat16):
            memory, _ = memory_of(model, image.contiguous(memory_format=torch.channels_last))
            memories.append(memory.bfloat16())
            tokens.append(model.clip.image_tokens(crop).tokens.bfloat16())
        if start % 3200 == 0:
            report("cache", start, count, {})
    return torch.cat(memories), torch.cat(tokens)
