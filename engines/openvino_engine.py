"""OpenVINO: the fastest engine on CPUs, exact by default, and Intel GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from engines.base import BaseEngine
from engines.errors import EngineUnavailableError
from engines.openvino_import import import_openvino
from engines.openvino_parts import GROUPS, INPUT, Parts, part
from hoiclip.cache import BuildCache
from hoiclip.types import Canvas, Outputs, concatenate

if TYPE_CHECKING:
    from hoiclip.loaded import LoadedModel

Precision = Literal["fp32", "mixed", "bf16", "int8"]


class OpenVinoEngine(BaseEngine):
    """Run the exported graph with OpenVINO, frame by frame.

    A batch is no faster on a CPU, and so each frame's result is the same in any batch. The precision is always set:
    OpenVINO's own default on CPUs with bfloat16 is bf16, which moves logits.

    * fp32: exact.
    * mixed: backbone, encoder and CLIP tower in bf16; decoders, boxes and cosine normalisation in fp32. Measured by
      layer group in docs/engines.md.
    * bf16: everything.
    * int8: mixed with an int8 backbone, which must have been calibrated (`engines.openvino_int8`).
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
        core = import_openvino().Core()
        if device not in core.available_devices:
            raise EngineUnavailableError(f"openvino: no device {device}; this machine has {core.available_devices}")
        super().__init__(f"openvino-{device.lower()}-{precision}", canvas, max_batch)
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            # keyed by OpenVINO itself: graph, version, device and these options
            "CACHE_DIR": str(BuildCache(cache_dir).root / "openvino"),
        }
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        graph = loaded.graph(canvas, cache_dir)
        parts = Parts(device, options)

        def add(inputs: tuple[str, ...], outputs: tuple[str, ...], arithmetic: str) -> None:
            parts.add(part(graph, canvas, inputs, outputs), inputs, outputs, arithmetic)

        if precision in ("fp32", "bf16"):
            add((INPUT,), Outputs._fields, precision)
        elif precision == "mixed":
            add((INPUT,), ("memory", "clip_tokens", "clip_embedding"), "bf16")
            add(*GROUPS["decoders"], "fp32")
        else:
            from engines.openvino_int8 import calibrated

            parts.add(core.read_model(str(calibrated(loaded, canvas, cache_dir))), *GROUPS["backbone"], "bf16")
            add((INPUT, "projected"), ("memory", "clip_tokens", "clip_embedding"), "bf16")
            add(*GROUPS["decoders"], "fp32")
        self._parts: Parts | None = parts

    def _run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        assert self._parts is not None, "the engine is closed"
        return concatenate([self._parts.run(frames[i : i + 1]) for i in range(len(frames))])

    def close(self) -> None:
        """Free the compiled graphs."""
        self._parts = None
