"""`auto` takes only what computes rightly on this machine, once compared and then remembered."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines import registry, verified
from engines.base import BaseEngine, QueueingEngine
from engines.errors import EngineError, EngineUnavailableError
from engines.loading import load_model
from engines.registry import Choice, open_engine
from hoiclip.loaded import LoadedModel
from hoiclip.types import Canvas, Engine, Outputs

CANVAS = Canvas(64, 112)


def answer(frames: NDArray[np.uint8], loaded: LoadedModel, error: float = 0.0) -> Outputs[NDArray[np.float32]]:
    """Return outputs that follow the frames, with an error."""
    q, e = loaded.config.num_queries, loaded.config.clip.embed_dim
    light = frames.mean((1, 2, 3), dtype=np.float64)[:, None, None]
    wave = np.sin(light + np.arange(q * e).reshape(q, e)) + error
    rows = (wave / np.linalg.norm(wave, axis=-1, keepdims=True)).astype(np.float32)
    logits = (3 * np.cos(light + np.arange(q * (loaded.config.num_objects + 1)).reshape(q, -1))).astype(np.float32)
    boxes = np.full((len(frames), q, 4), 0.4, np.float32)
    return Outputs(boxes, boxes, logits, rows, rows, rows[:, 0])


class Runtime(BaseEngine):
    def __init__(self, name: str, loaded: LoadedModel, error: float = 0.0) -> None:
        super().__init__(name, CANVAS, 4)
        self.loaded, self.error, self.runs, self.closed = loaded, error, 0, False

    def _run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        self.runs += 1
        return answer(frames, self.loaded, self.error)

    def close(self) -> None:
        self.closed = True


class Gpu(QueueingEngine):
    """Right alone, and wrong by `error` in batches."""

    def __init__(self, name: str, loaded: LoadedModel, error: float) -> None:
        super().__init__(name, CANVAS, 4, 2)
        self.loaded, self.error, self.closed = loaded, error, False
        self.waiting: list[NDArray[np.uint8]] = []

    def _start(self, frames: NDArray[np.uint8]) -> None:
        self.waiting.append(frames)

    def _finish(self) -> Outputs[NDArray[np.float32]]:
        frames = self.waiting.pop(0)
        return answer(frames, self.loaded, self.error if len(frames) > 1 else 0.0)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def loaded(tiny_model_path: Path) -> LoadedModel:
    return load_model(tiny_model_path)


def reference(loaded: LoadedModel) -> Callable[[str], Engine]:
    return lambda kind: Runtime(f"{kind}-cpu-fp32", loaded)


def test_a_right_engine_is_compared_once_and_remembered(loaded: LoadedModel, tmp_path: Path) -> None:
    engine = Runtime("torch-cpu-fp32", loaded)
    assert verified.verify(engine, loaded, reference(loaded), tmp_path).startswith("against openvino-cpu-fp32 100.0%")
    runs = engine.runs
    assert runs >= 3
    assert verified.verify(engine, loaded, reference(loaded), tmp_path).endswith("(compared before)")
    assert engine.runs == runs


@pytest.mark.parametrize("change", ["driver", "build", "packages"])
def test_another_driver_plan_or_version_is_compared_anew(
    change: str, loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine: Any = Runtime("torch-cpu-fp32", loaded)
    verified.verify(engine, loaded, reference(loaded), tmp_path)
    if change == "driver":
        monkeypatch.setattr(verified, "_line", lambda path, start: "580.1")
    elif change == "build":
        engine.build = "another plan"
    else:
        monkeypatch.setattr(verified, "_version", lambda package: "99")
    runs = engine.runs
    assert "compared before" not in verified.verify(engine, loaded, reference(loaded), tmp_path)
    assert engine.runs > runs


@pytest.mark.parametrize("error", [0.5, float("nan")])
def test_a_wrong_engine_is_an_error_each_time(error: float, loaded: LoadedModel, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(EngineError, match=r"torch-cpu-fp32: wrong on this machine: .*allowed are 99% and 0\.005"):
            verified.verify(Runtime("torch-cpu-fp32", loaded, error), loaded, reference(loaded), tmp_path)


def test_an_engine_that_is_wrong_only_in_a_full_batch_is_found(loaded: LoadedModel, tmp_path: Path) -> None:
    assert "100.0%" in verified.verify(
        Gpu("tensorrt-cuda-fp16", loaded, 0.0), loaded, reference(loaded), tmp_path / "a"
    )
    with pytest.raises(EngineError, match="wrong on this machine"):
        verified.verify(Gpu("tensorrt-cuda-fp16", loaded, 0.5), loaded, reference(loaded), tmp_path / "b")


def test_without_another_runtime_only_an_exact_one_for_cpus_passes(
    loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified, "_installed", lambda module: module == "openvino")
    exact = Runtime("openvino-cpu-fp32", loaded)
    assert "the reference itself" in verified.verify(exact, loaded, reference(loaded), tmp_path)
    monkeypatch.setattr(verified, "_installed", lambda module: False)
    with pytest.raises(EngineError, match="nothing to verify it with"):
        verified.verify(Gpu("tensorrt-cuda-fp16", loaded, 0.0), loaded, reference(loaded), tmp_path)


def test_auto_falls_to_the_next_engine_with_the_reason(
    loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wrong, right = Gpu("tensorrt-rtx-cuda-fp16", loaded, 0.5), Runtime("torch-cpu-fp32", loaded)
    order = [Choice("tensorrt", "a GPU"), Choice("tensorrt-rtx", "a GPU"), Choice("torch", "it is left")]

    def unavailable(_: object) -> Engine:
        raise EngineUnavailableError("its libraries\ndo not load")

    monkeypatch.setattr(registry, "candidates", lambda: order)
    monkeypatch.setitem(registry.OPENERS, "tensorrt", unavailable)
    monkeypatch.setitem(registry.OPENERS, "tensorrt-rtx", lambda _: wrong)
    monkeypatch.setitem(registry.OPENERS, "torch", lambda _: right)
    monkeypatch.setitem(registry.OPENERS, "openvino", lambda _: Runtime("openvino-cpu-fp32", loaded))
    with caplog.at_level(logging.INFO, "engines.registry"):
        assert open_engine("auto", loaded, CANVAS, cache_dir=tmp_path) is right
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "engine auto: not tensorrt: its libraries do not load"
    assert lines[1].startswith("engine auto: not tensorrt-rtx: tensorrt-rtx-cuda-fp16: wrong on this machine")
    assert lines[2].startswith("engine auto: torch-cpu-fp32, because it is left; verified: against openvino-cpu-fp32")
    assert wrong.closed and not right.closed
    order[:] = order[:1]
    with pytest.raises(EngineUnavailableError, match="no engine runs here; tensorrt: its libraries do not load"):
        open_engine("auto", loaded, CANVAS, cache_dir=tmp_path)


def test_a_gpu_comes_first_and_the_cpu_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_has", lambda module: True)
    monkeypatch.setattr(registry, "_torch_has_cuda", lambda: True)
    monkeypatch.setattr(registry, "gpu_name", lambda: "NVIDIA L40S")
    kinds = [choice.kind for choice in registry.candidates()]
    assert kinds == ["tensorrt", "tensorrt-rtx", "torch", "openvino", "onnxruntime"]
    monkeypatch.setattr(registry, "gpu_name", lambda: None)
    assert [choice.kind for choice in registry.candidates()] == ["openvino", "onnxruntime", "torch"]


def test_the_pictures_are_the_same_each_time_and_differ_from_each_other() -> None:
    first, second = verified.pictures(CANVAS, 3), verified.pictures(CANVAS, 3)
    assert np.array_equal(first, second) and first.shape == (3, 64, 112, 3)
    assert all(picture.std() > 20 for picture in first) and not np.array_equal(first[0], first[1])
