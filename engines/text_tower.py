"""Run a bundle's text tower; only free text needs it, once a vocabulary."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineUnavailableError
from engines.onnxruntime_import import import_onnxruntime
from engines.openvino_import import import_openvino
from hoiclip.classifier import Floats

_INPUT, _OUTPUT = "tokens", "embeddings"


def run_text_graph(graph: Path, tokens: NDArray[np.int64]) -> Floats:
    """Return unit rows [N, E] for tokens int64 [N, context length], through whichever runtime is installed.

    Raises EngineUnavailableError where there is none.
    """
    if importlib.util.find_spec("openvino") is not None:
        ov = import_openvino()
        core = ov.Core()
        options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        model = core.read_model(str(graph))
        model.reshape({_INPUT: [1, tokens.shape[1]]})
        request = core.compile_model(model, "CPU", options).create_infer_request()
        rows = [request.infer([row[None]])[0].copy() for row in tokens]
        return np.concatenate(rows)
    if importlib.util.find_spec("onnxruntime") is not None:
        session = import_onnxruntime().InferenceSession(str(graph), providers=["CPUExecutionProvider"])
        embeddings: Floats = session.run([_OUTPUT], {_INPUT: tokens})[0]
        return embeddings
    raise EngineUnavailableError("free text needs OpenVINO or ONNX Runtime; pip install 'hoistream[run]'")
