"""The one place that imports ONNX Runtime, with its telemetry switched off before.

Its newer builds for Linux submit usage events to their makers some seconds after a session was opened, and leave a
device id and a database in the user's cache folder. Nothing that hoistream runs may speak to strangers.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from engines.errors import EngineUnavailableError

_SWITCH = "ORT_DISABLE_TELEMETRY"  # read by the library when it is loaded


def import_onnxruntime() -> Any:
    """Return the module `onnxruntime`; importing and using it sends nothing and writes nothing.

    Raises EngineUnavailableError where ONNX Runtime is not installed.
    """
    os.environ[_SWITCH] = "1"
    try:
        onnxruntime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise EngineUnavailableError(
            f"onnxruntime: cannot be used here ({error}); pip install 'hoistream[onnxruntime]', or choose engine torch"
        ) from error
    if (switch_off := getattr(onnxruntime, "disable_telemetry_events", None)) is not None:
        switch_off()  # where somebody else imported it before
    return onnxruntime
