"""Every runtime this machine can run equals eager torch; what cannot run says so."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from engines.errors import EngineUnavailableError
from engines.loading import load_model
from engines.openvino_int8 import calibrate
from engines.parity import compare
from engines.registry import open_engine
from engines.request import EngineRequest
from engines.torch_engine import TorchEngine
from hoiclip.errors import InputError
from hoiclip.loaded import LoadedModel
from hoiclip.shipped import shipped, shipped_model
from hoiclip.types import Canvas, Engine, Outputs
from hoiclip.weights import torch_model
from stream.recordings.clip_frames import read_spread

pytestmark = pytest.mark.xdist_group("engines")
CANVAS = Canvas(256, 448)  # what the shipped bundle has a graph for
RUNTIMES = ("openvino", "onnxruntime")


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model(shipped_model())


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module")
def frames() -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (4, CANVAS.height, CANVAS.width, 3), np.uint8)


@pytest.fixture(scope="module")
def eager(loaded: LoadedModel, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
    with TorchEngine(EngineRequest(loaded, CANVAS, 4), fold=False) as engine:
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


@pytest.mark.parametrize("precision", ["mixed", "bf16", "int8"])
def test_lower_precision_agrees_on_the_best_pairs(precision: str, loaded: LoadedModel, cache: Path) -> None:
    canvas = loaded.canvases[0]
    frames = read_spread(shipped("assets/demo.mp4"), canvas, 12)
    if precision == "int8":
        with pytest.raises(EngineUnavailableError, match="engine build openvino --precision int8"):
            open_engine("openvino", loaded, canvas, precision="int8", cache_dir=cache)
        calibrate(loaded, canvas, frames, cache)
    with (
        TorchEngine(EngineRequest(loaded, canvas, 1), fold=False) as reference,
        open_engine("openvino", loaded, canvas, precision=precision, cache_dir=cache) as engine,
    ):
        result = compare(reference, engine, frames[::3], loaded.classifier())
        exact = open_engine("openvino", loaded, canvas, cache_dir=cache).infer(frames[:1])
        lower = engine.infer(frames[:1])
    assert result.top_agreement >= {"mixed": 0.97, "bf16": 0.95, "int8": 0.9}[precision]
    assert np.abs(lower.object_logits - exact.object_logits).max() > 1e-3  # it really is another arithmetic


def test_outputs_follow_the_frames(loaded: LoadedModel, cache: Path, frames: NDArray[np.uint8]) -> None:
    with opened("openvino", loaded, cache) as engine:
        first, second = engine.infer(frames[:1]), engine.infer(255 - frames[:1])
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(first, second, strict=True))


@pytest.mark.slow
def test_an_export_is_made_once_and_equals_the_graph_of_the_bundle(loaded: LoadedModel, cache: Path) -> None:
    model = torch_model(loaded)
    path = model.graph(CANVAS, cache)
    before = path.stat().st_mtime_ns
    assert model.graph(CANVAS, cache) == path
    assert path.stat().st_mtime_ns == before
    exported, shipped_graph = (onnx.load(str(each)).graph for each in (path, loaded.graph(CANVAS)))
    assert [node.op_type for node in exported.node] == [node.op_type for node in shipped_graph.node]


@pytest.mark.parametrize("kind", RUNTIMES)
def test_an_unknown_precision_is_refused(kind: str, loaded: LoadedModel, cache: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="fp7"):
        open_engine(kind, loaded, CANVAS, precision="fp7", cache_dir=cache)


def test_wrong_frames_are_refused_before_anything_runs(loaded: LoadedModel, cache: Path) -> None:
    with opened("openvino", loaded, cache) as engine, pytest.raises(InputError, match="expected uint8 frames"):
        engine.infer(np.zeros((1, 64, 64, 3), np.uint8))
