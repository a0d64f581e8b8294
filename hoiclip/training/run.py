"""From a training configuration to a finished model file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hoiclip.classifier import Classifiers
from hoiclip.config import tiny
from hoiclip.training.config import TrainConfig
from hoiclip.training.shards import draw_shards, open_shards
from hoiclip.training.world_recipe import Trained, encode_texts, train_world
from hoiclip.vocabulary import Vocabulary, load_builtin
from hoiclip.weights import save_model

_REPORT_EVERY_S = 15.0


def train_from(config: TrainConfig, out: Path, say: Callable[[str], None]) -> Path:
    """Draw what is missing, train or resume, and return the path of the model; `say` gets progress lines."""
    vocabulary = load_builtin("world")
    data = config.data
    draw_shards(
        data.directory,
        first_seed=data.first_seed,
        count=data.pictures,
        workers=data.workers,
        progress=lambda done, total: say(f"pictures: shard {done} of {total}"),
    )
    shards = open_shards(data.directory, max(1, round(data.pictures * data.share)))
    model_config = tiny(len(vocabulary.objects), len(vocabulary.interactions), len(vocabulary.verbs))
    said = [0.0]

    def report(stage: str, step: int, steps: int, values: dict[str, float]) -> None:
        if time.monotonic() - said[0] >= _REPORT_EVERY_S or step == steps:
            said[0] = time.monotonic()
            say(f"{stage} {step}/{steps} " + " ".join(f"{name} {value:.4g}" for name, value in values.items()))

    trained = train_world(model_config, config.recipe(), shards, vocabulary, out, report)
    card = world_card(config, len(shards.annotations))
    path = out / "model.safetensors"
    save_model(path, trained.model, classifiers_of(trained, vocabulary), card, half=True)
    return path


def classifiers_of(trained: Trained, vocabulary: Vocabulary) -> Classifiers:
    """Return the trained heads as they are stored; unseen interactions get the mean bias of the seen ones."""
    classifier = trained.classifier
    bias = classifier.bias.detach().clone()
    unseen = sorted({index for members in vocabulary.unseen.values() for index in members})
    seen = [index for index in range(len(bias)) if index not in set(unseen)]
    bias[unseen] = bias[seen].mean()
    text = encode_texts(trained.model, [interaction.prompt for interaction in vocabulary.interactions])
    return Classifiers(
        interaction_text=classifier.text.numpy(),
        interaction_bias=bias.numpy(),
        verb_text=classifier.verbs.detach().numpy(),
        verb_to_interaction=classifier.verb_to_interaction.numpy(),
        logit_scale=float(trained.model.logit_scale.detach().exp()),
        verb_weight=classifier.verb_weight,
        text_embedding=text.numpy(),
    )


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
