"""The exported graph as compilers like it that fold nothing themselves: single precision, no batch norm, one data file.

Exported graphs keep weights as they are stored, in half precision where that loses nothing, with Cast and Transpose
behind them, and batch norm apart from the convolutions. TensorRT's strongly typed networks and quantisation look at
the weights of a convolution itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.rewritten_graph import rewritten
from hoiclip.hashes import file_sha256
from hoiclip.types import Canvas

if TYPE_CHECKING:
    from hoiclip.loaded import LoadedModel

_REVISION = 1  # raise when the same graph is rewritten differently
_SINGLE = 1  # onnx.TensorProto.FLOAT


def plain_graph(loaded: LoadedModel, canvas: Canvas, cache_dir: Path | None = None) -> Path:
    """Return a model's graph with folded weights, made once; weights lie beside it.

    Raises EngineUnavailableError without onnx.
    """
    graph = loaded.graph(canvas, cache_dir)
    facts = {
        "kind": "onnx-plain",
        "weights": loaded.fingerprint,
        "graph": file_sha256(graph),
        "revision": _REVISION,
    }
    return rewritten(graph, facts, fold, cache_dir)


def fold(model: Any) -> Any:
    """Return the ONNX model, whose weights are loaded, with constants folded into weights; the argument is consumed."""
    from onnx import numpy_helper

    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    values: dict[str, NDArray[Any]] = {}

    def value(name: str) -> NDArray[Any]:
        if name not in values:
            values[name] = numpy_helper.to_array(weights[name])
        return values[name]

    def known(name: str) -> bool:
        return name in values or name in weights

    kept = []
    for node in graph.node:  # Cast and Transpose of weights
        if node.op_type == "Cast" and known(node.input[0]) and _attribute(node, "to").i == _SINGLE:
            values[node.output[0]] = value(node.input[0]).astype(np.float32)
        elif node.op_type == "Transpose" and known(node.input[0]):
            values[node.output[0]] = value(node.input[0]).transpose(_attribute(node, "perm").ints)
        else:
            kept.append(node)
    readers: dict[str, list[Any]] = {}
    for node in kept:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    gone: set[str] = set()
    for conv in kept:
        if conv.op_type != "Conv" or not known(conv.input[1]):
            continue
        scale = _channel_step(conv.output[0], "Mul", readers, known)
        shift = _channel_step(scale.output[0], "Add", readers, known) if scale is not None else None
        if scale is None or shift is None or len(conv.input) > 2:
            continue
        factor, offset = (
            value(next(name for name in node.input if known(name))).astype(np.float64).reshape(-1)
            for node in (scale, shift)
        )
        weight = value(conv.input[1]).astype(np.float64)
        if len(factor) != len(weight) or len(offset) != len(weight):
            continue
        names = (f"{conv.output[0]}@weight", f"{conv.output[0]}@bias")
        values[names[0]] = (weight * factor[:, None, None, None]).astype(np.float32)
        values[names[1]] = offset.astype(np.float32)
        del conv.input[1:]
        conv.input.extend(names)
        conv.output[0] = shift.output[0]
        gone |= {scale.name, shift.name}
    nodes = [node for node in kept if node.name not in gone]
    used = {name for node in nodes for name in node.input}
    tensors = [numpy_helper.from_array(np.ascontiguousarray(values[name]), name) for name in sorted(used & set(values))]
    tensors += [tensor for name, tensor in weights.items() if name in used and name not in values]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensors)
    return model


def _channel_step(name: str, operator: str, readers: dict[str, list[Any]], known: Any) -> Any | None:
    """Return the only reader of a value if it is `operator` with a constant, else None."""
    found = readers.get(name, [])
    if len(found) != 1 or found[0].op_type != operator or not any(known(other) for other in found[0].input):
        return None
    return found[0]


def _attribute(node: Any, name: str) -> Any:
    return next(attribute for attribute in node.attribute if attribute.name == name)
