"""Whether an engine computes on this machine what it should: compared once with another runtime, then remembered."""

from __future__ import annotations

import importlib.util
import json
import logging
import platform
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.parity import compare
from hoiclip.cache import BuildCache
from hoiclip.types import Canvas, Engine, Outputs

if TYPE_CHECKING:
    from hoiclip.loaded import LoadedModel

logger = logging.getLogger(__name__)
_REVISION = 1  # raise when the comparison changes
_PICTURES = 3
_PACKAGES = ("openvino", "onnxruntime", "torch", "tensorrt", "tensorrt_rtx_cu13_bindings", "cuda-bindings")
_RESULT = "parity.json"


class Limits(NamedTuple):
    """What an engine may differ by."""

    agreement: float  # share of the reference's best 100 that it ranks there as well, at least
    drift: float  # of any interaction's score, at most


EXACT, LOWER = Limits(0.99, 0.005), Limits(0.95, 0.05)

OpenReference = Callable[[str], Engine]
"""Opens an engine of a kind in single precision for the same model and canvas, batch 1."""


def verify(engine: Engine, loaded: LoadedModel, open_reference: OpenReference, cache_dir: Path | None = None) -> str:
    """Return in words how right the engine is, comparing it (seconds) unless this very engine was compared here before.

    The reference is OpenVINO or ONNX Runtime in single precision on the same graph, whichever the engine is not. An
    exact engine for CPUs with no other installed to compare with is the reference itself. Raises EngineError for one
    that is wrong, or that nothing can be compared with.
    """
    cache, facts = BuildCache(cache_dir), _facts(engine, loaded)
    if (found := cache.find(facts)) is not None:
        return f"{_words(json.loads((found / _RESULT).read_text(encoding='utf-8')))} (compared before)"
    kind = next((k for k in ("openvino", "onnxruntime") if _installed(k) and not engine.name.startswith(k)), None)
    if kind is None:
        if engine.name.startswith(("openvino-cpu-fp32", "onnxruntime-cpu-fp32")):
            return "the reference itself: no other runtime is installed to compare it with"
        raise EngineError(f"{engine.name}: nothing to verify it with; pip install openvino or onnxruntime")
    with closing(open_reference(kind)) as reference:
        result = _compared(reference, engine, loaded)
    limits = EXACT if engine.name.endswith("fp32") else LOWER
    if not (result["drift"] <= limits.drift and result["agreement"] >= limits.agreement):  # NaN is wrong as well
        raise EngineError(
            f"{engine.name}: wrong on this machine: {_words(result)}; allowed are {limits.agreement:.0%} and "
            f"{limits.drift:g}"
        )
    try:
        part = cache.begin(facts)
        (part / _RESULT).write_text(json.dumps(result, indent=2), encoding="utf-8")
        cache.commit(facts, part)
    except OSError as error:
        logger.warning("%s: the comparison cannot be remembered (%s)", cache.root, error)
    return _words(result)


def _compared(reference: Engine, engine: Engine, loaded: LoadedModel) -> dict[str, Any]:
    """Return the worst of one frame alone and, where batches have kernels of their own, of one in a full batch."""
    frames, classifier = pictures(engine.canvas, _PICTURES), loaded.classifier()
    tried = [engine] if engine.max_in_flight == 1 else [engine, _InFullBatch(engine)]
    results = [compare(reference, each, frames, classifier) for each in tried]  # type: ignore[arg-type]
    return {
        "reference": reference.name,
        "agreement": min(result.top_agreement for result in results),
        "drift": float(np.max([result.score_drift for result in results])),
    }


class _InFullBatch:
    """An engine seen through the last frame of its largest batch."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.canvas = engine.name, engine.canvas

    def infer(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        """Return the outputs of one frame, the others being its negative."""
        full = np.repeat(255 - frames, self._engine.max_batch, 0)
        full[-1] = frames[0]
        return Outputs(*(value[-1:] for value in self._engine.infer(full)))


def pictures(canvas: Canvas, count: int) -> NDArray[np.uint8]:
    """Return frames uint8 [count, H, W, 3] with shades, edges and noise, the same ones each time."""
    rng = np.random.default_rng(11)
    down, across = np.mgrid[0 : canvas.height, 0 : canvas.width]
    frames = np.empty((count, canvas.height, canvas.width, 3), np.uint8)
    for frame in frames:
        slopes = rng.uniform(-120, 120, (2, 3))
        shade = 128 + slopes[0] * (down / canvas.height)[..., None] + slopes[1] * (across / canvas.width)[..., None]
        for _ in range(12):
            top, left = rng.integers(0, canvas.height * 3 // 4), rng.integers(0, canvas.width * 3 // 4)
            height, width = rng.integers(8, canvas.height // 2 + 9), rng.integers(8, canvas.width // 3 + 9)
            shade[top : top + height, left : left + width] = rng.uniform(0, 255, 3)
        frame[:] = np.clip(shade + rng.normal(0, 4, shade.shape), 0, 255)
    return frames


def _facts(engine: Engine, loaded: LoadedModel) -> dict[str, Any]:
    """Return everything that the result depends on."""
    return {
        "kind": "verified",
        "engine": engine.name,
        "build": getattr(engine, "build", ""),  # of an engine that compiles a plan, its hash
        "model": loaded.fingerprint,
        "canvas": str(engine.canvas),
        "max_batch": engine.max_batch,
        "machine": f"{platform.system()} {platform.machine()} {_line('/proc/cpuinfo', 'model name')}",
        "driver": _line("/proc/driver/nvidia/version", "NVRM"),
        "packages": {name: _version(name) for name in _PACKAGES},
        "revision": _REVISION,
    }


def _words(result: dict[str, Any]) -> str:
    return (
        f"against {result['reference']} {result['agreement']:.1%} of the best 100 in common, "
        f"scores within {result['drift']:.1e}"
    )


def _line(path: str, start: str) -> str:
    """Return what a file of the system says after a word, or nothing."""
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(start)), "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
