"""The GPU benchmark says plainly that it needs a GPU, and its arithmetic is right without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import gpu, gpu_pipeline
from benchmarks.gpu_limits import Limits
from engines.cuda_device import Gpu
from engines.errors import EngineUnavailableError
from engines.loading import load_model
from engines.null_engine import NullEngine
from hoiclip.loaded import LoadedModel
from hoiclip.shipped import shipped, shipped_model
from hoiclip.types import Canvas, Engine

CANVAS = Canvas(64, 112)
LIMITS = Limits({"fp16": 100.0, "tf32": 50.0, "fp32": 10.0}, upload_gb_per_s=10.0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_one_line_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([]) == 1
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1 and "no usable NVIDIA GPU" in error


def test_the_roofline_is_arithmetic_or_upload_whichever_is_slower() -> None:
    assert LIMITS.frames_per_s(200e9, Canvas(1000, 1000), "fp16") == pytest.approx(500.0)
    assert LIMITS.frames_per_s(200e9, Canvas(1000, 1000), "fp32") == pytest.approx(50.0)
    assert LIMITS.frames_per_s(1e9, Canvas(1000, 1000), "fp16") == pytest.approx(10e9 / 3e6)


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch, tiny_model_path: Path) -> Path:
    """A GPU of which only one engine works."""

    def open_on_gpu(name: str, loaded: LoadedModel, canvas: Canvas, max_batch: int) -> Engine:
        if not name.startswith("torch"):
            raise EngineUnavailableError(f"{name}: its libraries\ndo not load")
        return NullEngine(loaded.config, canvas, max_batch)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu, "find_gpu", lambda: Gpu("NVIDIA L40S (simulated)", "8.9"))
    monkeypatch.setattr(gpu, "production", lambda report, engine, clip: None)
    monkeypatch.setattr(gpu, "open_on_gpu", open_on_gpu)
    monkeypatch.setattr(gpu, "gpu", lambda: {"gpu": "NVIDIA L40S (simulated)"})
    monkeypatch.setattr(gpu, "measure_limits", lambda: LIMITS)
    return tiny_model_path


def test_every_engine_is_measured_or_named_with_the_reason(
    simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "parity", lambda name: {"engine": name, "top_agreement": 0.99})
    arguments = ["--model", str(simulated), "--canvases", str(CANVAS), "--batches", "1", "2", "--seconds", "0"]
    assert gpu.main([*arguments, "--engines", "torch:fp16", "tensorrt:fp16", "--out", str(tmp_path)]) == 1
    report: dict[str, Any] = json.loads((tmp_path / "gpu-nvidia-l40s-simulated.json").read_text())
    assert report["not_run"] == {"tensorrt:fp16": "tensorrt:fp16: its libraries do not load"}
    assert [(row["engine"], row["batch"]) for row in report["results"]] == [("torch:fp16", 1), ("torch:fp16", 2)]
    for row in report["results"]:
        assert row["total_ms"] >= row["engine_ms"] > 0
        assert row["frames_per_s"] == pytest.approx(1000 * row["batch"] / row["total_ms"])
        assert row["of_roofline"] == pytest.approx(row["frames_per_s"] / row["roofline_frames_per_s"])
    assert report["command"].startswith("python -m benchmarks.gpu --model ") and report["machine"]["date"]


def test_an_engine_with_wrong_numbers_is_not_timed(simulated: Path, tmp_path: Path) -> None:
    assert gpu.main(["--model", str(simulated), "--engines", "torch:fp16", "--out", str(tmp_path)]) == 1
    report = json.loads(next(tmp_path.glob("gpu-*.json")).read_text())
    assert report["results"] == [] and "parity: worst error" in report["not_run"]["torch:fp16"]


def test_frames_of_the_clip_differ() -> None:
    frames = gpu.clip_frames(CANVAS, 3)
    assert frames.shape == (3, 64, 112, 3) and frames.dtype == np.uint8
    assert not np.array_equal(frames[0], frames[2])


def report(**changes: Any) -> dict[str, Any]:
    row = {"engine": "tensorrt:fp16", "canvas": "750x1333", "batch": 8, "frames_per_s": 700.0, "of_roofline": 0.6}
    found: dict[str, Any] = {
        "parity": {"tensorrt:fp16": {"top_agreement": 0.985}},
        "not_run": {},
        "results": [row, {**row, "engine": "onnxruntime:tf32", "of_roofline": 0.7}],
        "pipeline": {"frames_per_s": 650.0, "sources": 8, "of_engine": 0.95},
        "streams": {"fps": 5.0, "streams": 90},
        "decoding": {"software": 400.0, "nvdec": None, "nvdec_not_run": "no decoder"},
    }
    return found | changes


def test_the_verdict_names_everything_and_is_good_only_when_all_is() -> None:
    lines = gpu.verdict(report())
    assert [good for _, good in lines] == [True] * 6 and lines[-1][0] == "VERDICT: as it should be"
    text = "\n".join(line for line, _ in lines)
    assert "98.5%" in text and "70% of the roofline" in text and "90" in text and "NVDEC not run: no decoder" in text
    assert gpu.fastest(report()) == "tensorrt:fp16", "the pipeline runs ONNX Runtime on CPUs only"


@pytest.mark.parametrize(
    "change",
    [
        {"not_run": {"tensorrt-rtx:fp16": "its libraries do not load"}},
        {"pipeline": {"frames_per_s": 300.0, "sources": 8, "of_engine": 0.5}},
        {"streams": {"fps": 5.0, "streams": 0}},
        {"results": []},
    ],
)
def test_whatever_falls_short_makes_the_verdict_bad(change: dict[str, Any]) -> None:
    lines = gpu.verdict(report(**change))
    assert not lines[-1][1] and lines[-1][0].startswith("VERDICT: ")


def test_the_pipeline_is_measured_with_any_engine() -> None:
    loaded = load_model(shipped_model())
    found = gpu_pipeline.pipeline_speed("null", loaded, CANVAS, shipped("assets/demo.mp4"), copies=1)
    assert found["frames_per_s"] > 0 and found["of_engine"] == found["frames_per_s"] / found["engine_alone"]


def test_decoding_is_measured_with_and_without_the_gpus_decoder() -> None:
    found = gpu_pipeline.decoding(shipped("assets/demo.mp4"), CANVAS, seconds=0.1)
    assert found["software"] > 0
    assert (found["nvdec"] is None) == ("nvdec_not_run" in found)
