"""Whether footage looks like what a model was trained on: statistics of the training data's features, in its card."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hoiclip.errors import InputError
from hoiclip.types import Outputs

Floats = NDArray[np.float32]
CARD_KEY = "training_features"
SHRINKAGE = 0.001  # share of a round covariance: few frames know little of the directions in which nothing varies


@dataclass(frozen=True)
class TrainingFeatures:
    """How a frame's features lie in the training data: their mean and spread, and how far is unlike.

    The distance is Mahalanobis' over the square root of the number of features, so that single training frames are
    about 1; the mean of many frames of one known scene is nearer.
    """

    mean: Floats  # [E]
    whitening: Floats  # [E, E] turns what deviates from the mean into numbers of variance about 1
    limit: float  # a source whose mean features are farther away is unlike the training data

    @classmethod
    def fit(cls, outputs: Outputs[Floats], limit: float) -> Self:
        """Return the statistics of training frames, outputs of batch B; hundreds are enough."""
        features = frame_features(outputs).astype(np.float64)
        covariance = np.cov(features.T)
        size = len(covariance)
        covariance += SHRINKAGE * np.trace(covariance) / size * np.eye(size)
        whitening = np.linalg.cholesky(np.linalg.inv(covariance)) / np.sqrt(size)
        mean, spread = features.mean(0).astype(np.float32), whitening.astype(np.float32)
        return cls(
            _unpacked(_packed(mean)), _unpacked(_packed(spread)).reshape(spread.shape), limit
        )  # as a card has it

    def distance(self, features: Floats) -> float:
        """Return how far the mean of some frames' features [N, E] is from the training data."""
        return float(np.linalg.norm((features.mean(0) - self.mean) @ self.whitening))

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decides."""
        values = self.mean.tobytes() + self.whitening.tobytes() + np.float64(self.limit).tobytes()
        return hashlib.sha256(values).hexdigest()[:16]

    def to_card(self) -> dict[str, Any]:
        """Return what a model's card says, under `CARD_KEY`."""
        return {"limit": self.limit, "mean": _packed(self.mean), "whitening": _packed(self.whitening)}

    @classmethod
    def of_card(cls, card: Mapping[str, Any], embed_dim: int) -> Self | None:
        """Return the statistics in a model's card, or None where it has none. Raises InputError for broken ones."""
        stored = card.get(CARD_KEY)
        if stored is None:
            return None
        try:
            mean = _unpacked(stored["mean"])
            return cls(mean.reshape(embed_dim), _unpacked(stored["whitening"]).reshape(embed_dim, -1), stored["limit"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"the model's card: `{CARD_KEY}` cannot be used ({error}); copy the model again"
            ) from error


def frame_features(outputs: Outputs[Floats]) -> Floats:
    """Return what a frame is described by, [B, E]: interaction embeddings of queries, the surer of an object the more.

    They separate drawn from real footage far better than CLIP's view of the frame, and change less with the weather.
    """
    sure = 1.0 / (1.0 + np.exp(-outputs.object_logits[..., :-1].max(-1)))
    weights = sure / sure.sum(1, keepdims=True)
    features: Floats = (weights[:, None] @ outputs.interaction_embeddings)[:, 0]
    return features


def _packed(values: Floats) -> str:
    return base64.b64encode(values.astype("<f2").tobytes()).decode("ascii")


def _unpacked(text: str) -> Floats:
    return np.frombuffer(base64.b64decode(text), "<f2").astype(np.float32)
