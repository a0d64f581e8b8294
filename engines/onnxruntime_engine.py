"""ONNX Runtime: CPUs, and NVIDIA GPUs with onnxruntime-gpu."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.base import BaseEngine
from engines.errors import EngineUnavailableError
from hoiclip.types import Canvas, Outputs

if TYPE_CHECKING:
    from hoiclip.loaded import LoadedModel

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntimeEngine(BaseEngine):
    """Run the exported graph in single precision with exactly the provider that was asked for."""

    def __init__(
        self,
        loaded: LoadedModel,
        canvas: Canvas,
        max_batch: int = 8,
        *,
        device: str = "cpu",
        cache_dir: Path | None = None,
        threads: int | None = None,
    ) -> None:
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise EngineUnavailableError(
                "onnxruntime: not installed; pip install 'hoistream[onnxruntime]', or choose engine torch"
            ) from error
        provider = _PROVIDERS[device]
        if provider not in ort.get_available_providers():
            raise EngineUnavailableError(
                f"onnxruntime: no {provider}; pip install onnxruntime-gpu instead of onnxruntime, or choose device cpu"
            )
        super().__init__(f"onnxruntime-{device}-fp32", canvas, max_batch)
        options = ort.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        self._session: Any = ort.InferenceSession(str(loaded.graph(canvas, cache_dir)), options, providers=[provider])
        # onnxruntime itself falls back to the CPU when the CUDA libraries do not load
        if (used := self._session.get_providers()[0]) != provider:
            raise EngineUnavailableError(f"onnxruntime: asked for {provider}, got {used}; its libraries do not load")

    def _run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        return Outputs(*self._session.run(list(Outputs._fields), {"frames": frames}))

    def close(self) -> None:
        """Free the session."""
        self._session = None
