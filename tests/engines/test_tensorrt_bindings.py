"""What the code asks of TensorRT exists in the real bindings, those of versions that are not installed here as well.

Running is checked wherever `simulated_tensorrt.module` is used, building here. Every use is checked as it happens, so
that a new call is covered by the tests that reach it.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
from pathlib import Path
from typing import Any

import pytest

from engines import tensorrt_build
from engines.errors import EngineError
from engines.loading import load_model
from engines.plain_graph import plain_graph
from engines.tensorrt_api import Flavour, Messages
from engines.tensorrt_build import build_plan
from engines.tensorrt_progress import BuildMonitor, log_phase
from hoiclip.shipped import shipped_model
from hoiclip.types import Canvas
from tests.support.binding_signatures import Bindings, read, stored
from tests.support.checked_tensorrt import Checked, CheckedModule
from tests.support.simulated_cuda import SimulatedCuda, check_call

pytestmark = pytest.mark.xdist_group("engines")


@pytest.fixture(scope="module")
def rtx() -> Any:
    if importlib.util.find_spec("tensorrt_rtx_bindings") is None and not os.environ.get("CI"):
        pytest.skip("tensorrt-rtx is not installed")
    return importlib.import_module("tensorrt_rtx_bindings")


@pytest.fixture(scope="module")
def graph(rtx: Any) -> Path:
    return plain_graph(load_model(shipped_model()), Canvas(256, 448))


def checks_of(flavour: str, rtx: Any) -> list[Bindings]:
    return [read(rtx)] if flavour == "tensorrt-rtx" else stored()


def test_the_versions_of_tensorrt_that_pip_offers_were_read() -> None:
    assert [bindings.version.split(".")[0] for bindings in stored()] == ["10", "11"]


@pytest.mark.parametrize(("flavour", "targets"), [("tensorrt", ()), ("tensorrt-rtx", ("8.9",))])
def test_building_asks_nothing_that_the_bindings_lack(
    flavour: Flavour, targets: tuple[str, ...], rtx: Any, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = CheckedModule(rtx, checks_of(flavour, rtx))  # TensorRT-RTX does the work of both
    monkeypatch.setattr(tensorrt_build, "bindings", lambda flavour: module)
    timing = tmp_path / "timing"
    plan = build_plan(flavour, graph, max_batch=2, compute_capabilities=targets, timing_cache=timing)
    assert len(plan) > graph.with_name("graph.onnx.data").stat().st_size
    assert timing.stat().st_size > 0
    assert {("Builder", "build_serialized_network"), ("ITimingCache", "serialize"), ("ITensor", "shape")} <= module.uses
    broken = tmp_path / "graph.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(EngineError, match="cannot read"):
        build_plan(flavour, broken, max_batch=1, compute_capabilities=targets)
    assert {("OnnxParser", "get_error"), ("ParserError", "desc")} <= module.uses


def test_what_tensorrt_calls_back_has_the_names_and_arguments_that_it_uses(rtx: Any) -> None:
    ours = (Messages(rtx, "tensorrt-rtx").handler, BuildMonitor(log_phase).adapter(rtx))
    for bindings in (read(rtx), *stored()):
        for kind, adapter in zip(("ILogger", "IProgressMonitor"), ours, strict=True):
            overridden = [name for name in vars(type(adapter)) if not name.startswith("_")]
            theirs = [name for name in bindings.classes[kind] if not name.startswith("_")]
            assert sorted(overridden) == sorted(theirs), bindings.version
            for name in overridden:
                parameters = list(inspect.signature(getattr(adapter, name)).parameters)
                example = [rtx.ILogger.Severity.ERROR if p == "severity" else _example(p) for p in parameters]
                bindings.check_call(kind, name, example, {})


def _example(parameter: str) -> Any:
    return 1 if "step" in parameter else "text"


@pytest.fixture
def context(rtx: Any) -> Any:
    class IExecutionContext:
        name = "context"
        active_optimization_profile = 0

        def set_tensor_address(self, name: str, memory: int, more: int = 0) -> Any:
            return name == "frames" or "yes"

        def enqueue(self, stream: int) -> bool:
            return True

    return Checked(IExecutionContext(), "IExecutionContext", [read(rtx), *stored()], set())


def test_a_call_as_the_bindings_take_it_passes(context: Any) -> None:
    assert context.set_tensor_address("frames", 4096) is True
    assert context.set_tensor_address(name="frames", memory=4096) is True
    context.name = "another"
    assert context.name == "another"


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda context: context.set_tensor_address("frames"), "fits none of"),
        (lambda context: context.set_tensor_address("frames", 4096, 1), "fits none of"),
        (lambda context: context.set_tensor_address("frames", "4096"), "fits none of"),
        (lambda context: context.set_tensor_address("frames", address=4096), "fits none of"),
        (lambda context: context.set_tensor_address("boxes", 4096), r"returns \['bool'\], not str"),
        (lambda context: context.enqueue(0), "IExecutionContext has no enqueue"),
        (lambda context: setattr(context, "active_optimization_profile", 1), "cannot be set"),
        (lambda context: setattr(context, "execute_async_v3", 1), "is a method"),
    ],
)
def test_a_call_that_has_drifted_from_the_bindings_is_found(use: Any, message: str, context: Any) -> None:
    with pytest.raises(AssertionError, match=message):
        use(context)


def test_an_enumeration_that_one_version_lacks_is_found(rtx: Any) -> None:
    module = CheckedModule(rtx, stored())
    assert module.MemoryPoolType.WORKSPACE == rtx.MemoryPoolType.WORKSPACE
    with pytest.raises(AssertionError, match=r"there is no CudaGraphStrategy\.WHOLE_GRAPH_CAPTURE"):
        _ = module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("cudaMalloc", (), "missing a required argument: 'size'"),
        ("cudaMalloc", (16, 16), "too many positional arguments"),
        ("cudaMalloc", (1.5,), "`size` is size_t"),
        ("cudaMalloc", (-1,), "`size` is size_t"),
        ("cudaFree", (0,), "`devPtr` is Any"),
        ("cudaEventSynchronize", (7,), "`event` is CUevent or cudaEvent_t"),
        ("cudaMemcpyAsync", (1, 2, 3, 1, 4), "`kind` is cudaMemcpyKind"),
    ],
)
def test_a_call_that_has_drifted_from_cuda_is_found(name: str, arguments: tuple[Any, ...], message: str) -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime")
    with pytest.raises(AssertionError, match=message):
        check_call(runtime, name, arguments)


def test_a_cuda_function_that_is_not_simulated_is_an_error() -> None:
    pytest.importorskip("cuda.bindings.runtime")
    cuda = SimulatedCuda()
    with pytest.raises(AttributeError, match="cudaMemset is not simulated"):
        _ = cuda.cudaMemset
    with pytest.raises(AttributeError, match="cudaMemsetSoon"):
        _ = cuda.cudaMemsetSoon
    assert cuda.cudaStreamNonBlocking == 1 and cuda.calls == []
