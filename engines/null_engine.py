"""An engine that computes nothing: for measuring everything around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.base import BaseEngine
from hoiclip.config import ModelConfig
from hoiclip.types import Canvas, Outputs


class NullEngine(BaseEngine):
    """Return the same plausible outputs for every frame: `pairs` confident queries, the others empty."""

    def __init__(self, config: ModelConfig, canvas: Canvas, max_batch: int = 64, *, pairs: int = 10) -> None:
        super().__init__("null", canvas, max_batch)
        rng = np.random.default_rng(7)
        q, e = config.num_queries, config.clip.embed_dim

        def unit(*shape: int) -> NDArray[np.float32]:
            x = rng.normal(size=shape)
            rows: NDArray[np.float32] = (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)
            return rows

        logits = np.full((1, q, config.num_objects + 1), -6.0, np.float32)
        logits[..., -1] = 4.0
        for query in range(min(pairs, q)):
            logits[0, query, -1], logits[0, query, query % config.num_objects] = -6.0, 6.0
        boxes = rng.uniform(0.2, 0.8, (2, 1, q, 4)).astype(np.float32) * np.array([1, 1, 0.3, 0.5], np.float32)
        self._outputs = Outputs(boxes[0], boxes[1], logits, unit(1, q, e), unit(1, q, e), unit(1, e))

    def _run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        return Outputs(*(np.repeat(value, len(frames), 0) for value in self._outputs))
