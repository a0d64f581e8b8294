"""From a training configuration to a finished model file."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from hoiclip.classifier import TrainedHeads
from hoiclip.config import hoiclip_r50_hico, hoiclip_r50_vcoco, tiny
from hoiclip.errors import InputError
from hoiclip.model import HoiClip
from hoiclip.training.config import PictureTrainConfig, TrainConfig
from hoiclip.training.distributed import World, joined
from hoiclip.training.heads import stored_heads
from hoiclip.training.picture_training import load_detector, train_pictures
from hoiclip.training.pictures import PictureData
from hoiclip.training.stage import Report
from hoiclip.training.world.recipe import train_world
from hoiclip.training.world.shards import draw_shards, open_shards
from hoiclip.vocabulary import Vocabulary, load_builtin
from hoiclip.weights import load_torch_model, save_model


def train(config: TrainConfig | PictureTrainConfig, out: Path, report: Report) -> Path:
    """Train or resume what a configuration asks for, in one process or as one of torchrun's; return the model's path.

    `report` gets (stage, step, steps, values).
    """
    if isinstance(config, TrainConfig):
        with tensorboard(config.tensorboard, report) as reported:
            return train_from(config, out, reported)
    with joined() as world, tensorboard(config.tensorboard if world.is_first else None, report) as reported:
        return train_on_pictures(config, out, world, reported)


@contextmanager
def tensorboard(folder: Path | None, report: Report) -> Iterator[Report]:
    """Yield a report that also writes every value for TensorBoard. Raises InputError where it is not installed."""
    if folder is None:
        yield report
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError("tensorboard: not installed; pip install 'hoistream[train]', or drop the key") from error

    with SummaryWriter(str(folder)) as writer:

        def both(stage: str, step: int, steps: int, values: dict[str, float]) -> None:
            for name, value in values.items():
                writer.add_scalar(f"{stage}/{name}", value, step)
            report(stage, step, steps, values)

        yield both


def train_on_pictures(config: PictureTrainConfig, out: Path, world: World, report: Report) -> Path:
    """Train HOICLIP end to end on annotated pictures; the first process writes ``model.safetensors``.

    Raises InputError for files that do not fit together.
    """
    vocabulary = load_builtin(config.data.vocabulary)
    held_out = config.data.held_out
    if held_out is not None and held_out not in vocabulary.unseen:
        known = ", ".join(vocabulary.unseen) or "none"
        raise InputError(
            f"data.held_out: no split {held_out!r} in the vocabulary {vocabulary.name!r}; there is {known}"
        )
    torch.manual_seed(config.seed)  # a model built anew is the same in every process and after a kill
    model, heads = _start(config, vocabulary)
    hidden = frozenset(vocabulary.unseen[held_out]) if held_out else frozenset[int]()
    data = PictureData(
        config.data.annotations, config.data.pictures, vocabulary, share=config.data.share, hidden=hidden
    )
    if len(data) < config.batch_size:
        raise InputError(f"{config.data.annotations}: {len(data)} pictures for a batch_size of {config.batch_size}")
    trained = train_pictures(model, data, config.recipe(), world, out, report, heads=heads)
    path = out / "model.safetensors"
    if world.is_first:
        card = {
            "name": f"{model.config.name} trained on {config.data.annotations.name}",
            "vocabulary": vocabulary.name,
            "data": f"{len(data)} pictures",
            "configuration": config.model_dump(mode="json", exclude={"out"}),
            "torch": torch.__version__,
        }
        trained.model.cpu(), trained.heads.cpu()
        save_model(path, trained.model, stored_heads(trained, vocabulary, set(hidden)), card)
    return path


def _start(config: PictureTrainConfig, vocabulary: Vocabulary) -> tuple[HoiClip, TrainedHeads | None]:
    """Return the model to begin with, and its heads if it has learned some."""
    start, heads = config.model, None
    if start.init is not None:
        loaded = load_torch_model(start.init)
        model, heads = loaded.module, loaded.heads
    elif start.layout == "tiny":
        sizes = (len(vocabulary.objects), len(vocabulary.interactions), len(vocabulary.verbs))
        model = HoiClip(replace(tiny(*sizes), vocabulary=vocabulary.name))
    else:
        model = HoiClip(hoiclip_r50_hico() if start.layout == "hoiclip_r50_hico" else hoiclip_r50_vcoco())
    if model.config.vocabulary != vocabulary.name:
        raise InputError(
            f"model: made for the vocabulary {model.config.vocabulary!r}, data.vocabulary is {vocabulary.name!r}"
        )
    if start.clip is not None:
        _load_clip(model, start.clip)
    if start.detector is not None:
        load_detector(model, start.detector)
    return model, heads


def _load_clip(model: HoiClip, path: Path) -> None:
    try:
        weights = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
        model.clip.load_state_dict(weights)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise InputError(f"{path}: not open_clip's state dict of this CLIP: {str(error).splitlines()[0]}") from error


def train_from(config: TrainConfig, out: Path, report: Report) -> Path:
    """Draw what is missing, train the world's model or resume, and return the path of the model."""
    vocabulary = load_builtin("world")
    data = config.data
    for count, clips in ((data.pictures, False), (data.clip_frames, True)):
        draw_shards(
            data.directory,
            first_seed=data.first_seed,
            count=count,
            clips=clips,
            workers=data.workers,
            progress=lambda done, total: report("drawing shards", done, total, {}),
        )
    shards = open_shards(data.directory, share=data.share)
    model_config = tiny(len(vocabulary.objects), len(vocabulary.interactions), len(vocabulary.verbs))
    trained = train_world(model_config, config.recipe(), shards, vocabulary, out, report)
    unseen = {index for members in vocabulary.unseen.values() for index in members}
    path = out / "model.safetensors"
    card = world_card(config, len(shards.annotations))
    save_model(path, trained.model, stored_heads(trained, vocabulary, unseen), card, half=True)
    return path


def world_card(config: TrainConfig, pictures: int) -> dict[str, Any]:
    """Return what the model card says before anything is measured."""
    return {
        "name": "hoistream demonstration model",
        "variant": "tiny",
        "vocabulary": "world",
        "data": f"{pictures} pictures of the procedural world, seeds from {config.data.first_seed}, split train",
        "configuration": config.model_dump(mode="json", exclude={"out"}),
        "torch": torch.__version__,
        "license": "Apache-2.0",
        "not_for": "real cameras: it has only seen drawn people; convert official weights or train on your data",
    }
