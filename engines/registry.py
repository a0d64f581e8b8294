"""Choose an engine by name; each runtime is imported only when it is chosen."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from engines.errors import EngineUnavailableError
from engines.nvidia import gpu_name
from engines.request import EngineRequest
from hoiclip.errors import HoistreamError
from hoiclip.types import Canvas, Engine

if TYPE_CHECKING:
    from engines.tensorrt_api import Flavour
    from engines.tensorrt_progress import OnPhase
    from hoiclip.loaded import LoadedModel

logger = logging.getLogger(__name__)
_ON_GPUS = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx_bindings", "torch": "torch"}  # the fastest first


class Choice(NamedTuple):
    """What ``auto`` may take, and why."""

    kind: str
    reason: str


def candidates() -> list[Choice]:
    """Return the engines that this machine may be able to run, the best first."""
    found = []
    if (name := gpu_name()) is not None:
        for kind, module in _ON_GPUS.items():
            if _has(module) and (kind != "torch" or _torch_has_cuda()):
                found.append(Choice(kind, f"{name} is present"))
        if not found:
            logger.warning("%s is present, but nothing that uses it; pip install 'hoistream[tensorrt-rtx]'", name)
    if _has("openvino"):
        found.append(Choice("openvino", "it is the fastest exact engine on CPUs"))
    if _has("onnxruntime"):
        found.append(Choice("onnxruntime", "it is exact on CPUs"))
    if _has("torch") and not any(choice.kind == "torch" for choice in found):
        found.append(Choice("torch", "nothing faster is installed (pip install 'hoistream[run]')"))
    return found


def _open_best(request: EngineRequest) -> Engine:
    """Return the first candidate that opens and is verified."""
    from engines.verified import verify

    def open_reference(kind: str) -> Engine:
        return OPENERS[kind](replace(request, max_batch=1, precision="fp32", on_phase=None))

    passed_over = []
    for kind, reason in candidates():
        engine = None
        try:
            engine = OPENERS[kind](request)
            verdict = verify(engine, request.loaded, open_reference, request.cache_dir)
        except (HoistreamError, RuntimeError, OSError) as error:  # of the runtimes as well: any of them may break
            passed_over.append(f"{kind}: {' '.join(str(error).split())}")
            logger.warning("engine auto: not %s", passed_over[-1])
            if engine is not None:
                _close(engine)
            continue
        logger.info("engine auto: %s, because %s; verified: %s", engine.name, reason, verdict)
        return engine
    raise EngineUnavailableError(f"auto: no engine runs here; {'; '.join(passed_over) or 'none is installed'}")


def _close(engine: Engine) -> None:
    try:
        engine.close()
    except HoistreamError as error:
        logger.warning("%s: while closing: %s", engine.name, error)


def _torch_has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def open_engine(
    kind: str,
    loaded: LoadedModel,
    canvas: Canvas,
    *,
    max_batch: int = 8,
    precision: str | None = None,
    cache_dir: Path | None = None,
    threads: int | None = None,
    on_phase: OnPhase | None = None,
) -> Engine:
    """Return an engine for one canvas.

    `on_phase` gets the progress of a build that takes minutes (TensorRT's); without it the log does.
    ``auto`` takes the best that runs here and was found right here (`engines.verified`), and logs why; each one that it
    passes over is named with the reason. Any other kind that cannot run, or does not know `precision`, raises
    EngineUnavailableError: there is no silent fallback.
    """
    request = EngineRequest(loaded, canvas, max_batch, precision, cache_dir, threads, on_phase)
    if kind not in OPENERS:
        raise EngineUnavailableError(f"unknown engine {kind!r}; choose {', '.join(list(OPENERS)[:-1])} or null")
    return OPENERS[kind](request)


def _open_torch(request: EngineRequest) -> Engine:
    import torch

    from engines.torch_engine import TorchEngine

    return TorchEngine(request, device="cuda" if torch.cuda.is_available() else "cpu")


def _open_openvino(request: EngineRequest) -> Engine:
    from engines.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(request)


def _open_onnxruntime(request: EngineRequest) -> Engine:
    from engines.onnxruntime_engine import OnnxRuntimeEngine

    return OnnxRuntimeEngine(request)


def _open_tensorrt(flavour: Flavour, request: EngineRequest) -> Engine:
    from engines.tensorrt_engine import TensorRtEngine

    return TensorRtEngine(request, flavour=flavour)


def _open_null(request: EngineRequest) -> Engine:
    from engines.null_engine import NullEngine

    return NullEngine(request.loaded.config, request.canvas, request.max_batch)


OPENERS: dict[str, Callable[[EngineRequest], Engine]] = {  # each imports its runtime when it is called
    "auto": _open_best,
    "torch": _open_torch,
    "openvino": _open_openvino,
    "onnxruntime": _open_onnxruntime,
    "tensorrt": partial(_open_tensorrt, "tensorrt"),
    "tensorrt-rtx": partial(_open_tensorrt, "tensorrt-rtx"),
    "null": _open_null,
}


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
