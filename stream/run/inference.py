"""Run batches through one engine a canvas, several of them in flight where the engine gains by it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from hoiclip.errors import HoistreamError
from hoiclip.types import Canvas, Engine, Outputs, concatenate
from stream.ingest.batcher import Batch, FrameMeta

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inferred:
    """A batch after the engine."""

    outputs: Outputs[NDArray[np.float32]] | None  # of the frames that are not still, in their order; None without any
    batch: Batch

    @property
    def num_looked(self) -> int:
        """How many frames the engine saw."""
        return 0 if self.outputs is None else len(self.outputs[0])

    def frames(self) -> Iterator[tuple[FrameMeta, NDArray[np.uint8], Outputs[NDArray[np.float32]] | None]]:
        """Yield what is known about each frame, its picture [H, W, 3], and its outputs of batch 1: None if still."""
        looked = 0
        for meta, picture in zip(self.batch.meta, self.batch.frames, strict=True):
            if meta.still or self.outputs is None:
                yield meta, picture, None
                continue
            yield meta, picture, Outputs(*(array[looked : looked + 1] for array in self.outputs))
            looked += 1


class _InFlight(NamedTuple):
    """A batch that was submitted."""

    engine: Engine
    batch: Batch
    is_looked: bool  # whether the engine has frames of it


class EnginePool:
    """Engines by canvas, opened when a frame of that canvas first comes; used from one thread.

    Batches are collected in the order in which they were submitted, whichever engine ran them. `warm` opens the
    expected engines beforehand, so that a wrong setting fails before a camera is touched.
    """

    def __init__(self, open_engine: Callable[[Canvas], Engine]) -> None:
        self._open_engine = open_engine
        self._engines: dict[Canvas, Engine] = {}
        self._in_flight: deque[_InFlight] = deque()

    def warm(self, canvases: list[Canvas]) -> None:
        """Open an engine for each canvas and run one blank frame through it."""
        for canvas in canvases:
            self._get(canvas).infer(np.zeros((1, canvas.height, canvas.width, 3), np.uint8))

    def infer(self, canvas: Canvas, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        """Return the outputs of RGB frames [B, H, W, 3], in parts of what the engine takes; needs none in flight."""
        engine = self._get(canvas)
        starts = range(0, len(frames), engine.max_batch)
        return concatenate([engine.infer(frames[i : i + engine.max_batch]) for i in starts])

    def name(self, canvas: Canvas) -> str:
        """Return runtime, device and precision of the engine for `canvas`, opening it if it is not open yet."""
        return self._get(canvas).name

    def parts(self, batch: Batch) -> list[Batch]:
        """Return a batch in parts of at most what its engine takes, to be submitted one by one."""
        size = self._get(batch.canvas).max_batch
        if len(batch.meta) <= size:
            return [batch]
        starts = range(0, len(batch.meta), size)
        return [replace(batch, frames=batch.frames[i : i + size], meta=batch.meta[i : i + size]) for i in starts]

    def submit(self, batch: Batch) -> None:
        """Start a batch; `collect` until the pool is not `full` before the next.

        Still frames take their turn with the others, and never reach the engine.
        """
        engine, frames = self._get(batch.canvas), batch.to_look_at
        if len(frames):
            engine.submit(frames)
        self._in_flight.append(_InFlight(engine, batch, bool(len(frames))))

    def collect(self) -> Inferred:
        """Wait for the oldest batch in flight. Raises what it failed with; what came after it is then discarded."""
        engine, batch, is_looked = self._in_flight.popleft()
        try:
            return Inferred(engine.collect() if is_looked else None, batch)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Wait for every batch in flight and forget its outputs."""
        while self._in_flight:
            engine, batch, is_looked = self._in_flight.popleft()
            try:
                if is_looked:
                    engine.collect()
            except HoistreamError as error:  # of no interest any more
                logger.debug("%s: a discarded batch of %d frames failed: %s", engine.name, len(batch.meta), error)

    @property
    def in_flight(self) -> int:
        """Batches submitted and not collected."""
        return len(self._in_flight)

    @property
    def full(self) -> bool:
        """Whether a batch must be collected before the next is submitted."""
        return bool(self._in_flight) and len(self._in_flight) >= self._in_flight[-1].engine.max_in_flight

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
        self.discard()
        for engine in self._engines.values():
            engine.__exit__(kind, error, trace)
        self._engines.clear()
