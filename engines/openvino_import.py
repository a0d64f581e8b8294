"""The one place that imports OpenVINO, with its telemetry switched off before.

`import openvino` submits a usage event to a public analytics service and leaves a client id in the home folder, unless
its telemetry package is missing. Nothing that hoistream runs may speak to anybody it was not told to.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from engines.errors import EngineUnavailableError

_TELEMETRY = "openvino_telemetry"


def import_openvino(part: str = "") -> Any:
    """Return the module `openvino`, or its `part` such as ``passes``; importing it sends nothing and writes nothing.

    Raises EngineUnavailableError where OpenVINO is not installed.
    """
    switch_off_telemetry()
    try:
        return importlib.import_module(f"openvino.{part}" if part else "openvino")
    except ImportError as error:
        raise EngineUnavailableError(
            f"openvino: cannot be used here ({error}); pip install 'hoistream[run]', or choose another engine"
        ) from error


def switch_off_telemetry() -> None:
    """Make OpenVINO's telemetry package look missing, for OpenVINO and NNCF, unless it was imported before."""
    sys.modules.setdefault(_TELEMETRY, None)  # type: ignore[arg-type]  # None is how an import is refused
