"""The half-precision graph keeps in single precision what half would spoil, and stays close to the exported one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.errors import EngineError
from engines.loading import load_model
from engines.onnxruntime_import import import_onnxruntime
from engines.plain_graph import plain_graph
from engines.tensorrt_half import KEPT, convert, graph_hash, half_graph
from hoiclip.shipped import shipped_model
from hoiclip.types import Canvas, Outputs

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.xdist_group("engines")
CANVAS = Canvas(256, 448)


@pytest.fixture(scope="module")
def graphs() -> tuple[Path, Path]:
    graph = plain_graph(load_model(shipped_model()), CANVAS)
    return graph, half_graph(graph)


def inputs_by_type(model: Any) -> dict[str, set[tuple[str, int]]]:
    """Return for each operator the (node, element type) of its first input."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*inferred.input, *inferred.output, *inferred.value_info)}
    types |= {tensor.name: tensor.data_type for tensor in inferred.initializer}
    found: dict[str, set[tuple[str, int]]] = {}
    for node in inferred.node:
        if node.input:
            found.setdefault(node.op_type, set()).add((node.name, types[node.input[0]]))
    return found


def test_convolutions_are_half_and_normalisations_single(graphs: tuple[Path, Path]) -> None:
    found = inputs_by_type(onnx.load(str(graphs[1])))
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    assert {kind for _, kind in found["Conv"]} == {half}
    assert {operator: {kind for _, kind in found[operator]} for operator in KEPT} == {name: {single} for name in KEPT}
    heavy = [kind for _, kind in found["MatMul"]]
    assert heavy.count(half) > 100
    # crop (4), three layers of two boxes, the object classifier, three adapters, two projections into CLIP's space
    assert heavy.count(single) <= 20


def test_inputs_and_outputs_keep_their_types(graphs: tuple[Path, Path]) -> None:
    exported, half = (onnx.load(str(path), load_external_data=False).graph for path in graphs)
    assert list(half.input) == list(exported.input)
    assert list(half.output) == list(exported.output)


def test_half_precision_stays_close_on_the_trained_model(graphs: tuple[Path, Path]) -> None:
    pytest.importorskip("onnxruntime")
    ort = import_onnxruntime()
    frames = np.random.default_rng(5).integers(0, 256, (2, CANVAS.height, CANVAS.width, 3), np.uint8)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    expected, actual = (
        ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, {"frames": frames})
        for path in graphs
    )
    errors = {name: float(np.abs(a - b).max()) for name, a, b in zip(Outputs._fields, expected, actual, strict=True)}
    assert 1e-5 < errors["object_logits"] < 0.05, errors  # equal to single precision would mean nothing was converted
    assert max(errors[name] for name in errors if name != "object_logits") < 5e-3, errors


def test_a_conversion_is_made_once_and_found_by_content(graphs: tuple[Path, Path], tmp_path: Path) -> None:
    graph, half = graphs
    stamp = half.stat().st_mtime_ns
    assert half_graph(graph) == half
    assert half.stat().st_mtime_ns == stamp
    copy = tmp_path / graph.name
    copy.write_bytes(graph.read_bytes())
    data = graph.with_name("graph.onnx.data").read_bytes()
    copy.with_name("graph.onnx.data").write_bytes(data)
    assert graph_hash(copy) == graph_hash(graph)
    copy.with_name("graph.onnx.data").write_bytes(bytes([data[0] ^ 1]) + data[1:])
    assert graph_hash(copy) != graph_hash(graph)


def small(weight: float, *, normalised: bool = True) -> Any:
    """Return a graph Conv, (LayerNormalization,) Relu on frames uint8 [1, 4, 4, 2]."""
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", ["frames"], ["pixels"], "cast", to=kinds.FLOAT),
        helper.make_node("Conv", ["pixels", "w"], ["features"], "conv", kernel_shape=[1, 1]),
        helper.make_node(
            "LayerNormalization" if normalised else "Sigmoid", ["features", "scale"][: 1 + normalised], ["n"]
        ),
        helper.make_node("Relu", ["n"], ["out"], "relu"),
    ]
    w = np.full((2, 4, 1, 1), weight, np.float32)
    weights = [onnx.numpy_helper.from_array(w, "w"), onnx.numpy_helper.from_array(np.ones(2, np.float32), "scale")]
    frames = helper.make_tensor_value_info("frames", kinds.UINT8, [1, 4, 4, 2])
    out = helper.make_tensor_value_info("out", kinds.FLOAT, [1, 2, 4, 2])
    graph = helper.make_graph(nodes, "small", [frames], [out], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def test_casts_are_put_where_types_change() -> None:
    nodes = [(node.op_type, list(node.input)) for node in convert(small(2.0)).graph.node]
    assert nodes == [
        ("Cast", ["frames"]),
        ("Cast", ["pixels"]),
        ("Conv", ["pixels@half", "w@half"]),
        ("Cast", ["features"]),
        ("LayerNormalization", ["features@single", "scale"]),
        ("Relu", ["n"]),
    ]


def test_weights_that_half_precision_cannot_hold_are_refused() -> None:
    with pytest.raises(EngineError, match=r"w holds values .* build with precision fp32"):
        convert(small(1e6))


def test_a_graph_without_a_head_is_refused() -> None:
    with pytest.raises(EngineError, match="conv reaches an output without a LayerNormalization"):
        convert(small(1.0, normalised=False))
