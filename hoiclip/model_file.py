"""What a model's safetensors file says besides its weights: layout, trained heads and card; NumPy only."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from hoiclip.classifier import TrainedHeads
from hoiclip.config import ModelConfig
from hoiclip.errors import InputError
from hoiclip.foreign_json import UNFIT, parse_json

FORMAT = "hoistream-1"
HEADS = "heads."  # prefix of the trained heads, which are no part of the module
WEIGHTS = "model.safetensors"  # the file's name in a folder


class ModelFile(NamedTuple):
    """A model without its weights."""

    config: ModelConfig
    heads: TrainedHeads
    card: dict[str, Any]
    fingerprint: str  # of the weights


def find_model_file(path: Path) -> Path:
    """Return the safetensors file at `path`, or in it if it is a folder. Raises InputError where there is none."""
    file = path / WEIGHTS if path.is_dir() else path
    if not file.exists():
        raise InputError(f"{path}: no model there; expected a .safetensors file or a folder with {WEIGHTS}")
    if file.suffix in (".pth", ".pt", ".bin"):
        raise InputError(f"{file}: an original checkpoint; convert it first: hoistream convert {file} --out {WEIGHTS}")
    return file


def read_model_file(file: Path) -> ModelFile:
    """Read all but the weights. Raises InputError for what is not such a file, with what to do instead."""
    try:
        with safe_open(file, framework="np") as stored:
            metadata = stored.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise InputError(
                    f"{file}: not a hoistream model (format {metadata.get('format')!r}, expected {FORMAT!r})"
                )
            arrays = {item.name: stored.get_tensor(HEADS + item.name) for item in fields(TrainedHeads)}
        single: dict[str, Any] = {name: np.asarray(value, np.float32) for name, value in arrays.items()}
        for name in ("logit_scale", "verb_weight"):
            single[name] = float(single[name])
        config = ModelConfig.from_dict(parse_json(metadata["config"]))
        card = parse_json(metadata["card"])
        if not isinstance(card, dict):
            raise TypeError("its card is no object")
        return ModelFile(config, TrainedHeads(**single), card, metadata["fingerprint"])
    except SafetensorError as error:
        raise InputError(f"{file}: not a readable safetensors file ({error}); convert or copy it again") from error
    except InputError:
        raise
    except (OSError, MemoryError, *UNFIT) as error:
        raise InputError(
            f"{file}: not a hoistream model ({type(error).__name__}: {error}); convert it again"
        ) from error
