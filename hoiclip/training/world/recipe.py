"""The demonstration model from scratch: a small CLIP, a detector warm-up, then HOICLIP's own training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hoiclip.config import ModelConfig
from hoiclip.model import Features, HoiClip
from hoiclip.position import sine_position
from hoiclip.training.crops import primary_interactions
from hoiclip.training.data import Order
from hoiclip.training.heads import LearnedHeads, Trained, new_heads
from hoiclip.training.losses import LossWeights
from hoiclip.training.matcher import PairTargets
from hoiclip.training.objective import all_layers
from hoiclip.training.stage import Report, StageSettings, run_stage
from hoiclip.training.verb_rows import Example, verb_rows
from hoiclip.training.world.clip_pretraining import train_clip
from hoiclip.training.world.frames import FrameBatch, FrameTargets, frame_batch
from hoiclip.training.world.shards import Shards
from hoiclip.training.world.warmup import DenseHead, dense_loss, memory_of
from hoiclip.vocabulary import Vocabulary

VERB_EXAMPLES = 150  # an interaction, for the first verb rows


@dataclass(frozen=True)
class WorldRecipe:
    """Sizes of the six stages."""

    words: StageSettings
    clip: StageSettings
    coarse: StageSettings
    fine: StageSettings
    queries: StageSettings
    whole: StageSettings
    seed: int = 1
    clip_batch: int = 64
    cached_pictures: int = 24000
    batch_size: int = 16
    coarse_scale: float = 0.75
    backbone_lr: float = 0.5  # share of the detector's rate
    pasted: float = 0.35  # share of pictures with an object pasted over somebody
    loss: LossWeights = field(default_factory=LossWeights)


def train_world(
    config: ModelConfig, recipe: WorldRecipe, shards: Shards, vocabulary: Vocabulary, directory: Path, report: Report
) -> Trained:
    """Run or resume the six stages; checkpoints go to `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    model = HoiClip(config, frozen_batch_norm=False)
    hidden = set(vocabulary.unseen.get("held_out", ()))
    seen = [k for k in range(len(vocabulary.interactions)) if k not in hidden]
    train_clip(
        model.clip, recipe.words, recipe.clip, recipe.clip_batch, recipe.seed, shards, vocabulary, seen, directory,
        report,
    )  # fmt: skip
    model.clip.requires_grad_(False).eval()
    model.eval()
    rows, _ = verb_rows(model, vocabulary, verb_examples(shards, VERB_EXAMPLES))
    heads = new_heads(model, vocabulary, rows)
    model.object_head.classifier.bias.data.zero_()
    model.object_head.classifier.weight.requires_grad_(False)  # only its bias learns
    _warm_up(model, seen, recipe, shards, vocabulary, directory, report)
    _train_detector(model, heads, seen, recipe, shards, vocabulary, directory, report)
    return Trained(model.eval(), heads.eval())


def verb_examples(shards: Shards, per_interaction: int) -> Iterator[Example]:
    """Yield what people mainly do, at most `per_interaction` times each."""
    counts: dict[int, int] = {}
    for index, annotation in enumerate(shards.annotations):
        boxes = annotation["annotations"]
        for position in primary_interactions(annotation):
            note = annotation["hoi_annotation"][position]
            label = note["hoi_category_id"] - 1
            if counts.get(label, 0) < per_interaction:
                counts[label] = counts.get(label, 0) + 1
                ends = boxes[note["subject_id"]]["bbox"], boxes[note["object_id"]]["bbox"]
                yield Example(shards.picture(index), *ends, label)


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
    targets = FrameTargets(vocabulary, seen)
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
            return frame_batch(shards, targets, order, step, recipe.pasted)

        run_stage(name, trained, groups, settings, batch_of, loss, directory, report)


class CachedBatch(NamedTuple):
    """What the decoders read, computed once by the frozen encoder and CLIP."""

    memory: Tensor  # [B, h*w, d_model]
    clip_tokens: Tensor  # [B, 1 + patches, V]
    pairs: list[PairTargets]


def pair_losses(model: HoiClip, heads: LearnedHeads, memory: Tensor, grid: tuple[int, int], clip_tokens: Tensor,
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
    logits = heads(outputs.interaction_embeddings.float(), outputs.verb_embeddings.float(), model.logit_scale.exp())[
        ..., seen
    ]
    return all_layers(outputs, logits, pairs, recipe.loss)


def _train_detector(
    model: HoiClip,
    heads: LearnedHeads,
    seen: list[int],
    recipe: WorldRecipe,
    shards: Shards,
    vocabulary: Vocabulary,
    directory: Path,
    report: Report,
) -> None:
    """Train the decoders on cached memory (five times as fast as end to end), then everything together."""
    columns = torch.tensor(seen)
    targets = FrameTargets(vocabulary, seen)
    model.eval()
    trained = nn.ModuleDict({"model": model, "classifier": heads})
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
        return pair_losses(model, heads, batch.memory, grid, batch.clip_tokens, batch.pairs, columns, recipe)

    run_stage("queries", trained, [{"params": learning}], recipe.queries, cached, query_loss, directory, report)
    memory = tokens = None  # free them: a few gigabytes
    whole_order = Order(len(shards.annotations), recipe.batch_size, recipe.seed + 4)

    def whole_loss(batch: FrameBatch) -> dict[str, Tensor]:
        image, crop = model.prepare(batch.frames)
        seen_memory, size = memory_of(model, image.contiguous(memory_format=torch.channels_last))
        with torch.no_grad():
            clip_tokens = model.clip.image_tokens(crop).tokens
        return pair_losses(model, heads, seen_memory, size, clip_tokens, batch.pairs, columns, recipe)

    backbone = [p for p in model.backbone.parameters() if p.requires_grad]
    known = {id(p) for p in backbone}
    others = [p for p in trained.parameters() if p.requires_grad and id(p) not in known]
    groups: list[dict[str, Any]] = [{"params": others}, {"params": backbone, "lr": recipe.backbone_lr}]
    run_stage(
        "whole",
        trained,
        groups,
        recipe.whole,
        lambda step: frame_batch(shards, targets, whole_order, step, recipe.pasted),
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
