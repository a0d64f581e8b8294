"""From an official checkpoint to an installed bundle: checked for what it claims to be, converted, written whole."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hoiclip.errors import HoistreamError, InputError
from hoiclip.files import write_whole
from hoiclip.hashes import file_sha256
from hoiclip.types import Canvas
from hoistream.official.catalogue import LICENCE, OfficialModel
from stream.run.models import models_folder

logger = logging.getLogger(__name__)
CANVASES = (Canvas(480, 853), Canvas(800, 1333))  # video on CPUs, and the size that the paper measures at
_HASHES = "downloads.json"


def install(
    model: OfficialModel, checkpoint: Path, canvases: Sequence[Canvas] = CANVASES, *, accept_changed: bool = False
) -> Path:
    """Convert `checkpoint` and write it as the installed bundle of `model`; return the bundle.

    The first time its SHA-256 is recorded; from then on another file under the same name is refused unless
    `accept_changed`. Raises InputError for a file that is not what `model` says: another variant, keys that do not
    fit, another file than before.
    """
    from hoiclip.bundling import write_bundle
    from hoiclip.checkpoint import build, convert, read_state_dict
    from hoiclip.weights import load_torch_model, save_model

    official = read_state_dict(checkpoint)
    converted = convert(official, str(checkpoint))
    rows = len(official["visual_projection.weight"])
    if (converted.variant, rows) != (model.variant, model.trained_rows):
        raise InputError(
            f"{checkpoint}: not {model.name}: expected {model.variant} trained on {model.trained_rows} interactions, "
            f"got {converted.variant} trained on {rows}; see `hoistream models` for what it may be"
        )
    sha256 = file_sha256(checkpoint)
    _check_hash(model, sha256, accept_changed)
    logger.info("%s: recognised, encoding %d prompts", model.name, converted.config.num_interactions)
    card = {
        "name": model.name,
        "variant": converted.variant,
        "vocabulary": converted.config.vocabulary,
        "source": model.page,
        "source_sha256": sha256,
        "dropped_keys": converted.dropped,
        "reported": model.reported,
        "license": LICENCE,
    }
    target = models_folder() / f"{model.name}.bundle"
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=f".{model.name}.") as name:  # the bundle copies it, byte for byte
        weights = Path(name) / "model.safetensors"
        save_model(weights, *build(converted), card)
        write_bundle(load_torch_model(weights), target, canvases=canvases)
    _record_hash(model, sha256)
    return target


def _check_hash(model: OfficialModel, sha256: str, accept_changed: bool) -> None:
    known = _hashes().get(model.name)
    if known is not None and known["sha256"] != sha256 and not accept_changed:
        raise InputError(
            f"{model.name}: another file than the one recorded on {known['date']} (SHA-256 {sha256[:12]}…, then "
            f"{known['sha256'][:12]}…); if its authors replaced it, run again with --accept-changed"
        )


def _record_hash(model: OfficialModel, sha256: str) -> None:
    date = datetime.now(UTC).date().isoformat()
    known = _hashes() | {model.name: {"sha256": sha256, "date": date}}
    write_whole(models_folder() / _HASHES, json.dumps(known, indent=2) + "\n")


def _hashes() -> dict[str, Any]:
    path = models_folder() / _HASHES
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise HoistreamError(f"{path}: cannot be read ({error}); remove it to begin anew") from error
    if not isinstance(known, dict):
        raise HoistreamError(f"{path}: expected an object of hashes by name; remove it to begin anew")
    return known
