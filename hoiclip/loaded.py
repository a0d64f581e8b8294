"""A model ready to run: what every consumer of one uses, whatever it was loaded from and without torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hoiclip.classifier import Floats, TaughtRow, TextClassifier, TrainedHeads, build_classifier
from hoiclip.config import ModelConfig
from hoiclip.familiarity import TrainingFeatures
from hoiclip.predictor import Infer, Look, canvas_look
from hoiclip.types import Canvas
from hoiclip.vocabulary import Vocabulary, Wanted, all_of


@dataclass(frozen=True)
class LoadedModel(ABC):
    """A model and what belongs to it; `engines.loading.load_model` returns one.

    Engines compile `graph`, a vocabulary becomes a classifier by `classifier`; nothing here needs torch. The kinds are
    `hoiclip.weights.TorchModel` (a safetensors file) and `hoiclip.bundle.Bundle` (a folder made by `hoistream bundle`).
    """

    config: ModelConfig
    heads: TrainedHeads
    vocabulary: Vocabulary  # what it was trained for
    card: dict[str, Any]
    path: Path
    fingerprint: str  # of the weights
    canvases: tuple[Canvas, ...]  # frame sizes to run it at, the usual one first; a bundle has graphs for these only
    default_vocabulary: Path | None = field(default=None, kw_only=True)  # YAML: what to look for if nothing is said

    @abstractmethod
    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """Return unit text embeddings [N, E] by the model's text tower."""

    @abstractmethod
    def graph(self, canvas: Canvas, cache_dir: Path | None = None) -> Path:
        """Return the ONNX file of the vision graph for one canvas, its weights beside it.

        Input `frames` uint8 [B, H, W, 3] with 1 <= B <= 64; outputs are named by the fields of `hoiclip.types.Outputs`,
        values between groups of layers by `hoiclip.types.BORDERS`. Raises InputError where there is none.
        """

    def check_canvas(self, canvas: Canvas) -> None:  # noqa: B027  # a torch model makes any
        """Raise InputError where the model has no graph for `canvas` and cannot make one."""

    @cached_property
    def training(self) -> TrainingFeatures | None:
        """What the training data looked like, where the card says so."""
        return TrainingFeatures.of_card(self.card, self.config.clip.embed_dim)

    def look(self, infer: Infer) -> Look:
        """Return how a `hoiclip.predictor.Predictor` sees a picture: `infer` runs an engine on the nearest canvas."""
        return canvas_look(self.canvases, infer)

    def classifier(
        self,
        wanted: Sequence[Wanted] | None = None,
        *,
        templates: Sequence[str] = ("{}",),
        taught: Sequence[TaughtRow] = (),
        cache_dir: Path | None = None,
    ) -> TextClassifier:
        """Return the classifier for `wanted` rows, or for the model's whole vocabulary."""
        return build_classifier(
            self.heads,
            self.vocabulary,
            all_of(self.vocabulary) if wanted is None else wanted,
            model_fingerprint=self.fingerprint,
            encode=self.encode_texts,
            templates=templates,
            taught=taught,
            cache_dir=cache_dir,
        )
