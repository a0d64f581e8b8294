"""What the compiled graph returns, and the protocol an engine implements."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import TracebackType
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from hoiclip.errors import InputError

_CANVAS = r"[1-9]\d{1,3}x[1-9]\d{1,3}"
Array = TypeVar("Array")  # torch.Tensor inside the graph, numpy float32 outside


class Outputs(NamedTuple, Generic[Array]):
    """Outputs of the graph; the fields name its outputs. B batch, Q queries, O object classes, E CLIP embedding."""

    human_boxes: Array  # [B, Q, 4] cxcywh in [0, 1] of the canvas
    object_boxes: Array  # [B, Q, 4] cxcywh in [0, 1] of the canvas
    object_logits: Array  # [B, Q, O + 1] before softmax or sigmoid; the last class is "no object"
    interaction_embeddings: Array  # [B, Q, E] unit rows, to be scored against interaction classifiers
    verb_embeddings: Array  # [B, Q, E] unit rows, to be scored against verb classifiers
    clip_embedding: Array  # [B, E] unit rows, CLIP's embedding of the whole frame


BORDERS = ("projected", "memory", "clip_tokens")  # values inside the graph that end a group of layers


def concatenate(parts: Sequence[Outputs[NDArray[np.float32]]]) -> Outputs[NDArray[np.float32]]:
    """Return the outputs of several batches as one; there must be at least one."""
    if len(parts) == 1:
        return parts[0]
    return Outputs(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))


class Canvas(NamedTuple):
    """A fixed frame size in pixels; frames of one canvas need neither resize nor padding."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"

    @classmethod
    def parse(cls, text: str) -> Canvas:
        """Return the canvas written HEIGHTxWIDTH. Raises InputError for anything else."""
        if not re.fullmatch(_CANVAS, text):
            raise InputError(f"expected a canvas as HEIGHTxWIDTH such as 256x448, got {text!r}")
        return cls(*map(int, text.split("x")))


class Engine(Protocol):
    """Run the vision graph for one canvas. Used as a context manager, from one thread.

    `infer` runs a batch and waits for it. `submit` and `collect` are its two halves, for an engine that works while its
    caller does something else: up to `max_in_flight` batches are submitted, and each is collected, in that order.
    To bring your own, implement `_run` of `engines.base.BaseEngine`.

    Raises from `infer` and `submit`: `hoiclip.errors.InputError` for a wrong shape or dtype, before anything runs.
    """

    @property
    def name(self) -> str:
        """Runtime, device and precision, such as ``torch-cpu-fp32``."""
        ...

    @property
    def canvas(self) -> Canvas:
        """The only frame size this engine takes."""
        ...

    @property
    def max_batch(self) -> int:
        """The largest batch `infer` and `submit` take."""
        ...

    @property
    def max_in_flight(self) -> int:
        """Batches that may be submitted and not yet collected: 1 where nothing is gained by more."""
        ...

    def infer(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        """Return the outputs for RGB frames [B, H, W, 3] with 1 <= B <= `max_batch`, as arrays the caller owns.

        Raises HoistreamError while batches are in flight, whose outputs it would take.
        """
        ...

    def submit(self, frames: NDArray[np.uint8]) -> None:
        """Start a batch as `infer` takes it; `frames` may be changed once this returns.

        Raises HoistreamError when `max_in_flight` batches are in flight.
        """
        ...

    def collect(self) -> Outputs[NDArray[np.float32]]:
        """Wait for the oldest batch in flight and return its outputs, as arrays the caller owns.

        Raises what that batch failed with, and HoistreamError when none is in flight.
        """
        ...

    def close(self) -> None:
        """Free the runtime; safe to call twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
