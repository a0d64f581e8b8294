"""TensorRT-RTX reads and compiles the exported graph on a machine without a GPU."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from engines.errors import EngineUnavailableError
from engines.export import export
from engines.tensorrt_build import bindings, build_plan
from hoiclip.types import Canvas
from hoiclip.weights import load_model

pytestmark = pytest.mark.xdist_group("engines")
DEMO = Path(__file__).resolve().parents[2] / "models" / "demo"


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("tensorrt_rtx_bindings") is None and not os.environ.get("CI"):
        pytest.skip("tensorrt-rtx is not installed")
    return export(load_model(DEMO), Canvas(128, 224), tmp_path_factory.mktemp("engines"))


def test_a_plan_for_a_named_target_is_built_without_a_gpu(graph: Path) -> None:
    plan = build_plan("tensorrt-rtx", graph, max_batch=4, compute_capabilities=("SM89",))
    assert len(plan) > 2**20


def test_an_unknown_target_is_refused_with_those_known(graph: Path) -> None:
    with pytest.raises(EngineUnavailableError, match=r"SM90.*SM89"):
        build_plan("tensorrt-rtx", graph, max_batch=1, compute_capabilities=("SM90",))


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="tensorrt is installed")
def test_missing_libraries_name_the_install_command() -> None:
    with pytest.raises(EngineUnavailableError, match="pip install"):
        bindings("tensorrt")
