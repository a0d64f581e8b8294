"""TensorRT and TensorRT-RTX: the engines for NVIDIA GPUs, from a plan that is built once."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from engines.base import QueueingEngine
from engines.cuda_buffers import SLOTS
from engines.cuda_device import CudaDevice
from engines.errors import EngineError
from engines.request import EngineRequest
from engines.tensorrt_api import Flavour, bindings
from engines.tensorrt_kernels import KernelCache
from engines.tensorrt_plan import plan_for
from engines.tensorrt_progress import log_phase
from engines.tensorrt_runtime import PlanRunner
from hoiclip.config import ModelConfig
from hoiclip.types import Outputs


class TensorRtEngine(QueueingEngine):
    """Run a plan on this machine's GPU, built when none in the cache fits.

    fp16 keeps pixels, LayerNorm, softmax and heads in single precision (`engines.tensorrt_half`); fp32 is exact,
    without TF32. A batch is uploaded from pinned memory and computed as one CUDA graph a batch size.
    """

    def __init__(self, request: EngineRequest, *, flavour: Flavour) -> None:
        canvas, max_batch = request.canvas, request.max_batch
        precision = request.precision or "fp16"  # what a plan can be built in is its builder's to say
        super().__init__(f"{flavour}-cuda-{precision}", canvas, max_batch, max_in_flight=SLOTS)
        trt = bindings(flavour)
        with ExitStack() as opened:
            device = CudaDevice()
            opened.callback(device.close)
            plan = plan_for(
                flavour,
                request.loaded,
                canvas,
                max_batch=max_batch,
                precision=precision,
                gpu=device.gpu,
                cache_dir=request.cache_dir,
                on_phase=request.on_phase or log_phase,
            )
            kernels = KernelCache(plan.path.with_name("kernels.cache")) if flavour == "tensorrt-rtx" else None
            shapes = output_shapes(request.loaded.config)
            runner = PlanRunner(
                trt, flavour, plan.path.read_bytes(), canvas, max_batch, shapes, device, kernels=kernels
            )
            self.build = str(plan.record["sha256"])
            opened.callback(runner.close)  # before the device, whose memory it uses
            self._runner: PlanRunner | None = runner
            self._opened = opened.pop_all()

    def submit(self, frames: NDArray[np.uint8]) -> None:
        """Start a batch: upload, computation and download are put on the GPU's streams."""
        self._open()  # closed comes before any other complaint
        super().submit(frames)

    def _start(self, frames: NDArray[np.uint8]) -> None:
        self._open().submit(frames)

    def _finish(self) -> Outputs[NDArray[np.float32]]:
        return self._open().collect()

    def _open(self) -> PlanRunner:
        if self._runner is None:
            raise EngineError(f"{self.name}: the engine is closed")
        return self._runner

    def close(self) -> None:
        """Wait for what is in flight, then free the plan and all of its memory, once."""
        self._runner = None
        self._opened.close()


def output_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of each output of one frame, by name."""
    queries, embedding = config.num_queries, config.clip.embed_dim
    return Outputs(
        human_boxes=(queries, 4),
        object_boxes=(queries, 4),
        object_logits=(queries, config.num_objects + 1),
        interaction_embeddings=(queries, embedding),
        verb_embeddings=(queries, embedding),
        clip_embedding=(embedding,),
    )._asdict()
