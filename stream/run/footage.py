"""Whether what a source shows is like anything its model was trained on; said once, within a minute."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hoiclip.familiarity import TrainingFeatures, frame_features
from hoiclip.types import Outputs
from stream.events.schema import Event, SourceStateEvent
from stream.track.saved import Arrays

LOOK_EVERY_S = 0.5  # of media time
MIN_LOOKS = 16  # fewer say little: one scene is not all scenes
MOST_LOOKS = 60  # half a minute; then the oldest are forgotten
REASON = "unlike_training_data"


def is_unlike_training(event: Event) -> bool:
    """Whether an event says that a source shows what the model knows nothing like."""
    return isinstance(event, SourceStateEvent) and event.reason == REASON


class Unlike(NamedTuple):
    """Footage that the model knows nothing like."""

    distance: float  # of what was seen of late
    limit: float

    def __str__(self) -> str:
        return (
            f"footage unlike training data: distance {self.distance:.2f}, known up to {self.limit:.2f}; "
            "what the model says about it means little: use a model for such footage, or train on it"
        )


class FootageWatch:
    """Looks at one source twice a second of media time and judges by the mean of the last half minute."""

    def __init__(self, known: TrainingFeatures) -> None:
        self._known = known
        self._looks: NDArray[np.float32] = np.zeros((0, len(known.mean)), np.float32)  # features, the oldest first
        self._looked_s = -np.inf
        self._is_unlike = False

    def observe(self, outputs: Outputs[NDArray[np.float32]], t_s: float) -> Unlike | None:
        """Take a frame at media time `t_s`, outputs of batch 1; return what it comes to when that is news.

        A source that was told to be unlike is told again only after it was like the training data.
        """
        if 0 <= t_s - self._looked_s < LOOK_EVERY_S:
            return None
        self._looked_s = t_s
        self._looks = np.concatenate([self._looks, frame_features(outputs)])[-MOST_LOOKS:]
        if len(self._looks) < MIN_LOOKS:
            return None
        distance = self._known.distance(self._looks)
        was_unlike, self._is_unlike = self._is_unlike, distance > self._known.limit
        return Unlike(distance, self._known.limit) if self._is_unlike and not was_unlike else None

    def saved(self) -> dict[str, NDArray[Any]]:
        """Return all that later frames depend on, as named arrays."""
        return {"looks": self._looks, "state": np.array([self._looked_s, float(self._is_unlike)])}

    def restore(self, arrays: Arrays) -> None:
        """Go on from what `saved` returned. Raises KeyError, ValueError."""
        self._looks = np.asarray(arrays["looks"], np.float32)
        looked_s, is_unlike = arrays["state"].tolist()
        self._looked_s, self._is_unlike = looked_s, bool(is_unlike)
