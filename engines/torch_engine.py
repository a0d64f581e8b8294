"""Eager PyTorch: the complete product on any machine, and what every other engine is measured against."""

from __future__ import annotations

import copy
import threading

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.base import BaseEngine
from engines.errors import EngineUnavailableError
from engines.request import EngineRequest
from hoiclip.folding import fold_batch_norm
from hoiclip.types import Outputs, concatenate
from hoiclip.weights import torch_model

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}  # by precision


class TorchEngine(BaseEngine):
    """Run the model as it is, with batch norm folded into the convolutions and channels last.

    On the CPU frames run one by one: a batch is no faster there, and each frame's result is the same in any batch.
    On CUDA batches run together in half precision, each batch size as a captured CUDA graph fed from pinned memory.
    """

    def __init__(self, request: EngineRequest, *, device: str = "cpu", fold: bool = True) -> None:
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise EngineUnavailableError(
                "torch: no usable NVIDIA GPU; choose device cpu, or install a driver and a CUDA build of torch"
            )
        precision = request.precision_among("torch", tuple(_TYPES), "fp32" if device == "cpu" else "fp16")
        super().__init__(f"torch-{device}-{precision}", request.canvas, request.max_batch)
        if request.threads is not None:
            torch.set_num_threads(request.threads)
        self._device = torch.device(device)
        self._type = _TYPES[precision]
        model = torch_model(request.loaded).module
        if self._device.type != "cpu":
            model = copy.deepcopy(model)  # the caller's keeps its place: its text tower may still be needed
        self._model = (fold_batch_norm(model) if fold else model).to(self._device).eval()
        if fold:
            self._model.backbone.to(memory_format=torch.channels_last)
        self._graphs: dict[int, _CudaGraph] = {}
        self._lock = threading.Lock()

    def _run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        if self._device.type == "cuda":
            with self._lock:
                return self._run_cuda(frames)
        with torch.inference_mode():
            return concatenate(
                [_to_numpy(self._forward(torch.from_numpy(frames[i : i + 1]))) for i in range(len(frames))]
            )

    def _forward(self, frames: Tensor) -> Outputs[Tensor]:
        with torch.autocast(self._device.type, self._type, enabled=self._type is not torch.float32):
            outputs: Outputs[Tensor] = self._model(frames)
        return outputs

    def _run_cuda(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        count = len(frames)
        if count not in self._graphs:
            self._graphs[count] = _CudaGraph(self._forward, (count, *frames.shape[1:]), self._device)
        return self._graphs[count](frames)

    def close(self) -> None:
        """Drop captured graphs."""
        self._graphs.clear()


class _CudaGraph:
    """One captured batch size: pinned upload, replay, download."""

    def __init__(self, forward: object, shape: tuple[int, ...], device: torch.device) -> None:
        assert callable(forward)
        self._pinned = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        self._input = torch.zeros(shape, dtype=torch.uint8, device=device)
        stream = torch.cuda.Stream(device)
        with torch.inference_mode(), torch.cuda.stream(stream):
            for _ in range(3):  # lazy initialisation must happen outside the capture
                forward(self._input)
        torch.cuda.current_stream(device).wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.graph(self._graph):
            self._outputs: Outputs[Tensor] = forward(self._input)

    def __call__(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        self._pinned.numpy()[:] = frames
        self._input.copy_(self._pinned, non_blocking=True)
        self._graph.replay()
        return _to_numpy(self._outputs)


def _to_numpy(outputs: Outputs[Tensor]) -> Outputs[NDArray[np.float32]]:
    return Outputs(*(value.float().cpu().numpy().copy() for value in outputs))
