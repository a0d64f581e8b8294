"""Which model is meant: the shipped demonstration model, an installed one by its name, or a path."""

from __future__ import annotations

import difflib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_data_path

from hoiclip.errors import InputError
from hoiclip.shipped import shipped_model

if TYPE_CHECKING:
    from hoiclip.loaded import LoadedModel

logger = logging.getLogger(__name__)
DEMO = "demo"
_SUFFIX = ".bundle"


def models_folder() -> Path:
    """Return where installed models lie: ``HOISTREAM_MODELS``, or ``models`` in the user's data folder."""
    return Path(os.environ.get("HOISTREAM_MODELS") or user_data_path("hoistream") / "models")


def installed_models() -> dict[str, Path]:
    """Return the installed models by name: each ``NAME.bundle`` in `models_folder`."""
    return {path.name.removesuffix(_SUFFIX): path for path in sorted(models_folder().glob(f"*{_SUFFIX}"))}


def model_path(model: str | Path | None, *, beside: Path | None = None) -> Path:
    """Return where a model lies.

    Args:
        model: ``demo`` (the shipped model), a path, or the name of an installed model such as ``hoiclip-hico``.
        beside: a folder in which a relative path is looked up first.

    Raises InputError when there is none, and when none is given: a model for real footage is a choice, not a default.
    """
    if model is None:
        raise InputError(
            "no model given; choose one: for real footage `hoistream models get hoiclip-hico` and then `--model "
            "hoiclip-hico`; to try things out `--model demo`, which has only ever seen drawings. In a configuration: "
            "`model: NAME`"
        )
    if str(model) == DEMO:
        return shipped_model()
    path = Path(model).expanduser()
    for candidate in (beside / path, path) if beside is not None else (path,):
        if candidate.exists():
            return candidate
    installed = installed_models()
    if str(model) in installed:
        return installed[str(model)]
    if path.suffix or len(path.parts) > 1:
        raise InputError(f"{path}: no model there; expected a model file or folder, `demo` or an installed name")
    near = difflib.get_close_matches(str(model), [DEMO, *installed], n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"`hoistream models get {model}` if it is in `hoistream models`"
    raise InputError(
        f"no model called {str(model)!r}: neither a path nor installed in {models_folder()} "
        f"(there: {', '.join(installed) or 'none'}); {hint}"
    )


def open_model(model: str | Path | None, *, beside: Path | None = None) -> LoadedModel:
    """Load the model that `model_path` finds; the demonstration model is warned about in the log."""
    from engines.loading import load_model

    path = model_path(model, beside=beside)
    if path == shipped_model():
        logger.warning(
            "the demonstration model has only ever seen drawings: what it says about real footage means nothing; "
            "for that: hoistream models get hoiclip-hico"
        )
    return load_model(path)
