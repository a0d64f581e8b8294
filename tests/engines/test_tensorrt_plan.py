"""A plan is used only for what it was built for; anything else is built again, with the reason."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engines import tensorrt_plan
from engines.cuda_device import Gpu
from engines.errors import EngineUnavailableError
from engines.tensorrt_plan import ANY_GPU, Plan, plan_for
from hoiclip.types import Canvas

ADA = Gpu("NVIDIA L40S", "8.9")
CANVAS = Canvas(128, 224)


class Builder:
    """Counts builds, and stands in for everything that costs time."""

    def __init__(self, root: Path) -> None:
        self.root, self.version, self.content = root, "10.9.0", b"weights"
        self.calls: list[dict[str, Any]] = []

    def build_plan(self, flavour: str, graph: Path, **options: Any) -> bytes:
        self.calls.append({"flavour": flavour, "graph": graph, **options})
        return f"plan {len(self.calls)}".encode()

    def graph(self, *_: object) -> Path:
        path = self.root / "graph.onnx"
        path.write_bytes(self.content)
        return path

    def bindings(self, _: str) -> Any:
        names = {"SM80": 1, "SM86": 2, "SM89": 3, "CURRENT": 0}
        return SimpleNamespace(__version__=self.version, ComputeCapability=SimpleNamespace(**names))

    def plan(self, flavour: str = "tensorrt", gpu: Gpu | None = ADA, **options: Any) -> Plan:
        loaded: Any = self
        settings: dict[str, Any] = {"max_batch": 8, "precision": "fp16", "cache_dir": self.root, **options}
        kind: Any = flavour
        return plan_for(kind, loaded, CANVAS, gpu=gpu, **settings)


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Builder]:
    made = Builder(tmp_path)
    stand_ins = {"build_plan": made.build_plan, "bindings": made.bindings}
    stand_ins |= {"plain_graph": made.graph, "half_graph": made.graph}
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(tensorrt_plan, name, stand_in)
    yield made


def test_a_plan_is_built_once_and_says_how_it_was_made(builder: Builder) -> None:
    first, second = builder.plan(), builder.plan()
    assert len(builder.calls) == 1
    assert first.path == second.path and first.path.read_bytes() == b"plan 1"
    assert first.record == second.record and first.record["bytes"] == 6
    assert first.facts["gpu"] == "NVIDIA L40S" and first.facts["compute_capability"] == ["8.9"]
    assert first.facts["profile"] == [[1, 1], [2, 4], [5, 8]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": "10.10.0"}, "version is 10.9.0, wanted 10.10.0"),
        ({"content": b"other weights"}, "graph is "),
        ({"gpu": Gpu("NVIDIA RTX 4090", "8.9")}, "gpu is NVIDIA L40S, wanted NVIDIA RTX 4090"),
        ({"gpu": Gpu("NVIDIA L40S", "9.0")}, "compute capability is ['8.9'], wanted ['9.0']"),
        ({"precision": "fp32"}, "precision is fp16, wanted fp32"),
        ({"max_batch": 4}, "profile is [[1, 1], [2, 4], [5, 8]], wanted [[1, 1], [2, 4]]"),
    ],
)
def test_a_stale_or_foreign_plan_is_built_again_with_the_reason(
    builder: Builder, caplog: pytest.LogCaptureFixture, change: dict[str, Any], reason: str
) -> None:
    old = builder.plan()
    options = {key: value for key, value in change.items() if key not in ("version", "content")}
    for key in ("version", "content"):
        setattr(builder, key, change.get(key, getattr(builder, key)))
    with caplog.at_level(logging.INFO, "engines.tensorrt_plan"):
        new = builder.plan(**options)
    assert len(builder.calls) == 2 and new.path != old.path
    assert reason in caplog.text


def test_a_damaged_plan_is_built_again(builder: Builder, caplog: pytest.LogCaptureFixture) -> None:
    plan = builder.plan()
    plan.path.write_bytes(b"plan X")
    assert builder.plan().path.read_bytes() == b"plan 2"
    assert "damaged" in caplog.text
    (plan.path.parent / "plan.json").write_text("{")
    assert builder.plan().path.read_bytes() == b"plan 3"
    assert "cannot be read" in caplog.text


def test_a_plan_built_ahead_of_time_serves_every_gpu_of_its_capabilities(builder: Builder) -> None:
    ahead = builder.plan("tensorrt-rtx", None, compute_capabilities=["SM89", "8.6"])
    assert ahead.facts["gpu"] == ANY_GPU and ahead.facts["compute_capability"] == ["8.6", "8.9"]
    assert builder.calls[0]["compute_capabilities"] == ["8.6", "8.9"]
    assert builder.plan("tensorrt-rtx", Gpu("NVIDIA RTX 4090", "8.9")).path == ahead.path
    assert builder.plan("tensorrt-rtx", Gpu("NVIDIA A100", "8.0")).path != ahead.path
    assert len(builder.calls) == 2


def test_only_tensorrt_keeps_timings_and_names_them_by_version_and_gpu(builder: Builder) -> None:
    builder.plan("tensorrt")
    builder.plan("tensorrt-rtx")
    classic, rtx = builder.calls
    assert classic["timing_cache"].name == "tensorrt-10.9.0-NVIDIA-L40S" and classic["compute_capabilities"] == ()
    assert rtx["timing_cache"] is None and rtx["compute_capabilities"] == ["8.9"]


@pytest.mark.parametrize(
    ("flavour", "gpu", "options", "message"),
    [
        ("tensorrt", None, {"compute_capabilities": ["8.9"]}, "use tensorrt-rtx to build ahead of time"),
        ("tensorrt-rtx", Gpu("NVIDIA H200", "9.0"), {}, "does not build for compute capability 9.0; it knows 8.0, 8.6"),
        ("tensorrt-rtx", None, {"compute_capabilities": ["SM90"]}, "compute capability SM90"),
        ("tensorrt", ADA, {"precision": "bf16"}, "precision 'bf16' is not one of fp16, fp32"),
    ],
)
def test_what_cannot_be_built_is_refused(
    builder: Builder, flavour: str, gpu: Gpu | None, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(EngineUnavailableError, match=message):
        builder.plan(flavour, gpu, **options)
    assert not builder.calls


def test_a_cached_plan_is_listed_with_its_facts(builder: Builder) -> None:
    plan = builder.plan()
    stored = json.loads((plan.path.parent / "facts.json").read_text())
    assert stored == plan.facts
    assert sorted(path.name for path in plan.path.parent.iterdir()) == ["facts.json", "model.plan", "plan.json"]
