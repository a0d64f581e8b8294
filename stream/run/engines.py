"""Open the configured engine for each canvas that comes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from engines.registry import open_engine
from hoiclip.types import Canvas, Engine
from stream.run.config import EngineConfig
from stream.run.inference import EnginePool
from stream.run.preload import ASSIGNMENT, preload

if TYPE_CHECKING:
    from hoiclip.loaded import LoadedModel

logger = logging.getLogger(__name__)


EngineFactory = Callable[[Canvas], Engine]
"""Opens an engine for a canvas; for runtimes of one's own."""


def engine_pool(loaded: LoadedModel, config: EngineConfig, own: EngineFactory | None = None) -> EnginePool:
    """Return a pool that opens the configured engine for each canvas, or with `own` what that gives."""
    if own is not None:
        return EnginePool(own)

    def open_for(canvas: Canvas) -> Engine:
        preload(ASSIGNMENT)  # while the graph is compiled
        engine = open_engine(
            config.kind,
            loaded,
            canvas,
            max_batch=config.max_batch,
            precision=config.precision,
            cache_dir=config.cache_dir,
            threads=config.threads,
        )
        logger.info("engine %s for canvas %s", engine.name, canvas)
        return engine

    return EnginePool(open_for)
