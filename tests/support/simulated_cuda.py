"""CUDA's runtime without a GPU: `cuda.bindings.runtime` whose streams do their work late and in an unhelpful order.

Every call is checked against the real function: its signature, the kinds that its documentation states and, where no
driver is loaded, by calling it, for it then looks at its arguments and returns an error. Enumerations, handles and
constants are the real ones. A function that nobody simulated is an error.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import BuiltinFunctionType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_NUMBERS = {"int", "size_t", "unsigned int", "unsigned long long"}
_ALIGNMENT = 256  # bytes, as CUDA's


@dataclass
class _Event:
    recorded: int = 0
    done: int = 0


@dataclass
class _Stream:
    queue: deque[tuple[str, Any]] = field(default_factory=deque)
    captured: list[tuple[str, Any]] | None = None  # while it is being captured


class SimulatedCuda:
    """Work is done only when somebody waits, and then in the order of streams least helpful to the program.

    Nothing but events orders work on different streams, so that a missing wait gives wrong numbers. Copies are checked
    to lie inside living memory of the right kind. `fails` maps functions to the error that they return. `live` is what
    was made and not freed.
    """

    def __init__(
        self, order: tuple[int, ...] = (2, 1, 0), *, gpu: str = "NVIDIA L40S", capability: str = "8.9"
    ) -> None:
        self.real: Any = importlib.import_module("cuda.bindings.runtime")
        self.order, self.gpu, self.capability = order, gpu, capability
        self.driver_loaded = self.real.cudaGetDeviceCount()[0] == self.real.cudaError_t.cudaSuccess
        self.calls: list[str] = []
        self.fails: dict[str, Any] = {}
        self.live: dict[int, tuple[str, Any]] = {}  # by handle or address: kind and what it stands for
        self._next = 1000

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if not name.startswith("cuda"):
            return value
        return functools.wraps(value)(lambda *arguments: _called(self, value, *arguments))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.real, name)
        if isinstance(value, BuiltinFunctionType) or type(value).__name__ == "cython_function_or_method":
            raise AttributeError(f"{name} is not simulated")
        return value

    def array(self, address: int, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return device memory as an array, for what the GPU computes."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return self._bytes("cudaMalloc", address, size).view(dtype).reshape(shape)

    def put(self, stream: Any, work: Callable[[], None]) -> None:
        """Put work on a stream, as a kernel does."""
        self._enqueue(int(stream), ("run", work))

    def cudaGetDeviceCount(self) -> tuple[Any, ...]:  # noqa: N802
        return self._ok(1)

    def cudaDriverGetVersion(self) -> tuple[Any, ...]:  # noqa: N802
        return self._ok(12040)

    def cudaRuntimeGetVersion(self) -> tuple[Any, ...]:  # noqa: N802
        return self._ok(13040)

    def cudaGetDeviceProperties(self, device: int) -> tuple[Any, ...]:  # noqa: N802
        properties = self.real.cudaDeviceProp()
        properties.name = self.gpu.encode().ljust(256, b"\0")
        properties.major, properties.minor = map(int, self.capability.split("."))
        return self._ok(properties)

    def cudaGetErrorName(self, error: Any) -> tuple[Any, ...]:  # noqa: N802
        return tuple(self.real.cudaGetErrorName(error))

    def cudaGetErrorString(self, error: Any) -> tuple[Any, ...]:  # noqa: N802
        return tuple(self.real.cudaGetErrorString(error))

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, ...]:  # noqa: N802
        assert flags == self.real.cudaStreamNonBlocking, "the default stream would order work on this one"
        return self._make("cudaStream_t", _Stream())

    def cudaStreamDestroy(self, stream: Any) -> tuple[Any, ...]:  # noqa: N802
        assert not self._get("cudaStream_t", stream).queue, "work is under way on it"
        return self._free("cudaStream_t", stream)

    def cudaEventCreateWithFlags(self, flags: int) -> tuple[Any, ...]:  # noqa: N802
        return self._make("cudaEvent_t", _Event())

    def cudaEventDestroy(self, event: Any) -> tuple[Any, ...]:  # noqa: N802
        return self._free("cudaEvent_t", event)

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:  # noqa: N802
        return self._allocate("cudaMalloc", size)

    def cudaFree(self, pointer: int) -> tuple[Any, ...]:  # noqa: N802
        return self._free("cudaMalloc", pointer)

    def cudaHostAlloc(self, size: int, flags: int) -> tuple[Any, ...]:  # noqa: N802
        return self._allocate("cudaHostAlloc", size)

    def cudaFreeHost(self, pointer: int) -> tuple[Any, ...]:  # noqa: N802
        return self._free("cudaHostAlloc", pointer)

    def cudaMemcpyAsync(self, target: int, source: int, count: int, kind: Any, stream: Any) -> tuple[Any, ...]:  # noqa: N802
        kinds = self.real.cudaMemcpyKind
        memory = {kinds.cudaMemcpyHostToDevice: ("cudaMalloc", "cudaHostAlloc")}
        memory[kinds.cudaMemcpyDeviceToHost] = ("cudaHostAlloc", "cudaMalloc")
        to, of = self._bytes(memory[kind][0], target, count), self._bytes(memory[kind][1], source, count)
        self._enqueue(int(stream), ("run", lambda: to.__setitem__(slice(None), of)))
        return self._ok()

    def cudaEventRecord(self, event: Any, stream: Any) -> tuple[Any, ...]:  # noqa: N802
        state = self._get("cudaEvent_t", event)
        state.recorded += 1
        generation = state.recorded
        self._enqueue(int(stream), ("run", lambda: setattr(state, "done", generation)))
        return self._ok()

    def cudaStreamWaitEvent(self, stream: Any, event: Any, flags: int) -> tuple[Any, ...]:  # noqa: N802
        state = self._get("cudaEvent_t", event)
        self._enqueue(int(stream), ("wait", (state, state.recorded)))
        return self._ok()

    def cudaEventSynchronize(self, event: Any) -> tuple[Any, ...]:  # noqa: N802
        state = self._get("cudaEvent_t", event)
        wanted = state.recorded
        while state.done < wanted:
            assert self._step(), "every stream waits: a deadlock"
        return self._ok()

    def cudaStreamSynchronize(self, stream: Any) -> tuple[Any, ...]:  # noqa: N802
        state = self._get("cudaStream_t", stream)
        assert state.captured is None, "a stream that is captured cannot be waited for"
        while state.queue:
            assert self._step(), "every stream waits: a deadlock"
        return self._ok()

    def cudaDeviceSynchronize(self) -> tuple[Any, ...]:  # noqa: N802
        while self._step():
            pass
        return self._ok()

    def cudaStreamBeginCapture(self, stream: Any, mode: Any) -> tuple[Any, ...]:  # noqa: N802
        state = self._get("cudaStream_t", stream)
        assert not state.queue, "lazy work must be over before a capture"
        state.captured = []
        return self._ok()

    def cudaStreamEndCapture(self, stream: Any) -> tuple[Any, ...]:  # noqa: N802
        state = self._get("cudaStream_t", stream)
        captured, state.captured = state.captured, None
        return self._make("cudaGraph_t", captured)

    def cudaGraphInstantiate(self, graph: Any, flags: int) -> tuple[Any, ...]:  # noqa: N802
        return self._make("cudaGraphExec_t", list(self._get("cudaGraph_t", graph)))

    def cudaGraphDestroy(self, graph: Any) -> tuple[Any, ...]:  # noqa: N802
        return self._free("cudaGraph_t", graph)

    def cudaGraphLaunch(self, executable: Any, stream: Any) -> tuple[Any, ...]:  # noqa: N802
        for work in self._get("cudaGraphExec_t", executable):
            self._enqueue(int(stream), work)
        return self._ok()

    def cudaGraphExecDestroy(self, executable: Any) -> tuple[Any, ...]:  # noqa: N802
        return self._free("cudaGraphExec_t", executable)

    def living(self) -> list[str]:
        """Return the kinds of what was made and not freed."""
        return sorted(kind for kind, _ in self.live.values())

    def result_of_failure(self, function: str, error: Any) -> tuple[Any, ...]:
        """Return what a function gives when it fails: as many values as the real one."""
        return (error, *[None] * len(_documented(getattr(self.real, function), "Returns")[1:]))

    def _ok(self, *values: Any) -> tuple[Any, ...]:
        return (self.real.cudaError_t.cudaSuccess, *values)

    def _make(self, kind: str, state: Any) -> tuple[Any, ...]:
        self._next += 1
        self.live[self._next] = (kind, state)
        return self._ok(getattr(self.real, kind)(self._next))

    def _allocate(self, kind: str, size: int) -> tuple[Any, ...]:
        memory = np.full(size + _ALIGNMENT, 0xA5, np.uint8)  # whoever reads before writing finds rubbish
        address = -(-memory.ctypes.data // _ALIGNMENT) * _ALIGNMENT
        self.live[address] = (kind, memory[address - memory.ctypes.data :][:size])
        return self._ok(address)

    def _get(self, kind: str, handle: Any) -> Any:
        found = self.live.get(int(handle))
        assert found is not None and found[0] == kind, f"no living {kind} {int(handle)}"
        return found[1]

    def _free(self, kind: str, handle: Any) -> tuple[Any, ...]:
        self._get(kind, handle)
        del self.live[int(handle)]
        return self._ok()

    def _bytes(self, kind: str, address: int, count: int) -> NDArray[np.uint8]:
        for start, (found, memory) in self.live.items():
            if found == kind and start <= address and address + count <= start + len(memory):
                return np.asarray(memory[address - start :][:count])
        raise AssertionError(f"{count} bytes at {address} are not inside one living {kind}")

    def _enqueue(self, stream: int, work: tuple[str, Any]) -> None:
        state = self._get("cudaStream_t", stream)
        (state.queue if state.captured is None else state.captured).append(work)

    def _step(self) -> bool:
        """Run the first piece of work that may run."""
        streams = [state for kind, state in self.live.values() if kind == "cudaStream_t"]
        ranked = sorted(range(len(streams)), key=lambda index: self.order.index(index % len(self.order)))
        for queue in (streams[index].queue for index in ranked):
            while queue and queue[0][0] == "wait" and queue[0][1][0].done >= queue[0][1][1]:
                queue.popleft()
            if queue and queue[0][0] == "run":
                queue.popleft()[1]()
                return True
        return False


def _called(cuda: SimulatedCuda, simulated: Callable[..., tuple[Any, ...]], *arguments: Any) -> tuple[Any, ...]:
    """Check a call against the real function, then simulate it."""
    name = simulated.__name__
    real = getattr(cuda.real, name)
    check_call(cuda.real, name, arguments)
    cuda.calls.append(name)
    error = cuda.fails.get(name)
    result = simulated(*arguments) if error is None else cuda.result_of_failure(name, error)
    if not cuda.driver_loaded:
        assert len(real(*arguments)) == len(result), f"{name} returns {real(*arguments)}, simulated {result}"
    return result


def check_call(real_module: Any, name: str, arguments: tuple[Any, ...]) -> None:
    """Raise AssertionError unless the real function takes these arguments."""
    real = getattr(real_module, name)
    try:
        inspect.signature(real).bind(*arguments)
    except TypeError as error:
        raise AssertionError(f"{name}{inspect.signature(real)}: {error}") from None
    for (parameter, kinds), value in zip(_documented(real, "Parameters"), arguments, strict=True):
        if kinds[0] in _NUMBERS:
            fits = isinstance(value, int) and (kinds[0] == "int" or value >= 0)
        elif kinds[0] == "Any":  # an address
            fits = isinstance(value, int) and value > 0
        else:
            fits = any(isinstance(value, getattr(real_module, kind)) for kind in kinds if hasattr(real_module, kind))
        assert fits, f"{name}: `{parameter}` is {' or '.join(kinds)}, not {value!r}"


def _documented(function: Any, section: str) -> list[tuple[str, list[str]]]:
    """Return the names and kinds that a section of a function's documentation lists."""
    text = re.search(rf"^{section}\n-+\n(.*?)(?:\n\n\S|\Z)", function.__doc__ or "", re.MULTILINE | re.DOTALL)
    if section == "Returns" and text is None:
        return [("error", ["cudaError_t"]), ("value", ["int"])]  # of the few functions without documentation
    lines = re.findall(r"^(\S.*)$", text[1], re.MULTILINE) if text else []
    found = []
    for line in lines:
        name, _, kinds = line.partition(" : ")
        found.append((name, re.findall(r"`~?\.?(\w+)`", kinds) or [kinds]))
    return found
