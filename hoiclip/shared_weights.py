"""Write ONNX graphs whose weights stay in the safetensors file that they came from, so that they exist once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

_TYPES: dict[str, type[np.floating[Any]]] = {"F16": np.float16, "F32": np.float32}
_INLINE_BYTES = 1024  # smaller constants cost more in names than in values


class StoredTensor(NamedTuple):
    """A tensor of a safetensors file and where its bytes lie."""

    name: str
    dtype: type[np.floating[Any]]  # float16 or float32
    shape: tuple[int, ...]
    offset: int  # bytes from the beginning of the file
    length: int  # bytes


def stored_tensors(weights: Path) -> Iterator[StoredTensor]:
    """Yield the floating-point tensors of a safetensors file.

    Source: the format's description, https://huggingface.co/docs/safetensors (length of the header, header, bytes).
    """
    with weights.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] in _TYPES:
            begin, end = entry["data_offsets"]
            yield StoredTensor(name, _TYPES[entry["dtype"]], tuple(entry["shape"]), 8 + size + begin, end - begin)


def save_graph(model: ir.Model, weights: Path, path: Path) -> None:
    """Write `model` to `path`, which must lie beside the safetensors file `weights`.

    Initializers whose values are in `weights`, as they are or transposed, become references into that file; the rest
    goes into the graph. What is exactly representable in half precision is stored in half, with a Cast behind it: the
    values that engines compute with are the same to the bit.
    """
    known: dict[tuple[tuple[int, ...], bytes], StoredTensor] = {}
    stored_bytes = np.memmap(weights, np.uint8, "r")
    for stored in stored_tensors(weights):
        raw = stored_bytes[stored.offset : stored.offset + stored.length]
        known.setdefault(_key(raw.view(stored.dtype).reshape(stored.shape)), stored)
    graph = model.graph
    first = graph[0]
    for value in list(graph.initializers.values()):
        assert value.const_value is not None
        array = value.const_value.numpy()
        if array.dtype != np.float32 or array.nbytes < _INLINE_BYTES:
            continue
        transposed = False
        found = known.get(_key(array))
        if found is None and array.ndim == 2:
            found, transposed = known.get(_key(array.T)), True
        if found is not None:
            tensor: ir.TensorProtocol = ir.ExternalTensor(
                weights.name,
                found.offset,
                found.length,
                ir.DataType.FLOAT16 if found.dtype is np.float16 else ir.DataType.FLOAT,
                shape=ir.Shape(found.shape),
                name=found.name,
                base_dir=weights.parent,
            )
            _replace(graph, first, value, tensor, transposed=transposed)
        elif (half := _exact_half(array)) is not None:
            _replace(graph, first, value, ir.Tensor(half, name=str(value.name)), transposed=False)
    _strip(model)
    ir.save(model, path)


def _strip(model: ir.Model) -> None:
    """Take out what the exporter notes for debugging: stack traces with this machine's paths, larger than the graph."""
    for holder in (model, model.graph, *model.graph, *(value for node in model.graph for value in node.outputs)):
        holder.metadata_props.clear()
        if not isinstance(holder, ir.Value):
            holder.doc_string = None


def _key(array: NDArray[Any]) -> tuple[tuple[int, ...], bytes]:
    single = np.ascontiguousarray(array, np.float32)
    return tuple(single.shape), hashlib.sha256(single.data).digest()


def _exact_half(array: NDArray[np.float32]) -> NDArray[np.float16] | None:
    """Return the array in half precision if that loses nothing."""
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), array) else None


def _replace(graph: ir.Graph, first: ir.Node, value: ir.Value, tensor: ir.TensorProtocol, *, transposed: bool) -> None:
    """Put `tensor` in the place of an initializer, with the nodes that give its type and shape before `first`."""
    name = str(value.name)
    if tensor.dtype == ir.DataType.FLOAT and not transposed:
        value.const_value = tensor
        return
    stored = ir.Value(
        name=f"{name}@stored",
        shape=ir.Shape(tensor.shape.numpy()),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    users = list(value.uses())
    graph.initializers.pop(name)
    graph.register_initializer(stored)
    current = stored
    steps: list[tuple[str, dict[str, Any]]] = []
    if tensor.dtype != ir.DataType.FLOAT:
        steps.append(("Cast", {"to": ir.DataType.FLOAT}))
    if transposed:
        steps.append(("Transpose", {"perm": [1, 0]}))
    for index, (operator, attributes) in enumerate(steps):
        last = index == len(steps) - 1
        node = ir.node(operator, [current], attributes, name=f"{name}@{operator.lower()}")
        node.outputs[0].name = name if last else f"{name}@single"
        node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        graph.insert_before(first, node)
        current = node.outputs[0]
    current.shape = value.shape
    for use in users:
        use.node.replace_input_with(use.idx, current)
