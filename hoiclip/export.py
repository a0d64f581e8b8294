"""Export the vision graph to ONNX: static height and width, dynamic batch, nothing but plain operators."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hoiclip.cache import BuildCache
from hoiclip.errors import HoistreamError, InputError
from hoiclip.folding import fold_batch_norm
from hoiclip.types import BORDERS, Canvas, Outputs

if TYPE_CHECKING:
    from hoiclip.model import HoiClip
    from hoiclip.weights import TorchModel

logger = logging.getLogger(__name__)
OPSET = 20
LARGEST_BATCH = 64
_REVISION = 4  # raise when the exported graph changes for the same weights


def export(loaded: TorchModel, canvas: Canvas, cache_dir: Path | None = None) -> Path:
    """Return the ONNX file of a model and canvas, exporting it unless it is cached; weights lie beside it.

    Input `frames` uint8 [B, H, W, 3] with 1 <= B <= 64; outputs are named by the fields of `hoiclip.types.Outputs`,
    values between groups of layers by `BORDERS`.
    Raises InputError without onnx, and HoistreamError when the exported graph is not what engines need.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError("export: onnx is not installed; pip install 'hoistream[torch]'") from error
    cache = BuildCache(cache_dir)
    facts = {
        "kind": "onnx",
        "weights": loaded.fingerprint,
        "canvas": str(canvas),
        "opset": OPSET,
        "torch": torch.__version__,
        "onnx": onnx.__version__,
        "revision": _REVISION,
    }
    if found := cache.find(facts):
        return found / "graph.onnx"
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # it warns of each split that it leaves as it is
    logger.info("exporting the graph for canvas %s", canvas)
    part = cache.begin(facts)
    _export(loaded, canvas, part / "graph.onnx")
    check(part / "graph.onnx")
    return cache.commit(facts, part) / "graph.onnx"


class _Named(nn.Module):
    """The model, whose borders are outputs for as long as the export lasts, so that they get names."""

    def __init__(self, model: HoiClip) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs, then the borders."""
        features = self.model.features(*self.model.prepare(frames))
        return (*self.model.heads(features, last_only=True), *(getattr(features, name) for name in BORDERS))


def _export(loaded: TorchModel, canvas: Canvas, path: Path) -> None:
    model = fold_batch_norm(loaded.module)
    frames = torch.zeros(2, canvas.height, canvas.width, 3, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    # one eager run fills the cached crop matrices and positions with real values, which tracing would take for fakes
    with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        model(frames)
        program = torch.export.export(_Named(model), (frames,), dynamic_shapes=({0: batch},), strict=False)
        exported = torch.onnx.export(
            program,
            (frames,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["frames"],
            output_names=[*Outputs._fields, *BORDERS],
            verbose=False,
        )
        if exported is None:
            raise HoistreamError("export: torch.onnx returned nothing; update torch and onnxscript")
        exported.save(str(path), external_data=True)
    _hide_borders(path)


def _hide_borders(path: Path) -> None:
    """Take the borders off the graph's outputs; the values keep their names."""
    import onnx

    proto = onnx.load(str(path), load_external_data=False)
    for output in [value for value in proto.graph.output if value.name in BORDERS]:
        proto.graph.output.remove(output)
    onnx.save(proto, str(path))


def check(path: Path) -> None:
    """Raise HoistreamError unless the graph uses its frames, has no control flow and keeps LayerNormalization whole."""
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
