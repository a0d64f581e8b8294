"""What the model sees in every frame of a recording, kept for measuring: all queries with all their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hoiclip.classifier import TextClassifier
from hoiclip.postprocess import IN_VIEW_SCORE, PairDetections, PairScores, score, to_pairs
from hoiclip.types import Engine, Outputs
from stream.recordings.clip_frames import ClipFrame, read_clip
from stream.track.cuts import CutDetector

Alter = Callable[[NDArray[np.uint8], float], NDArray[np.uint8] | None]


@dataclass(frozen=True)
class FrameScores:
    """One frame after the model's head."""

    t_s: float  # media time
    size_hw: tuple[int, int]  # of the recording's frame, in pixels
    scores: PairScores  # of a batch of one
    is_cut: bool  # this frame shows another view than the one before

    def pairs(self, classifier: TextClassifier, min_score: float) -> PairDetections:
        """Return the pairs that the tracker gets, in pixels of the recording's frame."""
        return to_pairs(self.scores, 0, self.size_hw, classifier, min_score=min_score, min_object_score=IN_VIEW_SCORE)


def score_recording(
    path: Path,
    engine: Engine,
    classifier: TextClassifier,
    *,
    fps: float | None = 8.0,
    enhancement: bool = False,
    alter: Alter | None = None,
    progress: Callable[[float], None] | None = None,
) -> list[FrameScores]:
    """Run a recording through the model, about `fps` frames a second: the frames that `hoistream batch` looks at.

    Args:
        path: the recording.
        engine: its canvas decides the size of the frames.
        classifier: what to look for.
        fps: None takes every frame.
        enhancement: use CLIP's view of the whole frame as well.
        alter: called with each frame, RGB uint8 [H, W, 3] on the canvas, and its media time; returns what the model
            sees instead, or None for a frame that is lost.
        progress: called with the media time.

    Raises InputError when the recording cannot be read.
    """
    found: list[FrameScores] = []
    cuts = CutDetector()
    frames = _altered(read_clip(path, engine.canvas, fps=fps), alter)
    for group in _groups(frames, engine.max_batch):
        outputs = engine.infer(np.stack([frame.pixels for frame in group]))
        for index, frame in enumerate(group):
            one = Outputs(*(array[index : index + 1] for array in outputs))
            scores = score(one, classifier, enhancement=enhancement)
            found.append(FrameScores(frame.t_s, frame.size_hw, scores, cuts.observe(frame.pixels)))
        if progress is not None:
            progress(group[-1].t_s)
    return found


def _altered(frames: Iterator[ClipFrame], alter: Alter | None) -> Iterator[ClipFrame]:
    for frame in frames:
        pixels = frame.pixels if alter is None else alter(frame.pixels, frame.t_s)
        if pixels is not None:
            yield frame._replace(pixels=pixels)


def _groups(frames: Iterator[ClipFrame], size: int) -> Iterator[list[ClipFrame]]:
    while group := list(islice(frames, size)):
        yield group
