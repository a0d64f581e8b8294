"""Scenes written out by hand, whose truth is known, and what a tracker makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from stream.track.tracker import PairTracker, TrackerSettings, Transition

NAMES = ("ride bicycle", "hold cup", "carry suitcase", "no_interaction bicycle")
OBJECTS = ("bicycle", "cup", "suitcase")
RIDE, HOLD, CARRY, NOTHING = range(4)
OBJECT_OF = (0, 1, 2, 0)


@dataclass
class Detections:
    """The fields of `hoiclip.postprocess.PairDetections` that the tracker reads."""

    human_boxes_xyxy: np.ndarray
    object_boxes_xyxy: np.ndarray
    object_labels: np.ndarray
    object_scores: np.ndarray
    scores: np.ndarray


Seen = tuple[Sequence[float], Sequence[float], int, dict[int, float]]  # human box, object box, label, scores


def frame(pairs: Iterable[Seen]) -> Detections:
    pairs = list(pairs)
    scores = np.zeros((len(pairs), len(NAMES)), np.float32)
    for row, (_, _, _, by_interaction) in enumerate(pairs):
        for k, score in by_interaction.items():
            scores[row, k] = score
    return Detections(
        np.array([p[0] for p in pairs], np.float32).reshape(-1, 4),
        np.array([p[1] for p in pairs], np.float32).reshape(-1, 4),
        np.array([p[2] for p in pairs], np.int64),
        np.ones(len(pairs), np.float32),
        scores,
    )


def human_at(x: float, y: float = 100) -> list[float]:
    return [x, y, x + 60, y + 160]


def object_at(x: float, y: float = 180, size: float = 40) -> list[float]:
    return [x, y, x + size, y + size]


# What the scenes below were made for; the defaults are tuned and may change.
SETTINGS = {
    "enter_score": 0.35, "smoothing_s": 0.4, "min_duration_s": 0.2, "gap_s": 1.0, "min_pair_score": 0.1,
}  # fmt: skip


def tracker(**settings) -> PairTracker:
    return PairTracker(
        NAMES,
        object_names=OBJECTS,
        no_interaction=[False, False, False, True],
        settings=TrackerSettings(**{**SETTINGS, **settings}),
    )


def play(
    tracker: PairTracker, scene: Callable[[float], Iterable[Seen]], seconds: float, fps: float = 5, start: float = 0.0
) -> list[Transition]:
    out: list[Transition] = []
    for i in range(round(seconds * fps)):
        t_s = start + i / fps
        out += tracker.update(t_s, frame(scene(t_s)))
    return out


def kinds(transitions: Iterable[Transition], kind: str) -> list[Transition]:
    return [t for t in transitions if t.kind == kind]


def riding(start: float, end: float, score: float = 0.9, rest: float = 0.15):
    """One person beside a bicycle, riding it from `start` to `end`."""
    return lambda t: [(human_at(100), object_at(110), 0, {RIDE: score if start <= t < end else rest})]
