"""Turn an exported graph into half precision, keeping in single precision what half would spoil.

TensorRT networks are strongly typed: every layer computes in the types that its graph states, so the precision is
decided here, before parsing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from engines.errors import EngineError
from engines.rewritten_graph import rewritten
from hoiclip.hashes import file_sha256

KEPT = frozenset({"LayerNormalization", "Softmax", "ReduceL2"})
"""Operators that always compute in single precision: sums of squares and exponentials overflow in half."""
_SOURCES = frozenset({"Cast", "Constant", "ConstantOfShape"})  # they state their own type
_HALF, _SINGLE = "@half", "@single"  # ends of the names of values in another type
_REVISION = 1  # raise when the same graph is converted differently
_LARGEST_HALF = 65504.0


def half_graph(graph: Path, cache_dir: Path | None = None) -> Path:
    """Return the half-precision copy of an exported graph, made once; weights lie beside it.

    Inputs and outputs keep their types. Raises EngineError for a graph whose types are unknown, or whose weights half
    precision cannot hold.
    """
    facts = {"kind": "onnx-fp16", "graph": graph_hash(graph), "revision": _REVISION}
    return rewritten(graph, facts, convert, cache_dir)


def graph_hash(graph: Path) -> str:
    """Return the SHA-256 of a graph and of the weights beside it."""
    data = graph.with_name(graph.name + ".data")
    return file_sha256(graph, *([data] if data.is_file() else []))


def convert(model: Any) -> Any:
    """Return the ONNX model, whose weights are loaded, with casts put in; the argument is consumed.

    In single precision stay: everything before the first convolution (pixels are whole numbers up to 255 and the crop
    rounds them), `KEPT`, and the heads, that is everything between the last LayerNormalization and an output (boxes,
    cosine normalisation, logits).
    """
    import onnx

    graph = model.graph
    types = _types(model)
    single = _before_convolutions(graph) | _heads(graph)
    single |= {node.output[0] for node in graph.node if node.op_type in KEPT | _SOURCES}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    single_outputs = {name for node in graph.node if node.output[0] in single for name in node.output}
    single_outputs |= {value.name for value in graph.input}
    casts: dict[tuple[str, int], str] = {}
    nodes: list[Any] = []
    used: dict[str, set[int]] = {}  # weight: types it is read in
    single_type, half_type = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
    for node in graph.node:
        wanted = single_type if node.output[0] in single else half_type
        for index, name in enumerate(node.input):
            if types.get(name) != single_type:
                continue
            if name in weights:
                used.setdefault(name, set()).add(wanted)
                if wanted == half_type:
                    node.input[index] = name + _HALF
                continue
            if (single_type if name in single_outputs else half_type) == wanted:
                continue
            if (name, wanted) not in casts:
                casts[name, wanted] = name + (_SINGLE if wanted == single_type else _HALF)
                nodes.append(onnx.helper.make_node("Cast", [name], [casts[name, wanted]], to=wanted))
            node.input[index] = casts[name, wanted]
        nodes.append(node)
    kept = [
        _weight(weights[name], half) for name, kinds in used.items() for half in sorted(k == half_type for k in kinds)
    ]
    kept += [tensor for tensor in graph.initializer if types[tensor.name] != single_type]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    onnx.checker.check_model(model)
    return model


def _types(model: Any) -> dict[str, int]:
    """Return the element type of every value."""
    import onnx

    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for tensor in bare.graph.initializer:  # the values of large ones are not needed, and copying them is slow
        if len(tensor.raw_data) > 1024:
            tensor.ClearField("raw_data")
    graph = onnx.shape_inference.infer_shapes(bare).graph
    values = (*graph.input, *graph.output, *graph.value_info)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    if unknown := [name for node in graph.node for name in node.output if name and name not in types]:
        raise EngineError(f"fp16: the types of {len(unknown)} values are unknown, the first is {unknown[0]}")
    return types


def _before_convolutions(graph: Any) -> set[str]:
    """Return the nodes, by their first output, that compute with pixels which no convolution has seen."""
    pixels = {value.name for value in graph.input}
    found: set[str] = set()
    for node in graph.node:  # sorted by dependence
        if node.op_type not in ("Conv", "Shape") and pixels.intersection(node.input):
            pixels.update(node.output)
            found.add(node.output[0])
    return found


def _heads(graph: Any) -> set[str]:
    """Return the nodes, by their first output, between the last LayerNormalization and each output."""
    producers = {name: node for node in graph.node for name in node.output}
    todo = [producers[value.name] for value in graph.output]
    found: set[str] = set()
    while todo:
        node = todo.pop()
        if node.output[0] in found or node.op_type in ("LayerNormalization", "Shape"):
            continue
        if node.op_type in ("Softmax", "Conv"):
            raise EngineError(f"fp16: {node.name} reaches an output without a LayerNormalization: no head begins there")
        found.add(node.output[0])
        todo += [producers[name] for name in node.input if name in producers]
    return found


def _weight(tensor: Any, half: bool) -> Any:
    """Return the initializer in the type it is read in, under the name that `convert` gave it."""
    import onnx
    from onnx import numpy_helper

    if not half:
        return tensor
    values = numpy_helper.to_array(tensor)
    if np.abs(values).max(initial=0.0) > _LARGEST_HALF or not np.isfinite(values).all():
        raise EngineError(f"fp16: {tensor.name} holds values that half precision cannot; build with precision fp32")
    converted: onnx.TensorProto = numpy_helper.from_array(values.astype(np.float16), tensor.name + _HALF)
    return converted
