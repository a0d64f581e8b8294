"""Every runtime this machine can run equals eager torch; what cannot run says so."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.errors import EngineUnavailableError
from engines.export import export
from engines.registry import open_engine
from engines.torch_engine import TorchEngine
from hoiclip.errors import InputError
from hoiclip.types import Canvas, Engine, Outputs
from hoiclip.weights import LoadedModel, load_model

pytestmark = pytest.mark.xdist_group("engines")
CANVAS = Canvas(128, 224)
RUNTIMES = ("openvino", "onnxruntime")


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model(Path(__file__).resolve().parents[2] / "models" / "demo")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module")
def frames() -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (4, CANVAS.height, CANVAS.width, 3), np.uint8)


@pytest.fixture(scope="module")
def eager(loaded: LoadedModel, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
    with TorchEngine(loaded.model, CANVAS, 4, fold=False) as engine:
        return engine.infer(frames)


def opened(kind: str, loaded: LoadedModel, cache: Path) -> Engine:
    if importlib.util.find_spec(kind) is None and not os.environ.get("CI"):
        pytest.skip(f"{kind} is not installed")
    return open_engine(kind, loaded, CANVAS, max_batch=4, cache_dir=cache)


@pytest.mark.parametrize("kind", RUNTIMES)
def test_a_runtime_equals_eager_torch_at_batch_1_and_4(
    kind: str,
    loaded: LoadedModel,
    cache: Path,
    frames: NDArray[np.uint8],
    eager: Outputs[NDArray[np.float32]],
) -> None:
    with opened(kind, loaded, cache) as engine:
        four = engine.infer(frames)
        one = [engine.infer(frames[i : i + 1]) for i in range(4)]
    for name, expected, batch, *single in zip(Outputs._fields, eager, four, *one, strict=True):
        np.testing.assert_allclose(batch, expected, atol=1e-3, rtol=0, err_msg=name)
        np.testing.assert_allclose(np.concatenate(single), batch, atol=2e-4, rtol=0, err_msg=name)


def test_outputs_follow_the_frames(loaded: LoadedModel, cache: Path, frames: NDArray[np.uint8]) -> None:
    with opened("openvino", loaded, cache) as engine:
        first, second = engine.infer(frames[:1]), engine.infer(255 - frames[:1])
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(first, second, strict=True))


def test_an_export_is_made_once(loaded: LoadedModel, cache: Path) -> None:
    path = export(loaded, CANVAS, cache)
    before = path.stat().st_mtime_ns
    assert export(loaded, CANVAS, cache) == path
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("kind", RUNTIMES)
def test_an_unknown_precision_is_refused(kind: str, loaded: LoadedModel, cache: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="fp7"):
        open_engine(kind, loaded, CANVAS, precision="fp7", cache_dir=cache)


def test_wrong_frames_are_refused_before_anything_runs(loaded: LoadedModel, cache: Path) -> None:
    with opened("openvino", loaded, cache) as engine, pytest.raises(InputError, match="expected uint8 frames"):
        engine.infer(np.zeros((1, 64, 64, 3), np.uint8))
