"""Two batches under way on a GPU: while one is computed the next is uploaded, from pinned memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.errors import EngineError, EngineUnavailableError
from hoiclip.types import Canvas, Outputs

SLOTS = 2


class Gpu(NamedTuple):
    """What a plan depends on of a GPU."""

    name: str
    compute_capability: str  # such as "8.9"


class Device(Protocol):
    """What is needed of CUDA; streams and events are opaque."""

    def stream(self) -> Any:
        """Return a new stream."""

    def event(self) -> Any:
        """Return a new event."""

    def pinned(self, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
        """Return page-locked host memory."""

    def buffer(self, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
        """Return zeroed device memory."""

    def copy(self, target: Tensor, source: Tensor, stream: Any) -> None:
        """Copy once everything before it on `stream` is done; returns at once."""

    def record(self, event: Any, stream: Any) -> None:
        """Let `event` happen once everything before it on `stream` is done."""

    def wait(self, stream: Any, event: Any) -> None:
        """Keep what follows on `stream` until `event`; returns at once."""

    def synchronise(self, event: Any) -> None:
        """Return once `event` has happened."""

    def handle(self, stream: Any) -> int:
        """Return the stream as CUDA's pointer."""

    def capture(self, launch: Callable[[], None], stream: Any) -> Callable[[], None]:
        """Return a function that replays on `stream` what `launch` put there, as one CUDA graph."""


class TorchCuda:
    """`Device` through torch, so that one allocator serves every engine."""

    def __init__(self, flavour: str, index: int = 0) -> None:
        if not torch.cuda.is_available():
            raise EngineUnavailableError(
                f"{flavour}: torch finds no usable NVIDIA GPU; install a driver and a CUDA build of torch, or choose "
                "openvino or torch (plans for tensorrt-rtx can be built here with `hoistream engine build "
                "tensorrt-rtx --compute-capability 8.9`)"
            )
        self._device = torch.device("cuda", index)
        torch.cuda.set_device(self._device)
        major, minor = torch.cuda.get_device_capability(self._device)
        self.gpu = Gpu(torch.cuda.get_device_name(self._device), f"{major}.{minor}")

    def stream(self) -> Any:
        """Return a new stream."""
        return torch.cuda.Stream(self._device)

    def event(self) -> Any:
        """Return a new event."""
        return torch.cuda.Event()

    def pinned(self, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
        """Return page-locked host memory."""
        return torch.empty(shape, dtype=kind, pin_memory=True)

    def buffer(self, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
        """Return zeroed device memory; synchronises, since zeroing runs on another stream than its users."""
        memory = torch.zeros(shape, dtype=kind, device=self._device)
        torch.cuda.synchronize(self._device)
        return memory

    def copy(self, target: Tensor, source: Tensor, stream: Any) -> None:
        """Copy on `stream`."""
        with torch.cuda.stream(stream):
            target.copy_(source, non_blocking=True)

    def record(self, event: Any, stream: Any) -> None:
        """Record `event` on `stream`."""
        event.record(stream)

    def wait(self, stream: Any, event: Any) -> None:
        """Make `stream` wait for `event`."""
        stream.wait_event(event)

    def synchronise(self, event: Any) -> None:
        """Wait for `event`."""
        event.synchronize()

    def handle(self, stream: Any) -> int:
        """Return the stream's pointer."""
        return int(stream.cuda_stream)

    def capture(self, launch: Callable[[], None], stream: Any) -> Callable[[], None]:
        """Capture `launch`; other threads may use CUDA meanwhile."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            launch()

        def replay() -> None:
            with torch.cuda.stream(stream):
                graph.replay()

        return replay


@dataclass
class Slot:
    """Memory and events of one batch under way."""

    index: int
    host_frames: Tensor  # pinned uint8 [max_batch, H, W, 3]
    frames: Tensor  # the same on the device
    outputs: dict[str, Tensor]  # on the device, float32 [max_batch, ...]
    host_outputs: dict[str, Tensor]  # pinned
    uploaded: Any
    computed: Any
    downloaded: Any
    batch: int = 0  # frames under way; 0 when free


class DoubleBuffer:
    """Upload, compute and download on a stream each; the slots take turns.

    `submit` returns at once; each batch is to be collected, in order. `launch(slot, batch, stream)` puts the
    computation of a slot's first `batch` frames on a stream; nothing else may.
    """

    def __init__(
        self,
        device: Device,
        canvas: Canvas,
        max_batch: int,
        output_shapes: Mapping[str, tuple[int, ...]],
        launch: Callable[[Slot, int, Any], None],
    ) -> None:
        self._device, self._launch = device, launch
        self._upload, self.compute, self._download = device.stream(), device.stream(), device.stream()
        shape = (max_batch, canvas.height, canvas.width, 3)
        shapes = {name: (max_batch, *rest) for name, rest in output_shapes.items()}
        self.slots = [
            Slot(
                index,
                device.pinned(shape, torch.uint8),
                device.buffer(shape, torch.uint8),
                {name: device.buffer(full, torch.float32) for name, full in shapes.items()},
                {name: device.pinned(full, torch.float32) for name, full in shapes.items()},
                device.event(),
                device.event(),
                device.event(),
            )
            for index in range(SLOTS)
        ]
        self._submitted = self._collected = 0

    @property
    def under_way(self) -> int:
        """Batches submitted and not collected."""
        return self._submitted - self._collected

    def submit(self, frames: NDArray[np.uint8]) -> None:
        """Start a batch [B, H, W, 3]; `frames` may be changed afterwards. Raises EngineError with both slots full."""
        if self.under_way == SLOTS:
            raise EngineError(f"{SLOTS} batches are under way; collect one before submitting another")
        slot, device, count = self.slots[self._submitted % SLOTS], self._device, len(frames)
        # free memory: what last used this slot was collected, so its upload, computation and download are over
        slot.host_frames.numpy()[:count] = frames
        device.copy(slot.frames[:count], slot.host_frames[:count], self._upload)
        device.record(slot.uploaded, self._upload)
        device.wait(self.compute, slot.uploaded)
        self._launch(slot, count, self.compute)
        device.record(slot.computed, self.compute)
        device.wait(self._download, slot.computed)
        for name, memory in slot.outputs.items():
            device.copy(slot.host_outputs[name][:count], memory[:count], self._download)
        device.record(slot.downloaded, self._download)
        slot.batch = count
        self._submitted += 1

    def collect(self) -> Outputs[NDArray[np.float32]]:
        """Return the outputs of the oldest batch under way, as copies. Raises EngineError when there is none."""
        if not self.under_way:
            raise EngineError("no batch is under way")
        slot = self.slots[self._collected % SLOTS]
        self._device.synchronise(slot.downloaded)
        outputs = Outputs(*(slot.host_outputs[name][: slot.batch].numpy().copy() for name in Outputs._fields))
        self._collected, slot.batch = self._collected + 1, 0
        return outputs
