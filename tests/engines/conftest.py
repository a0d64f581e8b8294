from __future__ import annotations

import pytest

from benchmarks.full_model import write_parity_model
from engines.loading import load_model
from hoiclip.loaded import LoadedModel


@pytest.fixture(scope="session")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """The published layout with the parity weights; tests that take it share the xdist group "full"."""
    return load_model(write_parity_model(tmp_path_factory.mktemp("full") / "model.safetensors"))
