"""OpenVINO: the fastest engine on CPUs, exact by default, and Intel GPUs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.base import BaseEngine
from engines.errors import EngineUnavailableError
from engines.openvino_compiled import Step, compiled
from engines.openvino_import import import_openvino
from engines.openvino_parts import GROUPS, INPUT, ParallelParts, part
from engines.openvino_requests import Requests, Runner, choices, fastest
from engines.request import EngineRequest
from hoiclip.hashes import file_sha256
from hoiclip.types import Outputs

PRECISIONS = ("fp32", "mixed", "bf16", "int8")


class OpenVinoEngine(BaseEngine):
    """Run the exported graph with OpenVINO, frame by frame.

    A batch is no faster on a CPU, and so each frame's result is the same in any batch; but several frames at a time,
    one thread each, may be (`engines.openvino_requests`). The precision is always set: OpenVINO's own default on CPUs
    with bfloat16 is bf16, which moves logits.

    * fp32: exact.
    * mixed: backbone, encoder and CLIP tower in bf16; decoders, boxes and cosine normalisation in fp32. Measured by
      layer group in docs/engines.md.
    * bf16: everything.
    * int8: mixed with an int8 backbone, which must have been calibrated (`engines.openvino_int8`).
    """

    def __init__(self, request: EngineRequest, *, device: str = "CPU") -> None:
        loaded, canvas, cache_dir = request.loaded, request.canvas, request.cache_dir
        precision = request.precision_among("openvino", PRECISIONS, "fp32")
        super().__init__(f"openvino-{device.lower()}-{precision}", canvas, request.max_batch)
        _check_device(device)
        graph = loaded.graph(canvas, cache_dir)
        facts = {
            "weights": loaded.fingerprint,
            "canvas": str(canvas),
            "graph": file_sha256(graph),
            "precision": precision,
        }

        def cut(inputs: tuple[str, ...], outputs: tuple[str, ...], arithmetic: str) -> Step:
            return Step(inputs, outputs, arithmetic, lambda: part(graph, canvas, inputs, outputs))

        if precision in ("fp32", "bf16"):
            steps = [cut((INPUT,), Outputs._fields, precision)]
        elif precision == "mixed":
            steps = [
                cut((INPUT,), ("memory", "clip_tokens", "clip_embedding"), "bf16"),
                cut(*GROUPS["decoders"], "fp32"),
            ]
        else:
            from engines.openvino_int8 import calibrated

            backbone = calibrated(loaded, canvas, cache_dir)
            facts["backbone"] = file_sha256(backbone, backbone.with_suffix(".bin"))
            steps = [
                Step(*GROUPS["backbone"], "bf16", lambda: import_openvino().Core().read_model(str(backbone))),
                cut((INPUT, "projected"), ("memory", "clip_tokens", "clip_embedding"), "bf16"),
                cut(*GROUPS["decoders"], "fp32"),
            ]

        def open_requests(requests: Requests) -> ParallelParts:
            return ParallelParts(steps, compiled(steps, device, requests.options, facts, cache_dir), requests.at_once)

        ways = choices(device, request.max_batch, request.threads)
        self._parts: Runner | None = fastest(ways, open_requests, canvas, facts, cache_dir)

    def _run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        assert self._parts is not None, "the engine is closed"
        return self._parts.run(frames)

    def close(self) -> None:
        """Free the compiled graphs."""
        if self._parts is not None:
            self._parts.close()
        self._parts = None


def _check_device(device: str) -> None:
    """Raise EngineUnavailableError where OpenVINO has no such device; naming them takes a while, asking does not."""
    core = import_openvino().Core()
    try:
        core.get_property(device, "FULL_DEVICE_NAME")
    except RuntimeError as error:
        raise EngineUnavailableError(
            f"openvino: no device {device}; this machine has {core.available_devices}"
        ) from error
