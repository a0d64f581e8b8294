"""What every engine shares: input checks and the context manager."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hoiclip.errors import InputError
from hoiclip.types import Canvas, Outputs


class BaseEngine(ABC):
    """Checks frames before they reach a runtime; subclasses implement `_run`.

    Implements `hoiclip.types.Engine`.
    """

    def __init__(self, name: str, canvas: Canvas, max_batch: int) -> None:
        self._name, self._canvas, self._max_batch = name, canvas, max_batch

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
        """The largest batch `infer` takes."""
        return self._max_batch

    def infer(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        """Return the outputs for RGB frames uint8 [B, H, W, 3]; raises InputError for another shape or dtype."""
        return self._run(self._checked(frames))

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
    def _run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        """Run checked, contiguous frames."""

    def close(self) -> None:  # noqa: B027  # most engines have nothing to free
        """Free the runtime; safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def join(parts: list[Outputs[NDArray[np.float32]]]) -> Outputs[NDArray[np.float32]]:
    """Return the outputs of several frames as one batch."""
    if len(parts) == 1:
        return parts[0]
    return Outputs(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))
