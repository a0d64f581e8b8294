"""Batches under way on a GPU: while one is computed the next is uploaded, from pinned memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.cuda_device import CudaDevice, DeviceArray
from hoiclip.types import Canvas, Outputs

SLOTS = 2


@dataclass
class Slot:
    """Memory and events of one batch under way."""

    index: int
    host_frames: NDArray[np.uint8]  # pinned [max_batch, H, W, 3]
    frames: DeviceArray  # the same on the device
    outputs: dict[str, DeviceArray]  # float32 [max_batch, ...]
    host_outputs: dict[str, NDArray[np.float32]]  # the same, pinned
    uploaded: Any
    computed: Any
    downloaded: Any
    batch: int = 0  # frames under way; 0 when free


class DoubleBuffer:
    """Upload, compute and download on a stream each; the slots take turns.

    `submit` returns at once, and at most `SLOTS` batches are submitted before the oldest is collected.
    `launch(slot, batch, stream)` puts the computation of a slot's first `batch` frames on a stream; nothing else may.
    """

    def __init__(
        self,
        device: CudaDevice,
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
                device.pinned(shape, np.uint8),
                device.memory(shape, np.uint8),
                {name: device.memory(full, np.float32) for name, full in shapes.items()},
                {name: device.pinned(full, np.float32) for name, full in shapes.items()},
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
        """Start a batch [B, H, W, 3]; `frames` may be changed afterwards."""
        slot, device, count = self.slots[self._submitted % SLOTS], self._device, len(frames)
        # free memory: what last used this slot was collected, so its upload, computation and download are over
        slot.host_frames[:count] = frames
        device.upload(slot.frames.first(count), slot.host_frames[:count], self._upload)
        device.record(slot.uploaded, self._upload)
        device.wait(self.compute, slot.uploaded)
        self._launch(slot, count, self.compute)
        device.record(slot.computed, self.compute)
        device.wait(self._download, slot.computed)
        for name, memory in slot.outputs.items():
            device.download(slot.host_outputs[name][:count], memory.first(count), self._download)
        device.record(slot.downloaded, self._download)
        slot.batch = count
        self._submitted += 1

    def collect(self) -> Outputs[NDArray[np.float32]]:
        """Return the outputs of the oldest batch under way, as copies."""
        slot = self.slots[self._collected % SLOTS]
        self._collected, count, slot.batch = self._collected + 1, slot.batch, 0
        self._device.synchronise(slot.downloaded)
        return Outputs(*(slot.host_outputs[name][:count].copy() for name in Outputs._fields))
