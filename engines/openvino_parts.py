"""Cut a graph into parts that OpenVINO compiles each in its own precision.

One compiled model has one precision on CPUs, so a change of precision needs two of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.openvino_compiled import Compiled, Step
from engines.openvino_import import import_openvino
from hoiclip.types import Canvas, Outputs, concatenate

INPUT = "frames"


def part(graph: Path, canvas: Canvas, inputs: Sequence[str], outputs: Sequence[str]) -> Any:
    """Return the OpenVINO model from `inputs` to `outputs` (ONNX value names) for one frame.

    The batch is fixed to one: with a free batch a third of the time goes into shapes.
    """
    ov, passes = import_openvino(), import_openvino("passes")
    op = ov.opset13
    model = ov.Core().read_model(str(graph))
    model.reshape({INPUT: [1, canvas.height, canvas.width, 3]})
    manager = passes.Manager()
    manager.register_pass(passes.ConstantFolding())  # shapes taken of the frames would tie every part to them
    manager.run_passes(model)
    ports = {name: port for node in model.get_ordered_ops() for port in node.outputs() for name in port.get_names()}
    parameters = []
    for name in inputs:
        if name == INPUT:
            parameters.append(model.inputs[0].get_node())
            continue
        parameter = op.parameter(ports[name].get_shape(), np.float32)
        parameter.output(0).set_names({name})
        for reader in ports[name].get_target_inputs():
            reader.replace_source_output(parameter.output(0))
        parameters.append(parameter)
    ends = {result.input_value(0).get_any_name(): result for result in model.get_results()}
    results = [ends.get(name) or op.result(ports[name]) for name in outputs]
    return ov.Model(results, parameters, "part")


class Parts:
    """Compiled parts of one graph, run one after the other; what one gives the next may read."""

    def __init__(self, steps: Sequence[Step], models: Sequence[Compiled]) -> None:
        self._models = models  # whose memory the requests use
        self._steps = [
            (each.model.create_infer_request(), step.inputs, step.outputs)
            for step, each in zip(steps, models, strict=True)
        ]

    def run(self, frame: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        """Return the outputs of one frame uint8 [1, H, W, 3]; copies, since the next run overwrites them."""
        values: dict[str, Any] = {INPUT: frame}
        for request, inputs, outputs in self._steps:
            request.infer([values[name] for name in inputs], share_inputs=True)
            for index, name in enumerate(outputs):
                values[name] = request.get_output_tensor(index).data
        return Outputs(*(np.array(values[name], np.float32) for name in Outputs._fields))


class ParallelParts:
    """Run the frames of a batch `count` at a time, each from the first part to the last on a request of its own."""

    def __init__(self, steps: Sequence[Step], models: Sequence[Compiled], count: int) -> None:
        self._requests = [Parts(steps, models) for _ in range(count)]
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="openvino") if count > 1 else None

    def run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        """Return the outputs of frames uint8 [B, H, W, 3]."""
        alone = [frames[index : index + 1] for index in range(len(frames))]
        if self._pool is None or len(frames) == 1:
            return concatenate(_run_all(self._requests[0], alone))
        count = len(self._requests)
        shares = list(self._pool.map(_run_all, self._requests, [alone[number::count] for number in range(count)]))
        return concatenate([shares[index % count][index // count] for index in range(len(frames))])

    def close(self) -> None:
        """End the threads and free the requests."""
        if self._pool is not None:
            self._pool.shutdown()
        self._requests = []


def _run_all(parts: Parts, frames: Sequence[NDArray[np.uint8]]) -> list[Outputs[NDArray[np.float32]]]:
    return [parts.run(frame) for frame in frames]


GROUPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "backbone": ((INPUT,), ("projected",)),
    "encoder": (("projected",), ("memory",)),
    "clip": ((INPUT,), ("clip_tokens", "clip_embedding")),
    "decoders": (("memory", "clip_tokens"), tuple(name for name in Outputs._fields if name != "clip_embedding")),
}
"""Inputs and outputs of each group of layers; see `hoiclip.types.BORDERS`."""
