"""Make a bundle: export a model's graphs beside its weights and write down the hash of every file. Needs torch."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hoiclip.bundle import (
    CARD,
    FORMAT,
    MANIFEST,
    SUFFIX,
    TEXT_GRAPH,
    TOKENIZER,
    VOCABULARY,
    check_bundle,
    graph_name,
    is_bundle,
)
from hoiclip.errors import InputError
from hoiclip.export import exporter_versions, write_text_graph, write_vision_graph
from hoiclip.files import replacing_folder
from hoiclip.hashes import file_sha256
from hoiclip.lessons import lesson_folder, open_vocabulary
from hoiclip.loaded import LoadedModel
from hoiclip.model_file import WEIGHTS, find_model_file
from hoiclip.tokenizer import write_tokenizer
from hoiclip.types import Canvas
from hoiclip.weights import torch_model

logger = logging.getLogger(__name__)


def write_bundle(
    loaded: LoadedModel,
    out: Path,
    *,
    canvases: Sequence[Canvas] = (),
    vocabulary: Path | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model as a bundle and return its folder, which appears complete or not at all.

    The weights are the model's own file, byte for byte; the graphs refer into it, so that they are stored once.

    Args:
        loaded: the model; a bundle can be made from a bundle, with other canvases.
        out: the folder, ``NAME.bundle``; a bundle that is there already is replaced.
        canvases: frame sizes to make graphs for, the usual one first; the model's own when empty.
        vocabulary: YAML with what to look for where a deployment names nothing; its lessons come along.
        facts: what the card says besides what the model's card says: licence, measured accuracy.

    Raises InputError for a name or vocabulary that will not do, HoistreamError when the export fails.
    """
    if out.suffix != SUFFIX:
        raise InputError(f"{out}: a bundle is a folder called NAME{SUFFIX}")
    if out.exists() and not is_bundle(out):
        raise InputError(f"{out}: exists and is no bundle; choose another name")
    vocabulary = vocabulary or loaded.default_vocabulary
    open_vocabulary(loaded, vocabulary)  # a mistake in it shows now
    model = torch_model(loaded)
    sizes = list(dict.fromkeys(canvases or loaded.canvases))
    made_with = exporter_versions()
    with replacing_folder(out) as part:
        shutil.copyfile(find_model_file(model.path), part / WEIGHTS)
        for canvas in sizes:
            logger.info("exporting the graph for canvas %s", canvas)
            write_vision_graph(model.module, canvas, part / WEIGHTS, part / graph_name(canvas))
        logger.info("exporting the text tower")
        write_text_graph(model.module, part / WEIGHTS, part / TEXT_GRAPH)
        write_tokenizer(part / TOKENIZER)
        card = {**loaded.card, **(facts or {}), "fingerprint": model.fingerprint}
        (part / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if vocabulary is not None:
            shutil.copyfile(vocabulary, part / VOCABULARY)
            if lesson_folder(vocabulary).is_dir():
                shutil.copytree(lesson_folder(vocabulary), lesson_folder(part / VOCABULARY))
        write_manifest(part, sizes, made_with)
    check_bundle(out)
    return out


def write_manifest(folder: Path, canvases: Sequence[Canvas], made_with: Mapping[str, str]) -> None:
    """Write down every file of a bundle, its size and its SHA-256."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    manifest = {
        "format": FORMAT,
        "canvases": [str(canvas) for canvas in canvases],
        "made_with": dict(made_with),
        "files": {
            path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
            for path in files
        },
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
