"""Copies of an ONNX graph, rewritten for a runtime and made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from engines.errors import EngineUnavailableError
from hoiclip.cache import BuildCache

_GRAPH = "graph.onnx"


def rewritten(graph: Path, facts: dict[str, Any], rewrite: Callable[[Any], Any], cache_dir: Path | None) -> Path:
    """Return the copy with these facts, made by `rewrite` from the ONNX model with its weights; those lie beside it.

    Raises EngineUnavailableError without onnx, and what `rewrite` raises.
    """
    try:
        import onnx
    except ImportError as error:
        raise EngineUnavailableError(
            "rewriting a graph needs onnx; pip install onnx, or the extra of the engine: tensorrt, tensorrt-rtx"
        ) from error
    cache, facts = BuildCache(cache_dir), {**facts, "onnx": onnx.__version__}
    if found := cache.find(facts):
        return found / _GRAPH
    part = cache.begin(facts)
    model = rewrite(onnx.load(str(graph)))
    onnx.save(model, str(part / _GRAPH), save_as_external_data=True, location=f"{_GRAPH}.data")
    for file in part.iterdir():
        file.chmod(0o644)  # onnx writes 0600, which a service under another user could not read
    return cache.commit(facts, part) / _GRAPH
