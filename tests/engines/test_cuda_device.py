"""CUDA without a GPU: what can be refused is refused in one line, and memory stays inside its bounds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from engines import cuda_device
from engines.cuda_device import CudaDevice, Gpu, find_gpu
from engines.errors import EngineError, EngineUnavailableError
from tests.support.simulated_cuda import SimulatedCuda


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> SimulatedCuda:
    pytest.importorskip("cuda.bindings.runtime")
    simulated = SimulatedCuda()
    monkeypatch.setattr(cuda_device, "bindings", lambda: simulated)
    return simulated


@pytest.fixture
def device(cuda: SimulatedCuda) -> Iterator[CudaDevice]:
    device = CudaDevice()
    yield device
    device.close()
    assert cuda.living() == []


def test_a_gpu_is_named_with_its_compute_capability(cuda: SimulatedCuda) -> None:
    assert find_gpu() == Gpu("NVIDIA L40S", "8.9")


@pytest.mark.parametrize(
    ("error", "driver", "reason"),
    [
        ("cudaErrorInsufficientDriver", 0, "no driver is installed; install one, or choose openvino"),
        (
            "cudaErrorInsufficientDriver",
            12040,
            r"cudaErrorInsufficientDriver \(CUDA driver version .*\), the driver is for CUDA 12\.4 and 13\.4 is wanted",
        ),
        ("cudaErrorNoDevice", 13040, r"cudaErrorNoDevice \(no CUDA-capable device is detected\)"),
        (None, 13040, "its driver shows none to this process; see CUDA_VISIBLE_DEVICES"),
    ],
)
def test_no_usable_gpu_is_one_clear_line(
    error: str | None, driver: int, reason: str, cuda: SimulatedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    success = cuda.cudaError_t.cudaSuccess
    answer = (success, 0) if error is None else (getattr(cuda.cudaError_t, error), None)
    monkeypatch.setattr(SimulatedCuda, "cudaGetDeviceCount", _named("cudaGetDeviceCount", answer))
    monkeypatch.setattr(SimulatedCuda, "cudaDriverGetVersion", _named("cudaDriverGetVersion", (success, driver)))
    with pytest.raises(EngineUnavailableError, match=f"CUDA: no usable NVIDIA GPU: {reason}") as raised:
        CudaDevice()
    assert "\n" not in str(raised.value)


def _named(name: str, answer: tuple[Any, ...]) -> Any:
    def function(self: SimulatedCuda) -> tuple[Any, ...]:
        return answer

    function.__name__ = name
    return function


def test_without_cuda_python_the_install_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    with pytest.raises(EngineUnavailableError, match=r"cuda-python does not load .*pip install 'hoistream\["):
        find_gpu()


def test_memory_that_does_not_fit_says_what_to_make_smaller(cuda: SimulatedCuda, device: CudaDevice) -> None:
    cuda.fails["cudaMalloc"] = cuda.cudaError_t.cudaErrorMemoryAllocation
    with pytest.raises(EngineError, match=r"cudaErrorMemoryAllocation \(out of memory\); .*engine\.max_batch"):
        device.memory((1, 2), np.uint8)


def test_rows_go_up_and_come_back(device: CudaDevice) -> None:
    stream, done = device.stream(), device.event()
    host, back = device.pinned((3, 2), np.float32), device.pinned((3, 2), np.float32)
    host[:] = np.arange(6).reshape(3, 2)
    back[:] = -1
    memory = device.memory((3, 2), np.float32)
    assert memory.nbytes == 24 and memory.pointer % 256 == 0
    device.upload(memory.first(2), host[:2], stream)
    device.download(back[:2], memory.first(2), stream)
    device.record(done, stream)
    device.synchronise(done)
    assert back.tolist() == [[0, 1], [2, 3], [-1, -1]]


@pytest.mark.parametrize("rows", [slice(0, 1), slice(0, 3), slice(None, None, 2)])
def test_a_copy_that_would_leave_its_memory_is_refused(rows: slice, device: CudaDevice) -> None:
    host, memory = device.pinned((4, 2), np.uint8), device.memory((2, 2), np.uint8)
    with pytest.raises(EngineError, match=r"cannot copy between uint8 \[2, 2\] on the device and uint8"):
        device.upload(memory, host[rows], device.stream())
    with pytest.raises(EngineError, match="cannot copy"):
        device.download(host[rows], memory, device.stream())


def test_a_capture_that_fails_frees_its_graph_and_says_why(cuda: SimulatedCuda, device: CudaDevice) -> None:
    def launch() -> None:
        raise EngineError("the kernel would not start")

    with pytest.raises(EngineError, match="the kernel would not start"):
        device.capture(launch, device.stream())
    assert cuda.living() == ["cudaStream_t"]


def test_a_captured_graph_is_replayed_and_can_be_freed_alone(cuda: SimulatedCuda, device: CudaDevice) -> None:
    stream, seen = device.stream(), list[int]()
    replay = device.capture(lambda: cuda.put(stream, lambda: seen.append(len(seen))), stream)
    device.finish(stream)
    assert seen == []
    replay()
    replay()
    device.finish(stream)
    assert seen == [0, 1]
    device.release_graphs()
    assert cuda.living() == ["cudaStream_t"]
    cuda.fails["cudaGraphDestroy"] = cuda.cudaError_t.cudaErrorUnknown
    with pytest.raises(EngineError, match="cudaGraphDestroy failed"):
        device.capture(lambda: None, stream)
    del cuda.fails["cudaGraphDestroy"]
    for handle in [handle for handle, (kind, _) in cuda.live.items() if kind == "cudaGraph_t"]:
        del cuda.live[handle]


FREE_OF_TORCH = """
import importlib, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "open_clip", "onnxscript"):
            raise ImportError(f"{name} must not be needed")

sys.meta_path.insert(0, Refuse())
for module in sys.argv[1:]:
    importlib.import_module(module)
from engines.cuda_device import find_gpu
try:
    print(find_gpu())
except Exception as error:
    print(error)
"""


def test_the_gpu_engines_import_no_torch() -> None:
    pytest.importorskip("cuda.bindings.runtime")
    names = ["api", "build", "engine", "half", "kernels", "plan", "progress", "runtime"]
    modules = ["engines.cuda_device", "engines.cuda_buffers", *(f"engines.tensorrt_{name}" for name in names)]
    done = subprocess.run(
        [sys.executable, "-c", FREE_OF_TORCH, *modules], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "no usable NVIDIA GPU" in done.stdout or "Gpu(name=" in done.stdout
