"""Load whatever model lies at a path, with the runtime that its text tower needs."""

from __future__ import annotations

from pathlib import Path

from engines.text_tower import run_text_graph
from hoiclip.bundle import is_bundle, open_bundle
from hoiclip.errors import InputError
from hoiclip.loaded import LoadedModel
from hoiclip.model_file import find_model_file


def load_model(path: Path | str) -> LoadedModel:
    """Load a model: a bundle (a folder made by `hoistream bundle`) or a ``.safetensors`` file.

    A bundle needs no torch, a safetensors file does. Raises InputError for anything else, with what to do instead.
    """
    path = Path(path)
    if is_bundle(path):
        return open_bundle(path, run_text_graph)
    file = find_model_file(path)
    try:
        from hoiclip.weights import load_torch_model
    except ImportError as error:
        raise InputError(
            f"{file}: a safetensors model runs through torch, which is not installed here ({error}); "
            "pip install 'hoistream[torch]', or make a bundle of it elsewhere: hoistream bundle --model "
            f"{file} --out {file.stem}.bundle"
        ) from error
    return load_torch_model(file)
