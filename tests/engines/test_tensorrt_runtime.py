"""Plans run in the right order on simulated streams, and what does not fit is refused; no GPU is needed."""

from __future__ import annotations

import importlib.util
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines import cuda_device, tensorrt_engine
from engines.cuda_device import CudaDevice
from engines.errors import EngineError, EngineUnavailableError
from engines.registry import open_engine
from engines.tensorrt_api import Flavour
from engines.tensorrt_engine import TensorRtEngine, output_shapes
from engines.tensorrt_kernels import KernelCache
from engines.tensorrt_runtime import PlanRunner
from hoiclip.config import tiny
from hoiclip.errors import InputError
from hoiclip.types import Canvas, Outputs
from tests.support import simulated_tensorrt
from tests.support.checked_tensorrt import CheckedModule
from tests.support.simulated_cuda import SimulatedCuda
from tests.support.simulated_tensorrt import SimulatedTensorRt

CANVAS = Canvas(4, 6)
CONFIG = tiny(5, 7, 3)
SHAPES = output_shapes(CONFIG)
ORDERS = list(itertools.permutations(range(3)))
BOTH = pytest.mark.parametrize("flavour", ["tensorrt", "tensorrt-rtx"])


class Machine:
    """A simulated GPU with both flavours of TensorRT, put in place of the real bindings."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cuda = SimulatedCuda()
        self.modules: dict[str, tuple[CheckedModule, SimulatedTensorRt]] = {
            flavour: simulated_tensorrt.module(flavour, self.cuda, SHAPES) for flavour in ("tensorrt", "tensorrt-rtx")
        }
        monkeypatch.setattr(cuda_device, "bindings", lambda: self.cuda)
        monkeypatch.setattr(tensorrt_engine, "bindings", lambda flavour: self.modules[flavour][0])

    def runner(self, flavour: Flavour, **options: Any) -> tuple[PlanRunner, SimulatedTensorRt]:
        module, simulated = self.modules[flavour]
        settings: dict[str, Any] = {"max_batch": 4, "device": CudaDevice(), **options}
        return PlanRunner(module, flavour, b"plan", CANVAS, output_shapes=SHAPES, **settings), simulated


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    for name in ("cuda.bindings.runtime", "tensorrt_rtx_bindings"):
        pytest.importorskip(name)
    return Machine(monkeypatch)


def batch(seed: int, count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 6, 3), np.uint8)


def same(outputs: Outputs[NDArray[np.float32]], frames: NDArray[np.uint8]) -> bool:
    expected = simulated_tensorrt.answer(frames, SHAPES)
    return all(np.array_equal(a, b) for a, b in zip(outputs, expected, strict=True))


@BOTH
@pytest.mark.parametrize("order", ORDERS)
def test_two_batches_under_way_keep_their_numbers_in_any_order_of_streams(
    flavour: Flavour, order: tuple[int, ...], machine: Machine
) -> None:
    machine.cuda.order = order
    run, _ = machine.runner(flavour)
    batches = [batch(seed, count) for seed, count in enumerate((1, 4, 2, 3, 1, 1, 4, 4, 2))]
    run.submit(batches[0].copy())
    for index, following in enumerate(batches[1:]):
        given = following.copy()
        run.submit(given)
        given[:] = 0  # the caller may reuse its memory at once
        assert same(run.collect(), batches[index]), f"batch {index}"
    assert same(run.collect(), batches[-1])


@BOTH
def test_each_slot_and_batch_size_has_one_context_with_the_profile_made_for_it(
    flavour: Flavour, machine: Machine
) -> None:
    run, trt = machine.runner(flavour)
    for seed, count in enumerate((1, 1, 1, 4, 4, 3)):
        run.submit(batch(seed, count))
        assert same(run.collect(), batch(seed, count))
    contexts = trt.engine.contexts
    assert [(context.batch, context.profile) for context in contexts] == [(1, 0), (1, 0), (4, 1), (4, 1), (3, 1)]
    assert len({context.addresses["frames"] for context in contexts}) == 2
    strategy = trt.real.ExecutionContextAllocationStrategy.USER_MANAGED
    captures = machine.cuda.calls.count("cudaGraphInstantiate")
    if flavour == "tensorrt":  # run once before the capture, once in it; then the graph is replayed
        assert captures == 5 and [context.runs for context in contexts] == [2] * 5
        assert {context.config for context in contexts} == {strategy}
    else:  # captures by itself
        assert captures == 0 and [context.runs for context in contexts] == [3, 2, 2, 2, 2]
        assert {c.config.cuda_graph_strategy for c in contexts} == {trt.real.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE}
        assert {c.config.allocation for c in contexts} == {strategy}


def test_compiled_kernels_are_shared_kept_and_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, machine: Machine
) -> None:
    path = tmp_path / "kernels.cache"

    def run_once() -> list[Any]:
        run, trt = machine.runner("tensorrt-rtx", kernels=KernelCache(path))
        first = len(trt.engine.contexts)
        for count in (1, 2):
            run.submit(batch(0, count))
            run.collect()
        run.close()
        return [context.config.cache for context in trt.engine.contexts[first:]]

    used = run_once()
    assert len(used) == 2 and used[0] is used[1]
    assert path.read_bytes() == b"kernels of today"
    path.write_bytes(b"kernels of yesterday")
    assert run_once()[0].content == b"kernels of yesterday"
    assert path.read_bytes() == b"kernels of yesterday"
    path.write_bytes(b"of another GPU")
    with caplog.at_level(logging.INFO, "engines.tensorrt_kernels"):
        run_once()
    assert "compiled again" in caplog.text
    assert path.read_bytes() == b"kernels of today"


def test_kernels_that_cannot_be_written_only_cost_the_next_start_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, machine: Machine
) -> None:
    (tmp_path / "file").touch()
    run, _ = machine.runner("tensorrt-rtx", kernels=KernelCache(tmp_path / "file" / "kernels.cache"))
    run.submit(batch(0, 1))
    run.close()
    assert "the next start compiles again" in caplog.text


@pytest.mark.parametrize(
    ("flavour", "change", "reason"),
    [
        ("tensorrt-rtx", {"validity": 5}, "version mismatch, old cuda driver"),
        ("tensorrt-rtx", {"validity": 0}, "no reason is given"),
        ("tensorrt", {"reads": False}, "Serialized 10.3, current 10.9"),
        ("tensorrt", {"tensor": ("frames", (8, 6, 3), "uint8")}, r"frames is \(\(8, 6, 3\).*expected \(\(4, 6, 3\)"),
        ("tensorrt", {"tensor": ("human_boxes", SHAPES["human_boxes"], "float16")}, "human_boxes is .*HALF"),
        ("tensorrt", {"tensor": ("mask", (), "bool")}, "it has .*'mask'"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_with_the_reason(
    flavour: Flavour, change: dict[str, Any], reason: str, machine: Machine
) -> None:
    trt = machine.modules[flavour][1]
    trt.reads = change.get("reads", True)
    if "validity" in change:
        trt.validity = (trt.real.EngineValidity.INVALID, change["validity"])
    if "tensor" in change:
        name, shape, kind = change["tensor"]
        trt.engine.tensors[name] = ((-1, *shape), getattr(trt.real, kind))
    with pytest.raises(EngineUnavailableError, match=f"{flavour}: refuses this plan: .*{reason}.*engine prune"):
        machine.runner(flavour)


def test_a_plan_that_could_be_faster_runs_with_a_warning(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    trt = machine.modules["tensorrt-rtx"][1]
    trt.validity = (trt.real.EngineValidity.SUBOPTIMAL, 4)
    machine.runner("tensorrt-rtx")
    assert "slower than it could (old cuda driver)" in caplog.text


def test_a_plan_for_smaller_batches_is_refused(machine: Machine) -> None:
    with pytest.raises(EngineError, match="no profile for batch 5"):
        machine.runner("tensorrt", max_batch=5)


def test_a_failed_run_is_an_error(machine: Machine) -> None:
    run, trt = machine.runner("tensorrt")
    trt.engine.fails = True
    with pytest.raises(EngineError, match="tensorrt: cannot run batch 1: TensorRT gave no reason"):
        run.submit(batch(0, 1))


def test_tensorrt_rtx_itself_says_why_it_refuses(machine: Machine) -> None:
    import tensorrt_rtx_bindings as trt

    with pytest.raises(EngineUnavailableError, match=r"refuses this plan: .*malformed engine"):
        PlanRunner(trt, "tensorrt-rtx", b"x" * 1000, CANVAS, 4, SHAPES, CudaDevice())


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, machine: Machine) -> Iterator[Any]:
    plan = tmp_path / "model.plan"
    plan.write_bytes(b"plan")
    monkeypatch.setattr(
        tensorrt_engine,
        "plan_for",
        lambda *_, gpu, **__: SimpleNamespace(path=plan, facts={"gpu": gpu}, record={"sha256": "1"}),
    )
    yield SimpleNamespace(config=CONFIG)
    assert machine.cuda.living() == []


@BOTH
def test_the_engine_keeps_two_batches_in_flight_and_refuses_other_frames(flavour: Flavour, loaded: Any) -> None:
    with open_engine(flavour, loaded, CANVAS, max_batch=4) as engine:
        assert isinstance(engine, TensorRtEngine)
        assert engine.name == f"{flavour}-cuda-fp16" and engine.max_in_flight == 2
        assert same(engine.infer(batch(9, 2)), batch(9, 2))
        batches = [batch(seed, 1 + seed % 4) for seed in range(7)]
        engine.submit(batches[0])
        for expected, following in itertools.pairwise(batches):
            engine.submit(following)
            with pytest.raises(EngineError, match="in flight: 2, the most it takes"):
                engine.submit(following)
            assert same(engine.collect(), expected)
        with pytest.raises(InputError, match="expected uint8 frames"):
            engine.submit(np.zeros((1, 5, 6, 3), np.uint8))
        with pytest.raises(EngineError, match="collect them before `infer`"):
            engine.infer(batch(0, 1))
        assert same(engine.collect(), batches[-1])
        assert same(engine.infer(batch(7, 3)), batch(7, 3))
        with pytest.raises(InputError, match="expected 1 to 4 frames, got 5"):
            engine.infer(batch(0, 5))
    engine.close()
    with pytest.raises(EngineError, match="the engine is closed"):
        engine.infer(batch(0, 1))


@BOTH
def test_closing_with_batches_in_flight_frees_everything_in_order(
    flavour: Flavour, loaded: Any, machine: Machine
) -> None:
    engine = open_engine(flavour, loaded, CANVAS, max_batch=4)
    engine.submit(batch(0, 1))
    engine.submit(batch(1, 4))
    before = len(machine.cuda.calls)
    engine.close()
    calls = [name for name, _ in itertools.groupby(machine.cuda.calls[before:])]
    graphs = ["cudaGraphExecDestroy"] if flavour == "tensorrt" else []
    assert calls[: 2 + len(graphs)] == ["cudaEventSynchronize", *graphs, "cudaDeviceSynchronize"]
    assert set(calls[2 + len(graphs) :]) == {"cudaFree", "cudaFreeHost", "cudaEventDestroy", "cudaStreamDestroy"}
    done = len(machine.cuda.calls)
    engine.close()
    assert len(machine.cuda.calls) == done, "nothing is freed twice"


def test_a_plan_that_is_refused_leaves_nothing_on_the_gpu(loaded: Any, machine: Machine) -> None:
    machine.modules["tensorrt"][1].reads = False
    with pytest.raises(EngineUnavailableError, match="refuses this plan"):
        open_engine("tensorrt", loaded, CANVAS)
    assert machine.cuda.living() == []


@pytest.mark.parametrize(
    "name",
    [
        "cudaGetDeviceProperties",
        "cudaStreamCreateWithFlags",
        "cudaHostAlloc",
        "cudaMalloc",
        "cudaEventCreateWithFlags",
        "cudaMemcpyAsync",
        "cudaEventRecord",
        "cudaStreamWaitEvent",
        "cudaStreamSynchronize",
        "cudaStreamBeginCapture",
        "cudaStreamEndCapture",
        "cudaGraphInstantiate",
        "cudaGraphLaunch",
        "cudaEventSynchronize",
    ],
)
def test_whatever_cuda_refuses_is_an_error_with_its_name_and_text(name: str, loaded: Any, machine: Machine) -> None:
    machine.cuda.fails[name] = machine.cuda.cudaError_t.cudaErrorIllegalAddress

    def use() -> None:
        with open_engine("tensorrt", loaded, CANVAS, max_batch=4) as engine:
            engine.infer(batch(0, 1))

    with pytest.raises(EngineError, match=rf"CUDA: {name} failed: cudaErrorIllegalAddress \(an illegal memory access"):
        use()
    assert machine.cuda.calls.count(name) > 0
    assert machine.cuda.living() == []


@pytest.mark.parametrize(
    "name",
    [
        "cudaDeviceSynchronize",
        "cudaGraphExecDestroy",
        "cudaFree",
        "cudaFreeHost",
        "cudaEventDestroy",
        "cudaStreamDestroy",
    ],
)
def test_what_cannot_be_freed_is_an_error_and_hinders_nothing_else(name: str, loaded: Any, machine: Machine) -> None:
    machine.cuda.fails[name] = machine.cuda.cudaError_t.cudaErrorUnknown
    engine = open_engine("tensorrt", loaded, CANVAS, max_batch=4)
    engine.infer(batch(0, 1))
    with pytest.raises(EngineError, match=f"CUDA: {name} failed: cudaErrorUnknown"):
        engine.close()
    kinds = {"cudaGraphExecDestroy": "cudaGraphExec_t", "cudaFree": "cudaMalloc", "cudaFreeHost": "cudaHostAlloc"}
    kinds |= {"cudaEventDestroy": "cudaEvent_t", "cudaStreamDestroy": "cudaStream_t"}
    assert set(machine.cuda.living()) == ({kinds[name]} if name in kinds else set())
    engine.close()
    machine.cuda.live.clear()


def test_every_cuda_function_that_is_used_is_made_to_fail_above(loaded: Any, machine: Machine) -> None:
    with open_engine("tensorrt", loaded, CANVAS, max_batch=4) as engine:
        engine.infer(batch(0, 1))
    fails = [
        mark.args[1]
        for test in (
            test_whatever_cuda_refuses_is_an_error_with_its_name_and_text,
            test_what_cannot_be_freed_is_an_error_and_hinders_nothing_else,
        )
        for mark in test.pytestmark
    ]  # type: ignore[attr-defined]
    known = {name for names in fails for name in names} | {"cudaGetDeviceCount", "cudaGraphDestroy"}  # tested elsewhere
    assert set(machine.cuda.calls) == known


@pytest.mark.skipif(importlib.util.find_spec("cuda") is None, reason="cuda-python is not installed")
def test_without_a_gpu_the_engine_says_what_can_be_done() -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    if SimulatedCuda().driver_loaded:
        pytest.skip("this machine has a GPU")
    anything: Any = None
    with pytest.raises(EngineUnavailableError, match=r"no usable NVIDIA GPU.*--compute-capability 8\.9"):
        open_engine("tensorrt-rtx", anything, CANVAS)
