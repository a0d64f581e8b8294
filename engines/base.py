"""What every engine shares: input checks, batches in flight, and the context manager."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import deque
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError
from hoiclip.errors import HoistreamError, InputError
from hoiclip.types import Canvas, Outputs

logger = logging.getLogger(__name__)


class QueueingEngine(ABC):
    """Checks frames before they reach a runtime, and counts batches in flight. Implements `hoiclip.types.Engine`.

    For a runtime that works while its caller does something else; others are a `BaseEngine`.
    """

    def __init__(self, name: str, canvas: Canvas, max_batch: int, max_in_flight: int) -> None:
        self._name, self._canvas, self._max_batch, self._max_in_flight = name, canvas, max_batch, max_in_flight
        self._in_flight = 0

    @property
    def name(self) -> str:
        """Runtime, device and precision, such as ``torch-cpu-fp32``."""
        return self._name

    @property
    def canvas(self) -> Canvas:
        """The only frame size this engine takes."""
        return self._canvas

    @property
    def max_batch(self) -> int:
        """The largest batch `infer` and `submit` take."""
        return self._max_batch

    @property
    def max_in_flight(self) -> int:
        """Batches that may be submitted and not yet collected."""
        return self._max_in_flight

    def infer(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        """Return the outputs for RGB frames uint8 [B, H, W, 3]; raises InputError for another shape or dtype."""
        if self._in_flight:
            raise EngineError(f"{self._name}: batches in flight: {self._in_flight}; collect them before `infer`")
        self.submit(frames)
        return self.collect()

    def submit(self, frames: NDArray[np.uint8]) -> None:
        """Start a batch of RGB frames uint8 [B, H, W, 3]; raises InputError for another shape or dtype."""
        if self._in_flight == self._max_in_flight:
            raise EngineError(
                f"{self._name}: batches in flight: {self._in_flight}, the most it takes; collect one first"
            )
        self._start(self._checked(frames))
        self._in_flight += 1

    def collect(self) -> Outputs[NDArray[np.float32]]:
        """Return the outputs of the oldest batch in flight; raises what it failed with."""
        if not self._in_flight:
            raise EngineError(f"{self._name}: no batch is in flight")
        self._in_flight -= 1  # also when it failed: its place is free
        return self._finish()

    def _checked(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the frames, contiguous; raises InputError for another shape or dtype."""
        expected = (self._canvas.height, self._canvas.width, 3)
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != expected:
            raise InputError(
                f"{self._name}: expected uint8 frames [B, {expected[0]}, {expected[1]}, 3], "
                f"got {frames.dtype} {list(frames.shape)}"
            )
        if not 1 <= len(frames) <= self._max_batch:
            raise InputError(f"{self._name}: expected 1 to {self._max_batch} frames, got {len(frames)}")
        return np.ascontiguousarray(frames)

    @abstractmethod
    def _start(self, frames: NDArray[np.uint8]) -> None:
        """Start checked, contiguous frames; the caller may change them once this returns."""

    @abstractmethod
    def _finish(self) -> Outputs[NDArray[np.float32]]:
        """Wait for the oldest batch that was started and not finished, and return its outputs."""

    def close(self) -> None:  # noqa: B027  # most engines have nothing to free
        """Free the runtime; safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except HoistreamError as closing:
            if error is None:
                raise
            logger.warning("%s: closing after a failure: %s", self._name, closing)  # the failure is what counts


class BaseEngine(QueueingEngine):
    """An engine whose runtime returns when it has finished: subclasses implement `_run`, and `submit` runs it."""

    def __init__(self, name: str, canvas: Canvas, max_batch: int) -> None:
        super().__init__(name, canvas, max_batch, max_in_flight=1)
        self._finished: deque[Outputs[NDArray[np.float32]]] = deque()

    @abstractmethod
    def _run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        """Run checked, contiguous frames."""

    def _start(self, frames: NDArray[np.uint8]) -> None:
        self._finished.append(self._run(frames))

    def _finish(self) -> Outputs[NDArray[np.float32]]:
        return self._finished.popleft()
