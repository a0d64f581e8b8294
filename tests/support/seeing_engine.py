"""An engine of random weights, so to speak: what it says depends on the picture alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.base import BaseEngine
from hoiclip.config import tiny
from hoiclip.types import Canvas, Outputs


class Seeing(BaseEngine):
    """An engine whose outputs depend on the picture alone, with the sizes and the makers of its batches kept."""

    def __init__(self, canvas: Canvas) -> None:
        super().__init__("seeing", canvas, 8)
        self.batches: list[int] = []
        config = tiny()
        self._queries, self._objects, self._embed = config.num_queries, config.num_objects, config.clip.embed_dim

    def _run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        self.batches.append(len(frames))
        each = [self._one(frame) for frame in frames]
        return Outputs(*(np.concatenate(arrays) for arrays in zip(*each, strict=True)))

    def _one(self, frame: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        grey = int(frame.mean())  # the number of the frame, as `make_clip` paints it
        random = np.random.default_rng(grey // 24)  # pairs that stay for three frames
        boxes = random.uniform(0.2, 0.8, (2, 1, self._queries, 4)).astype(np.float32)
        logits = random.normal(-3, 3, (1, self._queries, self._objects + 1)).astype(np.float32)
        rows = random.normal(size=(3, 1, self._queries, self._embed)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
        return Outputs(boxes[0], boxes[1], logits, rows[0], rows[1], rows[2, :, 0])
