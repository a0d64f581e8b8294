"""A model ready to run without torch: one folder with its graphs, weights, text tower, words and hashes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoiclip.classifier import Floats
from hoiclip.errors import InputError
from hoiclip.foreign_json import UNFIT, parse_json
from hoiclip.hashes import file_sha256
from hoiclip.loaded import LoadedModel
from hoiclip.model_file import WEIGHTS, read_model_file
from hoiclip.types import Canvas
from hoiclip.vocabulary import load_builtin

SUFFIX = ".bundle"
MANIFEST, CARD, TEXT_GRAPH, TOKENIZER, VOCABULARY = (
    "bundle.json",
    "card.json",
    "text.onnx",
    "tokenizer.json",
    "vocabulary.yaml",
)
FORMAT = "hoistream-bundle-1"
TextTower = Callable[[Path, NDArray[np.int64]], Floats]
"""Run the text graph (ONNX) at a path: from tokens [N, context length] to unit rows [N, E]."""


@dataclass(frozen=True)
class Bundle(LoadedModel):
    """A model from a folder that `hoistream bundle` made; needs no torch."""

    text_tower: TextTower

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """Return unit text embeddings [N, E] by the bundle's text graph."""
        from hoiclip.tokenizer import ClipTokenizer  # only free text gets here

        if not texts:
            return np.zeros((0, self.config.clip.embed_dim), np.float32)
        tokens = ClipTokenizer(self.path / TOKENIZER, self.config.clip.context_length)(texts)
        return self.text_tower(self.path / TEXT_GRAPH, tokens)

    def graph(self, canvas: Canvas, cache_dir: Path | None = None) -> Path:
        """Return the ONNX file of one of the bundle's canvases. Raises InputError for another, with what to do."""
        self.check_canvas(canvas)
        return self.path / graph_name(canvas)

    def check_canvas(self, canvas: Canvas) -> None:
        """Raise InputError for a canvas that the bundle has no graph for, with how to make one that has."""
        if canvas not in self.canvases:
            raise InputError(
                f"{self.path}: no graph for canvas {canvas}, only for {', '.join(map(str, self.canvases))}; "
                f"make one that has it, where torch is installed: hoistream bundle --model {self.path} "
                f"{' '.join(f'--canvas {each}' for each in (*self.canvases, canvas))} --out NEW{SUFFIX}"
            )


def is_bundle(path: Path) -> bool:
    """Whether `path` is a folder that says it is a bundle."""
    return (path / MANIFEST).is_file()


def graph_name(canvas: Canvas) -> str:
    """Return the name of a canvas's graph in a bundle, such as ``256x448.onnx``."""
    return f"{canvas}.onnx"


def open_bundle(path: Path, text_tower: TextTower) -> Bundle:
    """Load a bundle after checking every file against the manifest's SHA-256.

    Raises InputError naming the file that is missing or damaged.
    """
    manifest = check_bundle(path)
    stored = read_model_file(path / WEIGHTS)
    return Bundle(
        config=stored.config,
        heads=stored.heads,
        vocabulary=load_builtin(stored.config.vocabulary),
        card=_card(path / CARD),
        path=path,
        fingerprint=stored.fingerprint,
        canvases=tuple(map(Canvas.parse, manifest["canvases"])),
        default_vocabulary=path / VOCABULARY if VOCABULARY in manifest["files"] else None,
        text_tower=text_tower,
    )


def _card(path: Path) -> dict[str, Any]:
    try:
        card = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a model card that can be read ({error}); make the bundle anew") from error
    if not isinstance(card, dict):
        raise InputError(f"{path}: not a model card: expected an object, got {type(card).__name__}")
    return card


def check_bundle(path: Path) -> dict[str, Any]:
    """Return the manifest of a bundle whose files are all there and whole.

    Raises InputError naming the first that is not.
    """
    again = "copy the bundle again, or make it anew with `hoistream bundle`"
    try:
        manifest: dict[str, Any] = parse_json((path / MANIFEST).read_bytes())
        if manifest["format"] != FORMAT:
            raise ValueError(f"its format is {manifest['format']!r}, this version of hoistream reads {FORMAT!r}")
        files = {str(name): (int(entry["bytes"]), str(entry["sha256"])) for name, entry in manifest["files"].items()}
        graphs = [graph_name(Canvas.parse(size)) for size in manifest["canvases"]]
        if not graphs or not {WEIGHTS, CARD, TEXT_GRAPH, TOKENIZER, *graphs} <= set(files):
            raise ValueError("it does not list a bundle's files")
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in files):
            raise ValueError("it names files outside the bundle")
        if any(not name.isprintable() for name in files):
            raise ValueError("it names files that cannot be")
    except (OSError, *UNFIT) as error:
        raise InputError(f"{path / MANIFEST}: not a manifest that can be used ({error}); {again}") from error
    for name, (size, sha256) in files.items():
        try:
            found = (path / name).stat().st_size
            damaged = found != size or file_sha256(path / name) != sha256
        except OSError as error:
            raise InputError(f"{path}: {name} cannot be read ({error.strerror}); {again}") from error
        if damaged:
            what = f"has {found} bytes instead of {size}" if found != size else "is damaged (its SHA-256 differs)"
            raise InputError(f"{path}: {name} {what}; {again}")
    return manifest
