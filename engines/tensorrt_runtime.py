"""Run a plan with TensorRT or TensorRT-RTX: checked before it is loaded, one context a batch size and slot."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.cuda_buffers import DoubleBuffer, Slot
from engines.cuda_device import CudaDevice
from engines.errors import EngineError, EngineUnavailableError
from engines.tensorrt_api import Flavour, Messages
from engines.tensorrt_build import Profile, choose_profile
from engines.tensorrt_kernels import KernelCache
from hoiclip.types import Canvas, Outputs

logger = logging.getLogger(__name__)
INPUT = "frames"


class PlanRunner:
    """A loaded plan with its memory; `submit` and `collect` keep up to `SLOTS` batches under way.

    A context and its CUDA graph are made when a batch size is first seen, and never changed after: a graph holds the
    addresses and shapes of its capture. All contexts share one block of memory, since they run on one stream.
    """

    def __init__(
        self,
        trt: Any,
        flavour: Flavour,
        plan: bytes,
        canvas: Canvas,
        max_batch: int,
        output_shapes: Mapping[str, tuple[int, ...]],
        device: CudaDevice,
        *,
        kernels: KernelCache | None = None,
    ) -> None:
        self._trt, self._flavour, self._device, self._kernels = trt, flavour, device, kernels
        self._messages = Messages(trt, flavour)
        self._runtime: Any = trt.Runtime(self._messages.handler)
        self._refuse_invalid(plan)
        self._engine: Any = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise self._refusal(self._messages.failure("it is of another version or damaged"))
        self._profiles = self._read_profiles()
        self._check(canvas, max_batch, output_shapes)
        self._canvas = canvas
        self._memory = device.memory((max(int(self._engine.device_memory_size_v2), 1),), np.uint8)
        self._replays: dict[tuple[int, int], Callable[[], None]] = {}  # by slot and batch
        self._contexts: list[Any] = []
        self._buffers = DoubleBuffer(device, canvas, max_batch, output_shapes, self._launch)

    def submit(self, frames: NDArray[np.uint8]) -> None:
        """Start a batch; see `DoubleBuffer.submit`."""
        self._buffers.submit(frames)

    def collect(self) -> Outputs[NDArray[np.float32]]:
        """Return the outputs of the oldest batch under way."""
        return self._buffers.collect()

    def close(self) -> None:
        """Finish what is under way, keep the kernels that were compiled, and free what runs on the device's memory."""
        try:
            while self._buffers.under_way:
                self._buffers.collect()
            if self._kernels is not None:
                self._kernels.save()
        finally:
            self._replays.clear()
            self._device.release_graphs()
            self._contexts.clear()
            self._engine = self._runtime = None

    def _refuse_invalid(self, plan: bytes) -> None:
        """Raise with TensorRT-RTX's own diagnosis; TensorRT has none and returns no engine."""
        if self._flavour != "tensorrt-rtx":
            return
        validity, diagnostics = self._runtime.get_engine_validity(plan)
        if validity == self._trt.EngineValidity.INVALID:
            raise self._refusal(_describe(self._trt, diagnostics) or self._messages.failure("no reason is given"))
        if validity == self._trt.EngineValidity.SUBOPTIMAL:
            logger.warning(
                "%s: the plan runs, but slower than it could (%s)", self._flavour, _describe(self._trt, diagnostics)
            )

    def _refusal(self, reason: str) -> EngineUnavailableError:
        return EngineUnavailableError(
            f"{self._flavour}: refuses this plan: {reason}; "
            "run `hoistream engine prune` and start again to build a new one"
        )

    def _read_profiles(self) -> tuple[Profile, ...]:
        shapes = (
            self._engine.get_tensor_profile_shape(INPUT, i) for i in range(self._engine.num_optimization_profiles)
        )
        return tuple(Profile(int(smallest[0]), int(largest[0])) for smallest, _, largest in shapes)

    def _check(self, canvas: Canvas, max_batch: int, output_shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise unless the plan takes and gives what the buffers will hold: TensorRT trusts addresses."""
        trt, engine = self._trt, self._engine
        expected: dict[str, tuple[tuple[int, ...], Any, Any]]
        expected = {INPUT: ((canvas.height, canvas.width, 3), trt.TensorIOMode.INPUT, trt.uint8)}
        expected |= {name: (shape, trt.TensorIOMode.OUTPUT, trt.float32) for name, shape in output_shapes.items()}
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        if set(names) != set(expected):
            raise self._refusal(f"it has {sorted(names)}, expected {sorted(expected)}")
        for name, wanted in expected.items():
            shape = tuple(int(side) for side in engine.get_tensor_shape(name))[1:]
            found = (shape, engine.get_tensor_mode(name), engine.get_tensor_dtype(name))
            if found != wanted:
                raise self._refusal(f"{name} is {found}, expected {wanted}")
        choose_profile(1, self._profiles)
        choose_profile(max_batch, self._profiles)

    def _launch(self, slot: Slot, batch: int, stream: Any) -> None:
        key = (slot.index, batch)
        if key not in self._replays:
            self._replays[key] = self._prepare(slot, batch, stream)
        self._replays[key]()

    def _prepare(self, slot: Slot, batch: int, stream: Any) -> Callable[[], None]:
        """Return the function that runs a slot's first `batch` frames on `stream`."""
        handle = int(stream)
        context = self._context()
        context.set_device_memory(self._memory.pointer, self._memory.nbytes)
        profile = choose_profile(batch, self._profiles)
        self._expect(context.set_optimization_profile_async(profile, handle), f"take profile {profile}")
        shape = (batch, self._canvas.height, self._canvas.width, 3)
        self._expect(context.set_input_shape(INPUT, shape), f"take frames {list(shape)}")
        for name, memory in {INPUT: slot.frames, **slot.outputs}.items():
            self._expect(context.set_tensor_address(name, memory.pointer), f"take the address of {name}")
        missing = context.infer_shapes()
        self._expect(not missing, f"know the shapes of {missing}")

        def execute() -> None:
            self._expect(context.execute_async_v3(handle), f"run batch {batch}")

        execute()  # lazy work, such as compiling kernels, must happen before a capture
        self._device.finish(stream)
        self._contexts.append(context)
        # TensorRT-RTX captures by itself, see `_context`; it alone knows when its kernels are final
        return execute if self._flavour == "tensorrt-rtx" else self._device.capture(execute, stream)

    def _context(self) -> Any:
        """Return a context without memory of its own."""
        trt, strategy = self._trt, self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if self._flavour == "tensorrt-rtx":
            config = self._engine.create_runtime_config()
            config.set_execution_context_allocation_strategy(strategy)
            config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
            config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            if self._kernels is not None:
                self._expect(self._kernels.attach(config), "use the kernel cache")
            context = self._engine.create_execution_context(config)
        else:
            context = self._engine.create_execution_context(strategy)
        self._expect(context is not None, "create a context")
        return context

    def _expect(self, done: Any, what: str) -> None:
        if not done:
            raise EngineError(f"{self._flavour}: cannot {what}: {self._messages.failure('TensorRT gave no reason')}")


def _describe(trt: Any, diagnostics: Any) -> str:
    """Return the set bits of EngineInvalidityDiagnostics in words; empty when none is set."""
    bits = int(diagnostics)
    known = trt.EngineInvalidityDiagnostics.__members__.items()
    names = [name.lower().replace("_", " ") for name, value in known if bits & int(value)]
    return ", ".join(names)
