"""Export a model's graphs to ONNX: nothing but plain operators, weights in the safetensors file beside them."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hoiclip.cache import BuildCache
from hoiclip.errors import HoistreamError, InputError
from hoiclip.types import BORDERS, Canvas, Outputs

if TYPE_CHECKING:
    from hoiclip.model import HoiClip
    from hoiclip.weights import TorchModel

logger = logging.getLogger(__name__)
OPSET = 20
LARGEST_BATCH = 64
MOST_TEXTS = 4096
TOKENS, EMBEDDINGS = "tokens", "embeddings"  # input and output of the text graph
_REVISION = 5  # raise when the exported graph changes for the same weights
_GRAPH, _WEIGHTS = "graph.onnx", "model.safetensors"


def export(loaded: TorchModel, canvas: Canvas, cache_dir: Path | None = None) -> Path:
    """Return the ONNX file of a model's vision graph, exporting it unless it is cached; its weights lie beside it.

    Raises InputError without onnx, and HoistreamError when the exported graph is not what engines need.
    """
    facts = {
        "kind": "onnx",
        "weights": loaded.fingerprint,
        "canvas": str(canvas),
        "opset": OPSET,
        **exporter_versions(),
        "revision": _REVISION,
    }
    cache = BuildCache(cache_dir)
    if found := cache.find(facts):
        return found / _GRAPH
    logger.info("exporting the graph for canvas %s", canvas)
    part = cache.begin(facts)
    shutil.copyfile(loaded.path, part / _WEIGHTS)
    write_vision_graph(loaded.module, canvas, part / _WEIGHTS, part / _GRAPH)
    return cache.commit(facts, part) / _GRAPH


def exporter_versions() -> dict[str, str]:
    """Return what an exported graph depends on besides the model. Raises InputError where it is not installed."""
    try:
        import onnx
        import onnxscript
    except ImportError as error:
        raise InputError("exporting needs onnx and onnxscript; pip install 'hoistream[torch]'") from error
    return {"torch": torch.__version__, "onnx": onnx.__version__, "onnxscript": onnxscript.__version__}


def write_vision_graph(model: HoiClip, canvas: Canvas, weights: Path, path: Path) -> None:
    """Write the vision graph of one canvas to `path`, beside the safetensors file that holds the model's weights.

    Height and width are fixed, the batch is 1 to 64. Batch norm stays apart from the convolutions, whose weights are
    then those of the file; engines fold it themselves. Raises HoistreamError for a graph that engines cannot use.
    """
    frames = torch.zeros(2, canvas.height, canvas.width, 3, dtype=torch.uint8)
    with torch.no_grad():
        model(frames)  # fills the cached crop matrices and positions, which tracing would take for fakes
    _write(
        _Vision(model),
        {"frames": frames},
        (*Outputs._fields, *BORDERS),
        LARGEST_BATCH,
        weights,
        path,
        hidden=BORDERS,
    )
    check(path)


def write_text_graph(model: HoiClip, weights: Path, path: Path) -> None:
    """Write the text tower, `tokens` int64 [N, context length] to `embeddings` [N, E] (unit rows), to `path`."""
    tokens = torch.zeros(2, model.config.clip.context_length, dtype=torch.int64)
    _write(_Text(model), {TOKENS: tokens}, (EMBEDDINGS,), MOST_TEXTS, weights, path)


class _Vision(nn.Module):
    """The model, whose borders are outputs for as long as the export lasts, so that they get names."""

    def __init__(self, model: HoiClip) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs, then the borders."""
        features = self.model.features(*self.model.prepare(frames))
        return (*self.model.heads(features, last_only=True), *(getattr(features, name) for name in BORDERS))


class _Text(nn.Module):
    """The text tower with the normalisation of its rows."""

    def __init__(self, model: HoiClip) -> None:
        super().__init__()
        self.towers = model.clip

    def forward(self, tokens: Tensor) -> Tensor:
        """Return unit rows [N, E] for tokens [N, context length]."""
        return F.normalize(self.towers.encode_text(tokens).float(), dim=-1)


def _write(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    most: int,
    weights: Path,
    path: Path,
    hidden: Sequence[str] = (),
) -> None:
    """Export with a free first dimension of 1 to `most`; `hidden` outputs keep their names inside the graph only."""
    from hoiclip.shared_weights import save_graph

    for name in ("onnxscript", "onnx_ir"):  # they warn of each split that they leave as it is
        logging.getLogger(name).setLevel(logging.ERROR)
    batch = torch.export.Dim("batch", min=1, max=most)
    with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        example = tuple(inputs.values())
        program = torch.export.export(module, example, dynamic_shapes=({0: batch},) * len(example), strict=False)
        exported = torch.onnx.export(
            program,
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            verbose=False,
        )
    if exported is None:
        raise HoistreamError("export: torch.onnx returned nothing; update torch and onnxscript")
    graph: Any = exported.model.graph
    for value in [value for value in graph.outputs if value.name in hidden]:
        graph.outputs.remove(value)
    save_graph(exported.model, weights, path)


def check(path: Path) -> None:
    """Raise HoistreamError unless the vision graph is whole: frames used, no control flow, LayerNormalization kept."""
    import onnx

    graph: Any = onnx.load(str(path), load_external_data=False).graph
    names = {node.op_type for node in graph.node}
    if control := names & {"If", "Loop", "Scan"}:
        raise HoistreamError(f"{path}: control flow in the graph: {sorted(control)}")
    if not any("frames" in node.input for node in graph.node):
        raise HoistreamError(f"{path}: the frames are not used by the graph")
    if "LayerNormalization" not in names:
        raise HoistreamError(f"{path}: LayerNormalization was decomposed")
    values = {name for node in graph.node for name in node.output}
    if missing := [name for name in BORDERS if name not in values]:
        raise HoistreamError(f"{path}: the graph has no value named {', '.join(missing)}")
    if [output.name for output in graph.output] != list(Outputs._fields):
        raise HoistreamError(f"{path}: outputs are {[output.name for output in graph.output]}")
