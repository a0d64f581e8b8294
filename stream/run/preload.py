"""Import in the background what is needed a little later, while the engine's compiler leaves Python alone."""

from __future__ import annotations

import importlib
import logging
import threading

logger = logging.getLogger(__name__)
ASSIGNMENT = "scipy.optimize"  # of the tracker; a quarter of a second


def preload(*modules: str) -> None:
    """Begin to import `modules` in a thread; whoever imports one of them meanwhile waits for it as always."""
    threading.Thread(target=_load, args=(modules,), name="preload", daemon=True).start()


def _load(modules: tuple[str, ...]) -> None:
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:  # said where it is needed
            logger.debug("preloading %s: %s", module, error)
