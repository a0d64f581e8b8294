"""A model for programs: open it by name, and find interactions in pictures."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoiclip.closing import Closing
from hoiclip.errors import InputError
from hoiclip.found import Interaction, named_interactions
from hoiclip.lessons import lesson_folder, open_vocabulary
from hoiclip.loaded import LoadedModel
from hoiclip.predictor import Predictor, read_picture, rgb_array
from hoiclip.vocabulary import DeploymentVocabulary
from hoistream.choices import Words, checked, vocabulary_of
from stream.run.config import EngineConfig
from stream.run.engines import EngineFactory, engine_pool
from stream.run.models import DEMO, open_model

if TYPE_CHECKING:
    from PIL.Image import Image

    Picture = str | Path | NDArray[np.uint8] | Image

EngineChoice = str | EngineFactory
_MAX_PREDICTORS = 16  # vocabularies kept ready


def load_model(
    name_or_path: str | Path = DEMO,
    *,
    engine: EngineChoice = "auto",
    precision: str | None = None,
    threads: int | None = None,
    cache_dir: str | Path | None = None,
) -> Model:
    """Open a model.

    Args:
        name_or_path: ``demo`` (comes with hoistream; it has only ever seen drawings, and a warning says so), the name
            of an installed model such as ``hoiclip-hico`` (`hoistream models get hoiclip-hico`), or a path to a bundle
            or a safetensors file.
        engine: what runs it: ``auto``, ``openvino``, ``onnxruntime``, ``tensorrt``, ``tensorrt-rtx`` or ``torch``; or a
            function that opens an engine of your own for a `Canvas` (implement ``_run`` of `engines.base.BaseEngine`).
        precision: arithmetic such as ``fp32`` or ``bf16``; the engine's default when None.
        threads: CPU threads; all cores when None.
        cache_dir: where compiled engines are kept; the user's cache when None.

    Raises InputError for a model that does not exist or cannot be used.

    Example:
        >>> import hoistream
        >>> model = hoistream.load_model("demo")
        >>> for found in model.predict(picture, vocabulary=["ride bicycle"]):
        ...     print(found.verb, found.object)
        ride bicycle
    """
    return Model(open_model(name_or_path), engine=engine, precision=precision, threads=threads, cache_dir=cache_dir)


class Model(Closing):
    """An open model; `load_model` returns one.

    May be used from several threads, which take turns, and by several `hoistream.watch` at once. A context manager:
    `close` frees the engine; nothing is lost by leaving that to the garbage collector.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        engine: EngineChoice = "auto",
        precision: str | None = None,
        threads: int | None = None,
        cache_dir: str | Path | None = None,
    ) -> None:
        self.loaded = loaded  # what the engines compile
        self.own_engine = None if isinstance(engine, str) else engine
        values = {"precision": precision, "threads": threads, "cache_dir": cache_dir}
        kind = engine if isinstance(engine, str) else "auto"
        self.engine_config = checked(EngineConfig, {"kind": kind, **values}, "engine")
        self._engines = engine_pool(loaded, self.engine_config, self.own_engine)
        self._lock = threading.Lock()
        self._predictors: dict[str, Predictor] = {}

    @property
    def interactions(self) -> tuple[str, ...]:
        """The names of all interactions that the model was trained for; others are found by their words."""
        known = self.loaded.vocabulary
        return tuple(known.display(index) for index in range(len(known.interactions)))

    @property
    def fingerprint(self) -> str:
        """The hash of the weights, as events carry it."""
        return self.loaded.fingerprint

    @property
    def card(self) -> dict[str, Any]:
        """What is known about the model: where it comes from, its licence, what was measured."""
        return dict(self.loaded.card)

    def predict(
        self,
        picture: Picture,
        *,
        vocabulary: Words | str | Path | None = None,
        min_score: float = 0.3,
        top: int = 100,
        enhancement: bool = False,
    ) -> list[Interaction]:
        """Return the interactions in a picture, best score first.

        Args:
            picture: a path, an RGB array uint8 [H, W, 3], or a Pillow image of any mode.
            vocabulary: words or a vocabulary file; everything the model knows when None.
            min_score: leave out what scores less, in [0, 1].
            top: how many of the picture's best are ranked.
            enhancement: use CLIP's view of the whole picture as well (the paper's extra, no training).

        Raises HoistreamError for a file that is no picture, InputError for an array of another shape or type and for an
        unknown word.

        Example:
            >>> import hoistream
            >>> from PIL import Image
            >>> model = hoistream.load_model("demo")
            >>> best = model.predict(Image.open(picture))[0]
            >>> left, top, right, bottom = best.human_box
            >>> left < right and top < bottom
            True
        """
        pixels = _pixels(picture)
        height, width = pixels.shape[:2]
        with self._lock:
            predictor = self._predictor(vocabulary, enhancement)
            found = predictor.predict(pixels, top=top)
        return named_interactions(found, predictor, (height, width), min_score=min_score)

    def engine_for(
        self, engine: EngineChoice | None, precision: str | None, max_batch: int
    ) -> tuple[EngineConfig, EngineFactory | None]:
        """Return what runs this model: the model's own choice, but for what is given. Raises InputError."""
        own = self.own_engine if engine is None else None if isinstance(engine, str) else engine
        values = self.engine_config.model_dump() | {"max_batch": max_batch}
        if isinstance(engine, str):
            values["kind"] = engine
        if engine is not None or precision is not None:
            values["precision"] = precision
        return checked(EngineConfig, values, "engine"), own

    def _predictor(self, vocabulary: Words | str | Path | None, enhancement: bool) -> Predictor:
        wanted = vocabulary_of(vocabulary)
        key = f"{enhancement} {_state_of(wanted)}"
        if key not in self._predictors:
            look = self.loaded.look(self._engines.infer)
            if len(self._predictors) >= _MAX_PREDICTORS:
                self._predictors.pop(next(iter(self._predictors)))
            self._predictors[key] = Predictor(look, open_vocabulary(self.loaded, wanted), enhancement=enhancement)
        return self._predictors[key]

    def close(self) -> None:
        """Free the engine; safe to call twice, and the next `predict` opens it again."""
        with self._lock:
            self._engines.__exit__(None, None, None)

    def __repr__(self) -> str:
        return f"<hoistream.Model {self.loaded.path} {self.fingerprint}>"


def _state_of(vocabulary: Path | DeploymentVocabulary | None) -> str:
    """Return what changes when the vocabulary, its file or what was taught beside it does."""
    if isinstance(vocabulary, DeploymentVocabulary):
        return vocabulary.model_dump_json()
    if vocabulary is None:
        return ""
    parts = [vocabulary, lesson_folder(vocabulary)]
    return " ".join(f"{part} {part.stat().st_mtime_ns}" for part in parts if part.exists())


def _pixels(picture: Any) -> NDArray[np.uint8]:
    if isinstance(picture, str | Path):
        return read_picture(Path(picture).expanduser())
    if isinstance(picture, np.ndarray):
        return picture
    if hasattr(picture, "convert") and hasattr(picture, "mode"):
        return rgb_array(picture)
    raise InputError(f"a picture must be a path, an RGB array uint8 [H, W, 3] or a Pillow image, got {type(picture)}")
