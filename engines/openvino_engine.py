"""OpenVINO: the fastest exact engine on CPUs, and Intel GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from engines.base import BaseEngine
from engines.cache import BuildCache
from engines.errors import EngineUnavailableError
from engines.export import export
from hoiclip.types import Canvas, Outputs

if TYPE_CHECKING:
    from hoiclip.weights import LoadedModel

Precision = Literal["fp32", "bf16"]


class OpenVinoEngine(BaseEngine):
    """Run the exported graph with OpenVINO.

    The precision is always set: OpenVINO's own default on CPUs with bfloat16 is bf16, which moves logits.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        canvas: Canvas,
        max_batch: int = 8,
        *,
        precision: Precision = "fp32",
        device: str = "CPU",
        cache_dir: Path | None = None,
        threads: int | None = None,
    ) -> None:
        try:
            import openvino as ov
        except ImportError as error:
            raise EngineUnavailableError(
                "openvino: not installed; pip install 'hoistream[engines]', or choose engine torch"
            ) from error
        core = ov.Core()
        if device not in core.available_devices:
            raise EngineUnavailableError(f"openvino: no device {device}; this machine has {core.available_devices}")
        super().__init__(f"openvino-{device.lower()}-{precision}", canvas, max_batch)
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
            "PERFORMANCE_HINT": "LATENCY",
            # keyed by OpenVINO itself: graph, version, device and these options
            "CACHE_DIR": str(BuildCache(cache_dir).root / "openvino"),
        }
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        self._request: Any = core.compile_model(str(export(loaded, canvas, cache_dir)), device, options)
        self._request = self._request.create_infer_request()

    def _run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        self._request.infer({"frames": frames}, share_inputs=True)
        return Outputs(*(np.array(self._request.get_tensor(name).data, np.float32) for name in Outputs._fields))

    def close(self) -> None:
        """Free the compiled graph."""
        self._request = None
