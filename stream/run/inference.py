"""Run batches through one engine a canvas."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hoiclip.types import Canvas, Engine, Outputs


class EnginePool:
    """Engines by canvas, opened when a frame of that canvas first comes; used from one thread.

    `warm` opens the expected ones beforehand, so that a wrong setting fails before a camera is touched.
    """

    def __init__(self, open_engine: Callable[[Canvas], Engine]) -> None:
        self._open_engine = open_engine
        self._engines: dict[Canvas, Engine] = {}
        self.busy_s = 0.0  # time spent inside the engines

    def warm(self, canvases: list[Canvas]) -> None:
        """Open an engine for each canvas and run one blank frame through it."""
        for canvas in canvases:
            self._get(canvas).infer(np.zeros((1, canvas.height, canvas.width, 3), np.uint8))

    def infer(self, canvas: Canvas, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        """Return the outputs of RGB frames [B, H, W, 3]; a batch above the engine's limit runs in parts."""
        engine = self._get(canvas)
        started = time.perf_counter()
        parts = [engine.infer(frames[i : i + engine.max_batch]) for i in range(0, len(frames), engine.max_batch)]
        self.busy_s += time.perf_counter() - started
        return (
            parts[0] if len(parts) == 1 else Outputs(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))
        )

    def _get(self, canvas: Canvas) -> Engine:
        if canvas not in self._engines:
            self._engines[canvas] = self._open_engine(canvas).__enter__()
        return self._engines[canvas]

    @property
    def names(self) -> list[str]:
        """Runtime, device and precision of each open engine."""
        return [f"{engine.name} {canvas}" for canvas, engine in self._engines.items()]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for engine in self._engines.values():
            engine.__exit__(kind, error, trace)
        self._engines.clear()
