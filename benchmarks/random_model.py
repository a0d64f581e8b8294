"""A small model with random weights, for measuring and testing what does not depend on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hoiclip.classifier import TrainedHeads
from hoiclip.config import tiny
from hoiclip.model import HoiClip
from hoiclip.vocabulary import load_builtin
from hoiclip.weights import save_model


def write_random_tiny(path: Path) -> Path:
    """Write a converted model of the demonstration layout to `path`; the same weights each time."""
    torch.manual_seed(3)
    vocabulary = load_builtin("world")
    config = tiny(len(vocabulary.objects), len(vocabulary.interactions), len(vocabulary.verbs))
    rng = np.random.default_rng(3)

    def unit(rows: int) -> NDArray[np.float32]:
        x = rng.normal(size=(rows, config.clip.embed_dim))
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    table = np.zeros((len(vocabulary.verbs), len(vocabulary.interactions)), np.float32)
    for index, interaction in enumerate(vocabulary.interactions):
        table[interaction.verb, index] = 1.0
    count = len(vocabulary.interactions)
    bias = np.zeros(count, np.float32)
    heads = TrainedHeads(unit(count), bias, unit(len(vocabulary.verbs)), table, 14.3, 0.5, unit(count))
    save_model(path, HoiClip(config).eval(), heads, {"name": "random weights for tests"})
    return path
