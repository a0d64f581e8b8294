"""ONNX Runtime: CPUs, and NVIDIA GPUs with onnxruntime-gpu."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.base import BaseEngine
from engines.errors import EngineUnavailableError
from engines.onnxruntime_import import import_onnxruntime
from engines.request import EngineRequest
from hoiclip.types import Outputs

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntimeEngine(BaseEngine):
    """Run the exported graph in single precision with exactly the provider that was asked for."""

    def __init__(self, request: EngineRequest, *, device: str = "cpu") -> None:
        ort = import_onnxruntime()
        provider = _PROVIDERS[device]
        if provider not in ort.get_available_providers():
            raise EngineUnavailableError(
                f"onnxruntime: no {provider}; pip install onnxruntime-gpu instead of onnxruntime, or choose device cpu"
            )
        precision = request.precision_among("onnxruntime", ("fp32",), "fp32")
        super().__init__(f"onnxruntime-{device}-{precision}", request.canvas, request.max_batch)
        options = ort.SessionOptions()
        if request.threads is not None:
            options.intra_op_num_threads = request.threads
        graph = request.loaded.graph(request.canvas, request.cache_dir)
        self._session: Any = ort.InferenceSession(str(graph), options, providers=[provider])
        # onnxruntime itself falls back to the CPU when the CUDA libraries do not load
        if (used := self._session.get_providers()[0]) != provider:
            raise EngineUnavailableError(f"onnxruntime: asked for {provider}, got {used}; its libraries do not load")

    def _run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        return Outputs(*self._session.run(list(Outputs._fields), {"frames": frames}))

    def close(self) -> None:
        """Free the session."""
        self._session = None
