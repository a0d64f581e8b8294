"""Choose an engine by name; each runtime is imported only when it is chosen."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

from engines.errors import EngineUnavailableError
from engines.nvidia import gpu_name
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


def _open_best(
    loaded: LoadedModel,
    canvas: Canvas,
    max_batch: int,
    precision: str | None,
    cache_dir: Path | None,
    threads: int | None,
    on_phase: OnPhase | None,
) -> Engine:
    """Return the first candidate that opens and is verified."""
    from engines.verified import verify

    def open_reference(kind: str) -> Engine:
        return open_engine(kind, loaded, canvas, max_batch=1, precision="fp32", cache_dir=cache_dir, threads=threads)

    passed_over = []
    for kind, reason in candidates():
        engine = None
        try:
            engine = open_engine(
                kind,
                loaded,
                canvas,
                max_batch=max_batch,
                precision=precision,
                cache_dir=cache_dir,
                threads=threads,
                on_phase=on_phase,
            )
            verdict = verify(engine, loaded, open_reference, cache_dir)
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
    if kind == "auto":
        return _open_best(loaded, canvas, max_batch, precision, cache_dir, threads, on_phase)
    if kind == "null":
        from engines.null_engine import NullEngine

        return NullEngine(loaded.config, canvas, max_batch)
    if kind == "torch":
        import torch

        from engines.torch_engine import Precision, TorchEngine

        cuda = torch.cuda.is_available()
        wanted = precision or ("fp16" if cuda else "fp32")
        chosen = next((known for known in get_args(Precision) if known == wanted), None)
        if chosen is None:
            raise EngineUnavailableError(f"torch: precision {wanted!r} is not one of {', '.join(get_args(Precision))}")
        return TorchEngine(
            loaded, canvas, max_batch, precision=chosen, device="cuda" if cuda else "cpu", threads=threads
        )
    if kind == "openvino":
        from engines.openvino_engine import OpenVinoEngine
        from engines.openvino_engine import Precision as OpenVinoPrecision

        exact = next((known for known in get_args(OpenVinoPrecision) if known == (precision or "fp32")), None)
        if exact is None:
            known = ", ".join(get_args(OpenVinoPrecision))
            raise EngineUnavailableError(f"openvino: precision {precision!r} is not one of {known}")
        return OpenVinoEngine(loaded, canvas, max_batch, precision=exact, cache_dir=cache_dir, threads=threads)
    if kind == "onnxruntime":
        from engines.onnxruntime_engine import OnnxRuntimeEngine

        if precision not in (None, "fp32"):
            raise EngineUnavailableError(f"onnxruntime: precision {precision!r} is not fp32, the only one it runs here")
        return OnnxRuntimeEngine(loaded, canvas, max_batch, cache_dir=cache_dir, threads=threads)
    if kind in ("tensorrt", "tensorrt-rtx"):
        from engines.tensorrt_engine import TensorRtEngine
        from engines.tensorrt_progress import log_phase

        flavour: Flavour = "tensorrt" if kind == "tensorrt" else "tensorrt-rtx"
        return TensorRtEngine(
            loaded,
            canvas,
            max_batch,
            flavour=flavour,
            precision=precision or "fp16",
            cache_dir=cache_dir,
            on_phase=on_phase or log_phase,
        )
    raise EngineUnavailableError(
        f"unknown engine {kind!r}; choose auto, torch, openvino, onnxruntime, tensorrt, tensorrt-rtx or null"
    )


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
