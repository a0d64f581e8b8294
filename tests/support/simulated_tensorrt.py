"""TensorRT without a GPU: a plan whose network computes, on simulated streams, numbers that name their frame.

Enumerations are the real ones of TensorRT-RTX. Use `module`: it checks every use against the real bindings.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoiclip.types import Outputs
from tests.support.binding_signatures import read, stored
from tests.support.checked_tensorrt import CheckedModule
from tests.support.simulated_cuda import SimulatedCuda

Shapes = Mapping[str, tuple[int, ...]]


def module(flavour: str, cuda: SimulatedCuda, shapes: Shapes) -> tuple[CheckedModule, SimulatedTensorRt]:
    """Return a flavour's module, whose uses are checked, and what is behind it."""
    simulated = SimulatedTensorRt(cuda, shapes)
    return CheckedModule(simulated, stored() if flavour == "tensorrt" else [read(simulated.real)]), simulated


def answer(frames: NDArray[np.uint8], shapes: Shapes) -> Outputs[NDArray[np.float32]]:
    """Return what the simulated network computes for frames [B, H, W, 3]."""
    key = frames.reshape(len(frames), -1).mean(1, dtype=np.float32)
    return Outputs(
        *(
            np.zeros((len(frames), *s), np.float32) + key.reshape(-1, *[1] * len(s)) + i
            for i, s in enumerate(shapes.values())
        )
    )


class SimulatedTensorRt:
    """The names that running needs; `engine` is what every plan holds."""

    def __init__(self, cuda: SimulatedCuda, shapes: Shapes) -> None:
        self.real: Any = importlib.import_module("tensorrt_rtx_bindings")
        self.engine = ICudaEngine(self.real, cuda, shapes)
        self.validity: tuple[Any, int] = (self.real.EngineValidity.VALID, 0)
        self.reads = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def Runtime(self, logger: Any) -> Runtime:  # noqa: N802  # the bindings' name
        return Runtime(self, logger)


class Runtime:
    def __init__(self, trt: SimulatedTensorRt, logger: Any) -> None:
        self._trt, self._logger = trt, logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        if self._trt.reads:
            return self._trt.engine
        self._logger.log(
            self._trt.real.ILogger.Severity.ERROR, "Version tag does not match. Serialized 10.3, current 10.9"
        )
        return None

    def get_engine_validity(self, buffer: bytes) -> tuple[Any, int]:
        return self._trt.validity


class ICudaEngine:
    device_memory_size_v2 = 512

    def __init__(self, trt: Any, cuda: SimulatedCuda, shapes: Shapes) -> None:
        self.trt, self.cuda, self.shapes, self.fails = trt, cuda, shapes, False
        self.tensors: dict[str, tuple[tuple[int, ...], Any]] = {"frames": ((-1, 4, 6, 3), trt.uint8)}
        self.tensors |= {name: ((-1, *shape), trt.float32) for name, shape in shapes.items()}
        self.profiles = [[(a, 4, 6, 3), (b, 4, 6, 3), (b, 4, 6, 3)] for a, b in ((1, 1), (2, 4))]
        self.contexts: list[IExecutionContext] = []

    @property
    def num_optimization_profiles(self) -> int:
        return len(self.profiles)

    @property
    def num_io_tensors(self) -> int:
        return len(self.tensors)

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Any]:
        assert name == "frames"
        return [self.trt.Dims(shape) for shape in self.profiles[profile_index]]

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_shape(self, name: str) -> Any:
        return self.trt.Dims(self.tensors[name][0])

    def get_tensor_dtype(self, name: str) -> Any:
        return self.tensors[name][1]

    def get_tensor_mode(self, name: str) -> Any:
        return self.trt.TensorIOMode.INPUT if name == "frames" else self.trt.TensorIOMode.OUTPUT

    def create_runtime_config(self) -> IRuntimeConfig:
        return IRuntimeConfig()

    def create_execution_context(self, strategy: Any) -> IExecutionContext:
        self.contexts.append(IExecutionContext(self, strategy))
        return self.contexts[-1]


class IRuntimeConfig:
    def __init__(self) -> None:
        self.cuda_graph_strategy: Any = None
        self.dynamic_shapes_kernel_specialization_strategy: Any = None
        self.allocation: Any = None
        self.cache: IRuntimeCache | None = None

    def create_runtime_cache(self) -> IRuntimeCache:
        return IRuntimeCache()

    def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
        self.cache = cache
        return True

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
        self.allocation = strategy


class IRuntimeCache:
    def __init__(self) -> None:
        self.content = b""

    def deserialize(self, blob: bytes) -> bool:
        if not blob.startswith(b"kernels"):
            return False
        self.content = blob
        return True

    def serialize(self) -> IHostMemory:
        return IHostMemory(self.content or b"kernels of today")


class IHostMemory:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def __bytes__(self) -> bytes:
        return self._content


class IExecutionContext:
    """Refuses to change after its first run: a captured graph holds its addresses and shapes."""

    def __init__(self, engine: ICudaEngine, config: Any) -> None:
        self.engine, self.config = engine, config
        self.addresses: dict[str, int] = {}
        self.profile, self.batch, self.runs = -1, 0, 0

    def set_device_memory(self, memory: int, size: int) -> None:
        assert len(self.engine.cuda.array(memory, (size,), np.uint8)) >= self.engine.device_memory_size_v2
        assert memory % 256 == 0

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        self.profile = profile_index
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert self.runs == 0
        smallest, _, largest = self.engine.profiles[self.profile]
        self.batch = shape[0]
        return name == "frames" and smallest[0] <= shape[0] <= largest[0] and tuple(shape[1:]) == smallest[1:]

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert self.runs == 0
        self.addresses[name] = memory
        return True

    def infer_shapes(self) -> list[str]:
        return [name for name in self.engine.tensors if name not in self.addresses]

    def execute_async_v3(self, stream_handle: int) -> bool:
        self.runs += 1
        cuda, shapes = self.engine.cuda, self.engine.shapes
        frames = cuda.array(self.addresses["frames"], (self.batch, 4, 6, 3), np.uint8)
        outputs = [cuda.array(self.addresses[name], (self.batch, *shape), np.float32) for name, shape in shapes.items()]

        def compute() -> None:
            for memory, value in zip(outputs, answer(frames, shapes), strict=True):
                memory[:] = value

        cuda.put(stream_handle, compute)
        return not self.engine.fails
