"""What tests of every package share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

pytest_plugins = ["tests.support.slow_tests"]

# Tests run side by side on few cores: more threads a process only make them wait for each other.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep caches, spools and installed models out of the user's folders."""
    os.environ["HOISTREAM_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    os.environ["HOISTREAM_MODELS"] = str(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def tiny_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted model of the demonstration layout with random weights."""
    from benchmarks.random_model import write_random_tiny

    return write_random_tiny(tmp_path_factory.mktemp("tiny") / "model.safetensors")
