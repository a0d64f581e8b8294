"""The Python bindings of TensorRT and of TensorRT-RTX, which offer the same names, and their messages."""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Sequence
from typing import Any, Literal

from engines.errors import EngineUnavailableError

logger = logging.getLogger(__name__)
Flavour = Literal["tensorrt", "tensorrt-rtx"]
_MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx_bindings"}
_INSTALL = {
    "tensorrt": "pip install 'hoistream[tensorrt]' (its libraries, 2 GB, come from NVIDIA's own server)",
    "tensorrt-rtx": "pip install 'hoistream[tensorrt-rtx]'",
}


def bindings(flavour: Flavour) -> Any:
    """Return the flavour's module. Raises EngineUnavailableError with the install command."""
    try:
        return importlib.import_module(_MODULES[flavour])
    except (ImportError, OSError) as error:
        raise EngineUnavailableError(f"{flavour}: its libraries do not load ({error}); {_INSTALL[flavour]}") from error


class Messages:
    """TensorRT's messages, passed on to `logging`; its errors are kept, since its functions only return None."""

    def __init__(self, trt: Any, flavour: Flavour) -> None:
        severity = trt.ILogger.Severity
        levels = {
            severity.INTERNAL_ERROR: logging.ERROR,
            severity.ERROR: logging.ERROR,
            severity.WARNING: logging.WARNING,
            severity.INFO: logging.DEBUG,
            severity.VERBOSE: logging.DEBUG,
        }
        errors: list[str] = []

        class Handler(trt.ILogger):  # type: ignore[misc]  # its base is known at run time only
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                level = levels.get(severity, logging.DEBUG)
                if level == logging.ERROR:  # raised with the failure, not printed twice
                    errors.append(message.strip())
                    level = logging.DEBUG
                logger.log(level, "%s: %s", flavour, message.strip())

        self.handler: Any = Handler()
        self._errors = errors

    def failure(self, otherwise: str) -> str:
        """Return the errors reported so far as one line, or `otherwise`."""
        return " ".join("; ".join(self._errors[-3:]).split()) or otherwise


def target_names(trt: Any) -> tuple[str, ...]:
    """Return the compute capabilities that TensorRT-RTX builds for, such as ``8.9``."""
    names = [re.fullmatch(r"SM(\d+)(\d)", name) for name in dir(trt.ComputeCapability)]
    pairs = sorted((int(name[1]), int(name[2])) for name in names if name)
    return tuple(f"{major}.{minor}" for major, minor in pairs)


def targets(trt: Any, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return compute capabilities as ``8.9``, sorted, from that form or ``SM89``.

    Raises EngineUnavailableError for one that TensorRT-RTX does not build for, with those known.
    """
    known = target_names(trt)
    spelled = {name: re.sub(r"^(?:SM|sm_?)(\d+)(\d)$", r"\1.\2", name) for name in wanted}
    for name, number in spelled.items():
        if number not in known:
            raise EngineUnavailableError(
                f"tensorrt-rtx: does not build for compute capability {name}; it knows {', '.join(known)}"
            )
    return tuple(number for number in known if number in spelled.values())
