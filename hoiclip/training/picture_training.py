"""HOICLIP's own training, end to end on annotated pictures: HICO-DET, V-COCO, or any folder in HICO-DET's form."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from hoiclip.classifier import TrainedHeads
from hoiclip.errors import InputError
from hoiclip.model import HoiClip
from hoiclip.preprocess import inputs_of
from hoiclip.training.augment import Augmentation
from hoiclip.training.data import Order
from hoiclip.training.distributed import World
from hoiclip.training.heads import LearnedHeads, Trained, known_heads, new_heads
from hoiclip.training.losses import LossWeights, Totals
from hoiclip.training.matcher import PairTargets
from hoiclip.training.objective import all_layers
from hoiclip.training.pictures import Annotated, PictureData
from hoiclip.training.stage import Report, StageSettings, checkpoint_of, run_stage
from hoiclip.training.verb_rows import Example, verb_rows
from hoiclip.types import Outputs
from hoiclip.vocabulary import Vocabulary

STAGE = "pictures"  # the checkpoint's name


@dataclass(frozen=True)
class PictureRecipe:
    """How the detector learns; the defaults are the published ones."""

    stage: StageSettings
    seed: int = 1
    batch_size: int = 16  # pictures a step, over all processes
    accumulate: int = 1  # parts a process cuts its share of a step into
    backbone_lr: float = 0.1  # share of the rate
    workers: int = 4  # threads that read and augment
    verb_examples: int = 100  # an interaction, for the first verb rows; 0 starts from small random ones
    held_out: str | None = None  # zero-shot split of the vocabulary whose interactions are never shown
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: LossWeights = field(default_factory=LossWeights)


class Part(NamedTuple):
    """Padded pictures that go through the model together."""

    image: Tensor  # [B, 3, H, W]
    clip_image: Tensor  # [B, 3, S, S]
    mask: Tensor  # [B, H, W], true on padding
    pairs: list[PairTargets]  # boxes relative to the picture without padding, as the position encoding is
    totals: Totals | None = None

    def padded(self, height: int, width: int) -> Part:
        """Return the same with pictures padded to `height` x `width`."""
        extra = (0, width - self.image.shape[3], 0, height - self.image.shape[2])
        return self._replace(image=F.pad(self.image, extra), mask=F.pad(self.mask, extra, value=True))


class Learner(nn.Module):
    """Model and trained heads as one module, so that one wrapper exchanges all gradients."""

    def __init__(self, model: HoiClip, heads: LearnedHeads) -> None:
        super().__init__()
        self.model, self.heads = model, heads

    def forward(self, image: Tensor, clip_image: Tensor, mask: Tensor) -> tuple[Outputs[Tensor], Tensor]:
        """Return the outputs of every layer and the interaction logits [fusion layers, B, Q, K]."""
        outputs = self.model.forward_training(image, clip_image, mask)
        scale = self.model.logit_scale.exp()
        logits = self.heads(outputs.interaction_embeddings.float(), outputs.verb_embeddings.float(), scale)
        return outputs, logits


def load_detector(model: HoiClip, path: Path) -> int:
    """Start from the weights that `hoistream convert --detr` wrote; return how many there are.

    Raises InputError if they do not fit the model.
    """
    weights = load_file(path)
    own = model.state_dict()
    if wrong := [key for key, value in weights.items() if key not in own or own[key].shape != value.shape]:
        raise InputError(f"{path}: {wrong[0]} does not fit the model {model.config.name}; expected DETR-R50 weights")
    model.load_state_dict(weights, strict=False)
    return len(weights)


def train_pictures(
    model: HoiClip,
    data: PictureData,
    recipe: PictureRecipe,
    world: World,
    directory: Path,
    report: Report,
    *,
    heads: TrainedHeads | None = None,
) -> Trained:
    """Train or resume; checkpoints go to `directory`. CLIP, the text rows and the object classifier stay fixed.

    `heads` go on learning from where they are; without them text rows, object classifier and verb rows are made anew.
    Raises InputError if a step has fewer pictures than there are processes.
    """
    if recipe.batch_size < world.size:
        raise InputError(f"batch_size: {recipe.batch_size} pictures for {world.size} processes; give each at least one")
    directory.mkdir(parents=True, exist_ok=True)
    vocabulary = data.vocabulary
    hidden = set(vocabulary.unseen[recipe.held_out]) if recipe.held_out else set()
    seen = torch.tensor([k for k in range(len(vocabulary.interactions)) if k not in hidden])
    model.requires_grad_(True)
    model.clip.requires_grad_(False)
    model.object_head.classifier.weight.requires_grad_(False)
    if heads is None:
        # a checkpoint replaces the verb rows; they cost a pass over the pictures
        examples = 0 if checkpoint_of(STAGE, directory).exists() else recipe.verb_examples
        learned = _first_heads(model, data, examples, hidden, recipe.seed, world.device)
    else:
        learned = known_heads(heads)
    learner = Learner(model, learned).to(world.device)
    wrapped = world.wrap(learner)
    order = Order(len(data), recipe.batch_size, recipe.seed)

    def batch(step: int) -> list[Part]:
        rng = np.random.default_rng((recipe.seed, 5, step))
        seeds = rng.integers(0, 2**63, recipe.batch_size)
        own = list(zip(order.indices(step), seeds.tolist(), strict=True))[world.rank :: world.size]
        with ThreadPoolExecutor(recipe.workers) as pool:
            items = list(pool.map(lambda one: recipe.augmentation(data[one[0]], np.random.default_rng(one[1])), own))
        size = -(-len(items) // recipe.accumulate)
        clip_size = model.config.clip.image_size
        return [collate(items[i : i + size], clip_size, vocabulary, seen) for i in range(0, len(items), size)]

    def split(parts: list[Part]) -> list[list[Part]]:
        counts = [Totals.of(part.pairs, model.config.num_queries) for part in parts]
        totals = Totals(*world.total([sum(values) for values in zip(*counts, strict=True)]))
        # The fusion layers see padding as well, so that parts must be padded like the whole step to give its gradient.
        largest = world.largest([float(max(part.image.shape[axis] for part in parts)) for axis in (2, 3)])
        height, width = (int(side) for side in largest)
        return [[part._replace(totals=totals).padded(height, width)] for part in parts]

    def loss(parts: list[Part]) -> dict[str, Tensor]:
        (part,) = parts
        device = world.device
        outputs, logits = wrapped(part.image.to(device), part.clip_image.to(device), part.mask.to(device))
        pairs = [PairTargets(*(field.to(device) for field in target)) for target in part.pairs]
        return all_layers(outputs, logits[..., seen.to(device)], pairs, recipe.loss, totals=part.totals)

    backbone = [p for p in model.backbone.parameters() if p.requires_grad]
    known = {id(p) for p in backbone}
    others = [p for p in learner.parameters() if p.requires_grad and id(p) not in known]
    groups: list[dict[str, Any]] = [{"params": others}, {"params": backbone, "lr": recipe.backbone_lr}]
    model.train()
    run_stage(STAGE, learner, groups, recipe.stage, batch, loss, directory, report, world=world, split=split)
    return Trained(model.eval(), learned.eval())


def collate(items: list[Annotated], clip_size: int, vocabulary: Vocabulary, seen: Tensor) -> Part:
    """Return the pictures as one padded part with the targets of their pairs."""
    inputs = [inputs_of(item.picture, clip_size) for item in items]
    height, width = (max(one.image.shape[axis] for one in inputs) for axis in (2, 3))
    image = torch.zeros(len(items), 3, height, width)
    mask = torch.ones(len(items), height, width, dtype=torch.bool)
    for row, one in enumerate(inputs):
        h, w = one.image.shape[2:]
        image[row, :, :h, :w], mask[row, :h, :w] = one.image[0], False
    pairs = [_targets(item, vocabulary, seen) for item in items]
    return Part(image, torch.cat([one.clip_image for one in inputs]), mask, pairs)


def _targets(item: Annotated, vocabulary: Vocabulary, seen: Tensor) -> PairTargets:
    """Join the interactions of each (human, object) pair into one row; pairs that show only hidden ones go."""
    shown = set(seen.tolist())
    rows: dict[tuple[int, int], list[int]] = {}
    for human, obj, interaction in item.pairs.tolist():
        if interaction in shown:
            rows.setdefault((human, obj), []).append(interaction)
    size = np.array([item.picture.width, item.picture.height] * 2, np.float32)
    unit = torch.from_numpy(np.concatenate([item.boxes / size, np.zeros((1, 4), np.float32)]))  # the last: no box
    boxes = torch.cat(((unit[:, :2] + unit[:, 2:]) / 2, unit[:, 2:] - unit[:, :2]), dim=1)
    interactions = torch.zeros(len(rows), len(vocabulary.interactions))
    for row, indices in enumerate(rows.values()):
        interactions[row, indices] = 1.0
    return PairTargets(
        boxes[[human for human, _ in rows]].reshape(-1, 4),
        boxes[[obj for _, obj in rows]].reshape(-1, 4),  # an empty role is -1, the box of zeros
        torch.tensor([vocabulary.interactions[each[0]].object for each in rows.values()], dtype=torch.int64),
        interactions[:, seen],
    )


def _first_heads(
    model: HoiClip, data: PictureData, examples: int, hidden: set[int], seed: int, device: torch.device
) -> LearnedHeads:
    """Return the heads before training: text rows, object texts, and verb rows by visual semantic arithmetic."""
    rows, _ = verb_rows(model.to(device), data.vocabulary, _examples(data, examples, hidden))
    unknown = rows.norm(dim=1) == 0
    noise = torch.randn(rows.shape, generator=torch.Generator().manual_seed(seed))
    rows[unknown] = F.normalize(noise, dim=1)[unknown]
    return new_heads(model.cpu(), data.vocabulary, rows)


def _examples(data: PictureData, per_interaction: int, hidden: set[int]) -> Iterator[Example]:
    counts: dict[int, int] = {}
    for index in range(len(data) if per_interaction else 0):
        wanted = [
            (human, obj, k)
            for human, obj, k in data.pairs(index)
            if obj >= 0 and k not in hidden and counts.get(k, 0) < per_interaction
        ]
        if not wanted:
            continue
        item = data[index]
        for human, obj, k in wanted:
            counts[k] = counts.get(k, 0) + 1
            yield Example(np.asarray(item.picture), item.boxes[human], item.boxes[obj], k)
