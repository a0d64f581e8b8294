"""Every runtime of this machine equals eager torch on the published layout, and a batch equals its frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines.registry import open_engine
from engines.request import EngineRequest
from engines.torch_engine import TorchEngine
from hoiclip.loaded import LoadedModel
from hoiclip.parity import steady_arithmetic
from hoiclip.types import Canvas, Outputs

pytestmark = pytest.mark.xdist_group("full")
CANVAS = Canvas(320, 480)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("full_engines")


@pytest.mark.parametrize("kind", ["torch", "openvino", "onnxruntime"])
def test_a_runtime_equals_eager_torch(kind: str, full_size: LoadedModel, cache: Path) -> None:
    steady_arithmetic()
    frames = np.random.default_rng(7).integers(0, 256, (4, CANVAS.height, CANVAS.width, 3), np.uint8)
    with TorchEngine(EngineRequest(full_size, CANVAS, 4), fold=False) as reference:
        expected = reference.infer(frames)
    with open_engine(kind, full_size, CANVAS, max_batch=4, cache_dir=cache) as engine:
        four, one = engine.infer(frames), engine.infer(frames[2:3])
    for name, wanted, batch, single in zip(Outputs._fields, expected, four, one, strict=True):
        np.testing.assert_allclose(batch, wanted, atol=1e-3, rtol=0, err_msg=name)
        np.testing.assert_allclose(single, batch[2:3], atol=5e-4, rtol=0, err_msg=name)
