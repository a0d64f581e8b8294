"""A vocabulary of three interactions, and frames in which pairs score what a test says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from hoiclip.classifier import TextClassifier
from hoiclip.evaluation.event_types import TrueInteraction, TrueVideo
from hoiclip.postprocess import PairDetections
from stream.recordings.replay import PairFrame

STEP_S = 0.125
MAN, CUP = (100.0, 50.0, 160.0, 210.0), (150.0, 100.0, 170.0, 120.0)
WOMAN, BICYCLE = (400.0, 50.0, 460.0, 210.0), (380.0, 110.0, 500.0, 230.0)


@pytest.fixture
def classifier() -> TextClassifier:
    """`hold cup`, `drink with cup`, `ride bicycle`."""
    rows = np.zeros((3, 4), np.float32)
    return TextClassifier(
        ("hold cup", "drink with cup", "ride bicycle"), ("hold", "drink_with", "ride"), ("cup", "cup", "bicycle"),
        ("", "", ""), np.array([0, 0, 1]), rows, np.zeros(3, np.float32), rows, 0.5, 1.0, np.zeros(3, np.bool_), rows,
        ("cup", "bicycle"), "fingerprint",
    )  # fmt: skip


@pytest.fixture
def make_frames() -> Callable[..., list[PairFrame]]:
    """Return a function of a scene that makes its frames.

    The scene is called with a frame's time and returns rows of (human box, object box, object class, three scores).
    """

    def make(scene: Callable[[float], Sequence[tuple]], seconds: float = 10.0) -> list[PairFrame]:
        frames = []
        for t_s in np.arange(0.0, seconds, STEP_S).tolist():
            rows = list(scene(t_s))
            pairs = PairDetections(
                np.array([row[0] for row in rows], np.float32).reshape(-1, 4),
                np.array([row[1] for row in rows], np.float32).reshape(-1, 4),
                np.array([row[2] for row in rows], np.int64),
                np.ones(len(rows), np.float32),
                np.array([row[3] for row in rows], np.float32).reshape(-1, 3),
            )
            frames.append(PairFrame(t_s, pairs))
        return frames

    return make


@pytest.fixture
def truth() -> TrueVideo:
    """The man (1) holds the cup (11) from 2 to 6 s, drinks from 3 to 4 s; the woman (2) stands beside the bicycle."""
    times = np.arange(0.0, 10.0, 0.04)
    return TrueVideo(
        (
            TrueInteraction("hold cup", 1, 2.0, 6.0, 11, "cup"),
            TrueInteraction("drink with cup", 1, 3.0, 4.0, 11, "cup"),
        ),
        times,
        [{1: MAN, 2: WOMAN} for _ in times],
        [{11: CUP, 12: BICYCLE} for _ in times],
        {11: "cup", 12: "bicycle"},
        10.0,
    )
