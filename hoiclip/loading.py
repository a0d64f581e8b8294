"""Load whatever model lies at a path."""

from __future__ import annotations

from pathlib import Path

from hoiclip.errors import InputError
from hoiclip.loaded import LoadedModel


def load_model(path: Path | str) -> LoadedModel:
    """Load a converted model: a ``.safetensors`` file, or a folder that holds ``model.safetensors``.

    Raises InputError for anything that is not such a file, with what to do instead.
    """
    try:
        from hoiclip.weights import load_torch_model
    except ImportError as error:
        raise InputError(
            f"{path}: a safetensors model runs through torch, which is not installed ({error.name} is missing); "
            "pip install 'hoistream[torch]', or give a bundle (made by `hoistream bundle`)"
        ) from error
    return load_torch_model(path)
