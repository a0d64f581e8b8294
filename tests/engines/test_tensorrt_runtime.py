"""Plans run in the right order on simulated streams, and what does not fit is refused; no GPU is needed."""

from __future__ import annotations

import importlib.util
import itertools
import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines import tensorrt_engine
from engines.cuda_buffers import Gpu
from engines.errors import EngineError, EngineUnavailableError
from engines.registry import open_engine
from engines.tensorrt_api import Flavour
from engines.tensorrt_engine import TensorRtEngine, output_shapes
from engines.tensorrt_runtime import PlanRunner
from hoiclip.config import tiny
from hoiclip.errors import InputError
from hoiclip.types import Canvas, Outputs

CANVAS = Canvas(4, 6)
CONFIG = tiny(5, 7, 3)
SHAPES = output_shapes(CONFIG)
ORDERS = list(itertools.permutations(range(3)))
BOTH = pytest.mark.parametrize("flavour", ["tensorrt", "tensorrt-rtx"])


class SimulatedCuda:
    """Streams whose work is done only when an event is awaited, and then in the order of streams least helpful to us.

    Nothing but events orders work on different streams, so that a missing wait gives wrong numbers.
    """

    def __init__(self, order: tuple[int, ...] = (2, 1, 0), gpu: Gpu | None = None) -> None:
        self.order, self.gpu = order, gpu
        self.streams: list[deque[tuple[str, Any]]] = []
        self.memory: dict[int, Tensor] = {}
        self.captures = 0

    def stream(self) -> int:
        self.streams.append(deque())
        return len(self.streams) - 1

    def event(self) -> SimpleNamespace:
        return SimpleNamespace(recorded=0, done=0)

    def pinned(self, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
        return torch.zeros(shape, dtype=kind)

    def buffer(self, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
        memory = torch.zeros(shape, dtype=kind)
        self.memory[memory.data_ptr()] = memory
        return memory

    def copy(self, target: Tensor, source: Tensor, stream: int) -> None:
        self.streams[stream].append(("run", lambda: target.copy_(source)))

    def record(self, event: SimpleNamespace, stream: int) -> None:
        event.recorded += 1
        generation = event.recorded
        self.streams[stream].append(("run", lambda: setattr(event, "done", generation)))

    def wait(self, stream: int, event: SimpleNamespace) -> None:
        self.streams[stream].append(("wait", (event, event.recorded)))

    def synchronise(self, event: SimpleNamespace) -> None:
        wanted = event.recorded
        while event.done < wanted:
            assert self._step(), "every stream waits: a deadlock"

    def _step(self) -> bool:
        """Run the first piece of work that may run."""
        for queue in (self.streams[index] for index in self.order):
            while queue and queue[0][0] == "wait" and queue[0][1][0].done >= queue[0][1][1]:
                queue.popleft()
            if queue and queue[0][0] == "run":
                queue.popleft()[1]()
                return True
        return False

    def handle(self, stream: int) -> int:
        return 1000 + stream

    def capture(self, launch: Callable[[], None], stream: int) -> Callable[[], None]:
        self.captures += 1
        assert not self.streams[stream], "work before a capture must be over"
        launch()
        graph = list(self.streams[stream])
        self.streams[stream].clear()
        return lambda: self.streams[stream].extend(graph)


def answer(frames: Tensor) -> Outputs[Tensor]:
    """Return what the simulated network computes: numbers that name the frame they belong to."""
    key = frames.float().flatten(1).mean(1)
    return Outputs(
        *(key.view(-1, *[1] * len(shape)) + torch.zeros(shape) + i for i, shape in enumerate(SHAPES.values()))
    )


class Context:
    def __init__(self, engine: Engine, config: Any) -> None:
        self.engine, self.config = engine, config
        self.addresses: dict[str, int] = {}
        self.profile, self.shape, self.runs = -1, (0, 0, 0, 0), 0

    def set_device_memory(self, address: int, size: int) -> None:
        assert self.engine.device.memory[address].numel() == size >= self.engine.device_memory_size_v2

    def set_optimization_profile_async(self, index: int, handle: int) -> bool:
        self.profile = index
        return True

    def set_input_shape(self, name: str, shape: tuple[int, int, int, int]) -> bool:
        assert self.runs == 0, "a context must not change after its first run"
        smallest, _, largest = self.engine.profiles[self.profile]
        self.shape = shape
        return bool(name == "frames" and smallest[0] <= shape[0] <= largest[0])

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert self.runs == 0, "a context must not change after its first run"
        self.addresses[name] = address
        return True

    def infer_shapes(self) -> list[str]:
        return [name for name in ("frames", *SHAPES) if name not in self.addresses]

    def execute_async_v3(self, handle: int) -> bool:
        self.runs += 1
        device, batch = self.engine.device, self.shape[0]
        frames = device.memory[self.addresses["frames"]][:batch]
        outputs = [device.memory[self.addresses[name]][:batch] for name in SHAPES]

        def compute() -> None:
            for memory, value in zip(outputs, answer(frames), strict=True):
                memory.copy_(value)

        device.streams[handle - 1000].append(("run", compute))
        return not self.engine.fails


class Engine:
    device_memory_size_v2 = 512

    def __init__(self, trt: Any, device: SimulatedCuda) -> None:
        self.trt, self.device, self.fails = trt, device, False
        self.tensors = {"frames": ((-1, 4, 6, 3), "uint8"), **{n: ((-1, *s), "float32") for n, s in SHAPES.items()}}
        self.profiles = [[(a, 4, 6, 3), (b, 4, 6, 3), (b, 4, 6, 3)] for a, b in ((1, 1), (2, 4))]
        self.contexts: list[Context] = []

    @property
    def num_optimization_profiles(self) -> int:
        return len(self.profiles)

    @property
    def num_io_tensors(self) -> int:
        return len(self.tensors)

    def get_tensor_profile_shape(self, name: str, index: int) -> list[tuple[int, ...]]:
        assert name == "frames"
        return list(self.profiles[index])

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.tensors[name][0]

    def get_tensor_dtype(self, name: str) -> str:
        return self.tensors[name][1]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == "frames" else "out"

    def create_runtime_config(self) -> Any:
        cache = RuntimeCache(self.trt)
        config = SimpleNamespace(create_runtime_cache=lambda: cache, caches=[])
        config.set_runtime_cache = lambda shared: config.caches.append(shared) or True
        config.set_execution_context_allocation_strategy = lambda value: setattr(config, "allocation", value)
        return config

    def create_execution_context(self, config: Any) -> Context:
        self.contexts.append(Context(self, config))
        return self.contexts[-1]


class RuntimeCache:
    def __init__(self, trt: Any) -> None:
        self.trt, self.content = trt, b""

    def deserialize(self, content: bytes) -> bool:
        if not content.startswith(b"kernels"):
            return False
        self.content = content
        return True

    def serialize(self) -> bytes:
        return self.content or b"kernels of today"


class SimulatedTrt:
    """The names of both bindings that running needs."""

    uint8, float32 = "uint8", "float32"
    TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")
    ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="ours")
    DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER="eager")
    CudaGraphStrategy = SimpleNamespace(WHOLE_GRAPH_CAPTURE="whole")
    EngineValidity = SimpleNamespace(VALID=0, SUBOPTIMAL=1, INVALID=2)
    EngineInvalidityDiagnostics = SimpleNamespace(__members__={"VERSION_MISMATCH": 1, "OLD_CUDA_DRIVER": 4})
    ILogger: Any = type(
        "ILogger",
        (),
        {
            "Severity": SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2, INFO=3, VERBOSE=4),
            "__init__": lambda self: None,
        },
    )

    def __init__(self, device: SimulatedCuda) -> None:
        self.engine = Engine(self, device)
        self.validity: tuple[int, int] = (0, 0)
        self.reads = True

    def Runtime(self, handler: Any) -> Any:  # noqa: N802  # the bindings' name
        def deserialise(plan: bytes) -> Engine | None:
            if self.reads:
                return self.engine
            handler.log(1, "Version tag does not match. Serialized 10.3, current 10.9")
            return None

        return SimpleNamespace(deserialize_cuda_engine=deserialise, get_engine_validity=lambda plan: self.validity)


def runner(flavour: Flavour, device: SimulatedCuda, **options: Any) -> tuple[PlanRunner, SimulatedTrt]:
    trt = options.pop("trt", None) or SimulatedTrt(device)
    return PlanRunner(trt, flavour, b"plan", CANVAS, options.pop("max_batch", 4), SHAPES, device, **options), trt


def batch(seed: int, count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 6, 3), np.uint8)


def same(outputs: Outputs[NDArray[np.float32]], frames: NDArray[np.uint8]) -> bool:
    expected = answer(torch.from_numpy(frames))
    return all(np.array_equal(a, b.numpy()) for a, b in zip(outputs, expected, strict=True))


@BOTH
@pytest.mark.parametrize("order", ORDERS)
def test_two_batches_under_way_keep_their_numbers_in_any_order_of_streams(
    flavour: Flavour, order: tuple[int, ...]
) -> None:
    run, _ = runner(flavour, SimulatedCuda(order))
    batches = [batch(seed, count) for seed, count in enumerate((1, 4, 2, 3, 1, 1, 4, 4, 2))]
    run.submit(batches[0].copy())
    for index, following in enumerate(batches[1:]):
        given = following.copy()
        run.submit(given)
        given[:] = 0  # the caller may reuse its memory at once
        assert run.under_way == 2
        assert same(run.collect(), batches[index]), f"batch {index}"
    assert same(run.collect(), batches[-1])
    assert run.under_way == 0


def test_a_third_batch_and_an_empty_collection_are_refused() -> None:
    run, _ = runner("tensorrt", SimulatedCuda())
    with pytest.raises(EngineError, match="no batch is under way"):
        run.collect()
    run.submit(batch(0, 1))
    run.submit(batch(1, 1))
    with pytest.raises(EngineError, match="2 batches are under way"):
        run.submit(batch(2, 1))
    assert same(run.collect(), batch(0, 1)) and same(run.collect(), batch(1, 1))


@BOTH
def test_each_slot_and_batch_size_has_one_context_with_the_profile_made_for_it(flavour: Flavour) -> None:
    device = SimulatedCuda()
    run, trt = runner(flavour, device)
    for seed, count in enumerate((1, 1, 1, 4, 4, 3)):
        run.submit(batch(seed, count))
        assert same(run.collect(), batch(seed, count))
    contexts = [(context.shape[0], context.profile) for context in trt.engine.contexts]
    assert contexts == [(1, 0), (1, 0), (4, 1), (4, 1), (3, 1)]
    assert len({context.addresses["frames"] for context in trt.engine.contexts}) == 2
    if flavour == "tensorrt":  # run once before the capture, once in it; then the graph is replayed
        assert device.captures == 5 and [context.runs for context in trt.engine.contexts] == [2] * 5
        assert {context.config for context in trt.engine.contexts} == {"ours"}
    else:  # captures by itself
        assert device.captures == 0 and [context.runs for context in trt.engine.contexts] == [3, 2, 2, 2, 2]
        assert {c.config.cuda_graph_strategy for c in trt.engine.contexts} == {"whole"}
        assert {c.config.allocation for c in trt.engine.contexts} == {"ours"}


def test_compiled_kernels_are_shared_kept_and_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "kernels.cache"

    def run_once() -> list[Any]:
        run, trt = runner("tensorrt-rtx", SimulatedCuda(), runtime_cache=path)
        for count in (1, 2):
            run.submit(batch(0, count))
            run.collect()
        run.close()
        return [context.config.caches[0] for context in trt.engine.contexts]

    first = run_once()
    assert len(first) == 2 and first[0] is first[1]
    assert path.read_bytes() == b"kernels of today"
    path.write_bytes(b"kernels of yesterday")
    assert run_once()[0].content == b"kernels of yesterday"
    assert path.read_bytes() == b"kernels of yesterday"
    path.write_bytes(b"of another GPU")
    with caplog.at_level(logging.INFO, "engines.tensorrt_runtime"):
        run_once()
    assert "compiled again" in caplog.text
    assert path.read_bytes() == b"kernels of today"


@pytest.mark.parametrize(
    ("flavour", "change", "reason"),
    [
        ("tensorrt-rtx", {"validity": (2, 5)}, "version mismatch, old cuda driver"),
        ("tensorrt-rtx", {"validity": (2, 0)}, "no reason is given"),
        ("tensorrt", {"reads": False}, "Serialized 10.3, current 10.9"),
        (
            "tensorrt",
            {"tensors": {"frames": ((-1, 8, 6, 3), "uint8")}},
            r"frames is \(\(8, 6, 3\).*expected \(\(4, 6, 3\)",
        ),
        (
            "tensorrt",
            {"tensors": {"human_boxes": ((-1, *SHAPES["human_boxes"]), "float16")}},
            "human_boxes is .*float16",
        ),
        ("tensorrt", {"tensors": {"mask": ((-1,), "bool")}}, "it has .*'mask'"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_with_the_reason(
    flavour: Flavour, change: dict[str, Any], reason: str
) -> None:
    device = SimulatedCuda()
    trt = SimulatedTrt(device)
    trt.engine.tensors |= change.pop("tensors", {})
    for name, value in change.items():
        setattr(trt, name, value)
    with pytest.raises(EngineUnavailableError, match=f"{flavour}: refuses this plan: .*{reason}.*engine prune"):
        runner(flavour, device, trt=trt)


def test_a_plan_for_smaller_batches_is_refused() -> None:
    with pytest.raises(EngineError, match="no profile for batch 5"):
        runner("tensorrt", SimulatedCuda(), max_batch=5)


def test_a_failed_run_is_an_error() -> None:
    run, trt = runner("tensorrt", SimulatedCuda())
    trt.engine.fails = True
    with pytest.raises(EngineError, match="tensorrt: cannot run batch 1: TensorRT gave no reason"):
        run.submit(batch(0, 1))


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx_bindings") is None, reason="tensorrt-rtx is not installed")
def test_tensorrt_rtx_itself_says_why_it_refuses() -> None:
    import tensorrt_rtx_bindings as trt

    with pytest.raises(EngineUnavailableError, match=r"refuses this plan: .*malformed engine"):
        PlanRunner(trt, "tensorrt-rtx", b"x" * 1000, CANVAS, 4, SHAPES, SimulatedCuda())


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    device = SimulatedCuda(gpu=Gpu("NVIDIA L40S", "8.9"))
    plan = tmp_path / "model.plan"
    plan.write_bytes(b"plan")
    monkeypatch.setattr(tensorrt_engine, "TorchCuda", lambda flavour: device)
    monkeypatch.setattr(tensorrt_engine, "bindings", lambda flavour: SimulatedTrt(device))
    monkeypatch.setattr(
        tensorrt_engine, "plan_for", lambda *_, gpu, **__: SimpleNamespace(path=plan, facts={"gpu": gpu})
    )
    return SimpleNamespace(model=SimpleNamespace(config=CONFIG))


@BOTH
def test_the_engine_keeps_two_batches_in_flight_and_refuses_other_frames(flavour: Flavour, loaded: Any) -> None:
    with open_engine(flavour, loaded, CANVAS, max_batch=4) as engine:
        assert isinstance(engine, TensorRtEngine)
        assert engine.name == f"{flavour}-cuda-fp16"
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


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_the_engine_says_what_can_be_done(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    pytest.importorskip("tensorrt_rtx_bindings")
    with pytest.raises(EngineUnavailableError, match=r"no usable NVIDIA GPU.*--compute-capability 8\.9"):
        open_engine("tensorrt-rtx", loaded, CANVAS)
