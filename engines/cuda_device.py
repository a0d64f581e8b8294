"""One NVIDIA GPU through CUDA's runtime (cuda-python): memory, streams, events and graphs, without torch."""

from __future__ import annotations

import ctypes
import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from engines.errors import EngineError, EngineUnavailableError

_INSTALL = "pip install 'hoistream[tensorrt-rtx]'"
_WITHOUT_GPU = (
    "choose openvino (plans for tensorrt-rtx can be built here with "
    "`hoistream engine build tensorrt-rtx --compute-capability 8.9`)"
)


class Gpu(NamedTuple):
    """What a plan depends on of a GPU."""

    name: str
    compute_capability: str  # such as "8.9"


@dataclass(frozen=True)
class DeviceArray:
    """A C-contiguous array in the GPU's memory."""

    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def first(self, count: int) -> DeviceArray:
        """Return its first `count` rows."""
        return DeviceArray(self.pointer, (count, *self.shape[1:]), self.dtype)


def bindings() -> Any:
    """Return the module of CUDA's runtime. Raises EngineUnavailableError with the install command."""
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: a library that it opens is missing
        raise EngineUnavailableError(f"CUDA: cuda-python does not load ({error}); {_INSTALL}") from error


def find_gpu() -> Gpu:
    """Return the GPU that CUDA calls device 0. Raises EngineUnavailableError when there is none that can be used."""
    cuda = bindings()
    error, count = cuda.cudaGetDeviceCount()
    if error != cuda.cudaError_t.cudaSuccess or not count:
        raise EngineUnavailableError(f"CUDA: no usable NVIDIA GPU: {_no_gpu(cuda, error)}, or {_WITHOUT_GPU}")
    properties = _checked(cuda, cuda.cudaGetDeviceProperties, 0)
    name = bytes(properties.name).split(b"\0")[0].decode()
    return Gpu(name, f"{properties.major}.{properties.minor}")


class CudaDevice:
    """CUDA's device 0 (`CUDA_VISIBLE_DEVICES` chooses it), which every thread uses by itself.

    Streams, events and graphs are opaque. All that it hands out is its own and freed by `close`. Every call that CUDA
    refuses is an EngineError with CUDA's name and text of the error.
    """

    def __init__(self) -> None:
        self._cuda = bindings()
        self.gpu = find_gpu()
        self._owned: list[tuple[Callable[..., Any], Any]] = []  # the function that frees it, and what it frees
        self._graphs: list[Any] = []

    def stream(self) -> Any:
        """Return a new stream, which waits for no other."""
        return self._own(
            self._call(self._cuda.cudaStreamCreateWithFlags, self._cuda.cudaStreamNonBlocking),
            self._cuda.cudaStreamDestroy,
        )

    def event(self) -> Any:
        """Return a new event; a thread that waits for it leaves its core to decoders."""
        flags = self._cuda.cudaEventDisableTiming | self._cuda.cudaEventBlockingSync
        return self._own(self._call(self._cuda.cudaEventCreateWithFlags, flags), self._cuda.cudaEventDestroy)

    def memory(self, shape: tuple[int, ...], dtype: DTypeLike) -> DeviceArray:
        """Return memory on the device, of any content, aligned to 256 bytes."""
        kind = np.dtype(dtype)
        size = DeviceArray(0, shape, kind).nbytes
        pointer = self._own(self._call(self._cuda.cudaMalloc, size), self._cuda.cudaFree)
        return DeviceArray(int(pointer), shape, kind)

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return page-locked host memory, of any content; it must not be used once the device is closed."""
        kind = np.dtype(dtype)
        size, flags = DeviceArray(0, shape, kind).nbytes, self._cuda.cudaHostAllocDefault
        pointer = self._own(self._call(self._cuda.cudaHostAlloc, size, flags), self._cuda.cudaFreeHost)
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(int(pointer))).view(kind).reshape(shape)

    def upload(self, target: DeviceArray, source: NDArray[Any], stream: Any) -> None:
        """Copy pinned memory to the device after what is on `stream`; returns at once."""
        _refuse_unequal(target, source)
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call(self._cuda.cudaMemcpyAsync, target.pointer, source.ctypes.data, target.nbytes, kind, stream)

    def download(self, target: NDArray[Any], source: DeviceArray, stream: Any) -> None:
        """Copy from the device to pinned memory after what is on `stream`; returns at once."""
        _refuse_unequal(source, target)
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call(self._cuda.cudaMemcpyAsync, target.ctypes.data, source.pointer, source.nbytes, kind, stream)

    def record(self, event: Any, stream: Any) -> None:
        """Let `event` happen once everything before it on `stream` is done."""
        self._call(self._cuda.cudaEventRecord, event, stream)

    def wait(self, stream: Any, event: Any) -> None:
        """Keep what follows on `stream` until `event` has happened; returns at once."""
        self._call(self._cuda.cudaStreamWaitEvent, stream, event, 0)

    def synchronise(self, event: Any) -> None:
        """Return once `event` has happened."""
        self._call(self._cuda.cudaEventSynchronize, event)

    def finish(self, stream: Any) -> None:
        """Return once everything on `stream` is done."""
        self._call(self._cuda.cudaStreamSynchronize, stream)

    def capture(self, launch: Callable[[], None], stream: Any) -> Callable[[], None]:
        """Return a function that puts on `stream` again, as one CUDA graph, what `launch` puts there."""
        cuda = self._cuda
        # thread-local: other threads may use CUDA meanwhile
        self._call(cuda.cudaStreamBeginCapture, stream, cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)
        try:
            launch()
        except BaseException:
            _, unfinished = cuda.cudaStreamEndCapture(stream)  # may fail as well: what `launch` raised is the reason
            if unfinished is not None:
                cuda.cudaGraphDestroy(unfinished)
            raise
        graph = self._call(cuda.cudaStreamEndCapture, stream)
        try:
            executable = self._call(cuda.cudaGraphInstantiate, graph, 0)
            self._graphs.append(executable)
        finally:
            self._call(cuda.cudaGraphDestroy, graph)
        return lambda: self._call(cuda.cudaGraphLaunch, executable, stream)

    def release_graphs(self) -> None:
        """Free the graphs, which must go before what they run."""
        graphs, self._graphs = self._graphs, []
        self._try_all([(self._cuda.cudaGraphExecDestroy, graph) for graph in graphs])

    def close(self) -> None:
        """Wait for the GPU and free everything, the newest first, each once; raises the first failure after that."""
        owned, self._owned = self._owned, []
        graphs, self._graphs = self._graphs, []
        calls: list[tuple[Any, ...]] = [(self._cuda.cudaGraphExecDestroy, graph) for graph in graphs]
        calls += [(free, made) for free, made in reversed(owned)]
        if calls:
            self._try_all([(self._cuda.cudaDeviceSynchronize,), *calls])

    def _own(self, made: Any, free: Callable[..., Any]) -> Any:
        self._owned.append((free, made))
        return made

    def _try_all(self, calls: Sequence[tuple[Any, ...]]) -> None:
        failures = []
        for call in calls:
            try:
                self._call(*call)
            except EngineError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return _checked(self._cuda, function, *arguments)


def _checked(cuda: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a CUDA function gives beside its error code. Raises EngineError unless that is success."""
    error, *values = function(*arguments)
    if error != cuda.cudaError_t.cudaSuccess:
        hint = ""
        if error == cuda.cudaError_t.cudaErrorMemoryAllocation:
            hint = "; free GPU memory, or take a smaller engine.max_batch or canvas"
        raise EngineError(f"CUDA: {function.__name__} failed: {_spell(cuda, error)}{hint}")
    return values[0] if values else None


def _spell(cuda: Any, error: Any) -> str:
    """Return CUDA's name and text of an error code."""
    name, text = (bytes(function(error)[1]).decode() for function in (cuda.cudaGetErrorName, cuda.cudaGetErrorString))
    return f"{name} ({text})"


def _no_gpu(cuda: Any, error: Any) -> str:
    """Return why CUDA finds no GPU, and what to do."""
    if error == cuda.cudaError_t.cudaSuccess:
        return "its driver shows none to this process; see CUDA_VISIBLE_DEVICES"
    versions = [cuda.cudaDriverGetVersion()[1], cuda.cudaRuntimeGetVersion()[1]]  # such as 13040
    if not versions[0]:
        return "no driver is installed; install one"
    driver, wanted = (f"{version // 1000}.{version % 1000 // 10}" for version in versions)
    return f"{_spell(cuda, error)}, the driver is for CUDA {driver} and {wanted} is wanted; update it"


def _refuse_unequal(device: DeviceArray, host: NDArray[Any]) -> None:
    """Raise unless a copy between both stays inside both: CUDA trusts addresses."""
    if device.nbytes != host.nbytes or not host.flags.c_contiguous:
        raise EngineError(
            f"CUDA: cannot copy between {device.dtype} {list(device.shape)} on the device and "
            f"{host.dtype} {list(host.shape)} on the host"
        )
