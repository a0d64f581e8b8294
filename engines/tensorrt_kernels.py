"""Kernels that TensorRT-RTX compiled when they first ran, kept for the next start."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from hoiclip.files import write_whole

logger = logging.getLogger(__name__)


class KernelCache:
    """The compiled kernels of one plan: shared by its contexts, read from `path` and written back to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content = path.read_bytes() if path.is_file() else b""
        self._cache: Any = None  # an IRuntimeCache; only a runtime configuration can make one

    def attach(self, config: Any) -> bool:
        """Let the context of a runtime configuration use the kernels; return whether TensorRT-RTX agrees."""
        if self._cache is None:
            self._cache = config.create_runtime_cache()
            if self._content and not self._cache.deserialize(self._content):
                logger.info("%s: of another GPU or driver, kernels are compiled again", self._path)
        return bool(config.set_runtime_cache(self._cache))

    def save(self) -> None:
        """Write the kernels, unless they are those that were read; a full disk only costs the next start time."""
        if self._cache is None:
            return
        content = bytes(self._cache.serialize())
        if content == self._content:
            return
        try:
            write_whole(self._path, content, shared=True)
        except OSError as error:
            logger.warning("%s: not written (%s); the next start compiles again", self._path, error)
