"""A small model with random weights, built once, and trained heads of any size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hoiclip.classifier import TrainedHeads
from hoiclip.config import tiny
from hoiclip.model import HoiClip
from hoiclip.vocabulary import load_builtin
from hoiclip.weights import TorchModel, load_torch_model, save_model


def random_heads(interactions: int, verbs: int, embed: int, seed: int = 0) -> TrainedHeads:
    """Return trained heads [K, E] and [A, E] of random unit rows; verb k % A belongs to interaction k."""
    rng = np.random.default_rng(seed)

    def rows(count: int) -> np.ndarray:
        values = rng.normal(size=(count, embed)).astype(np.float32)
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    mapping = np.zeros((verbs, interactions), np.float32)
    mapping[np.arange(interactions) % verbs, np.arange(interactions)] = 1
    bias = rng.normal(scale=0.1, size=interactions).astype(np.float32)
    return TrainedHeads(rows(interactions), bias, rows(verbs), mapping, 14.0, 0.5, rows(interactions))


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model of the demonstration model's layout with random weights."""
    torch.manual_seed(0)
    world = load_builtin("world")
    config = tiny(len(world.objects), len(world.interactions), len(world.verbs))
    path = tmp_path_factory.mktemp("tiny") / "model.safetensors"
    heads = random_heads(len(world.interactions), len(world.verbs), config.clip.embed_dim)
    save_model(path, HoiClip(config), heads, {"variant": "tiny, random weights"})
    return path


@pytest.fixture(scope="session")
def tiny_loaded(tiny_path: Path) -> TorchModel:
    """The model of `tiny_path`, loaded."""
    return load_torch_model(tiny_path)


@pytest.fixture(scope="session")
def make_heads() -> Callable[..., TrainedHeads]:
    """Return `random_heads`."""
    return random_heads
