"""Where a film was cut or a camera turned to another view, told from two small grey pictures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.track.saved import Arrays

ROWS, COLUMNS = 16, 28
MIN_CONTRAST = 6.0  # standard deviation in grey levels; a black, covered or overexposed picture shows no view at all
BRIGHT, MAX_BRIGHT = 245.0, 0.5  # a flash: at least half of the picture is this bright
SAME_SHAPES, SAME_EDGES = 0.6, 0.35
"""Correlations, both below which a view is another one. Within real clips at 5 frames a second, cameras in the hand
included, large shapes stay above 0.77; between clips the median is 0.1. Light that changes at one side moves the
large shapes and leaves the edges; a camera that pans moves the edges and leaves the large shapes."""


class CutDetector:
    """Look at one source's frames in order; deterministic, about 0.04 ms a frame."""

    def __init__(self) -> None:
        self._before: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    def saved(self) -> dict[str, NDArray[Any]]:
        """Return the state; see `stream.track.saved`."""
        return {} if self._before is None else {"shapes": self._before[0], "edges": self._before[1]}

    def restore(self, arrays: Arrays) -> None:
        """Go on from what `saved` returned."""
        self._before = (arrays["shapes"], arrays["edges"]) if arrays else None

    def observe(self, picture: NDArray[np.uint8]) -> bool:
        """Take the next frame, uint8 [H, W, 3] (RGB); return whether it shows another view than the last one did.

        Pictures without contrast, flashes and pictures below 16x28 are no evidence: the next one is compared with what
        was before them.
        """
        if picture.shape[0] < ROWS or picture.shape[1] < COLUMNS:
            return False
        grey = _thumbnail(picture)
        shapes, contrast = _unit(grey.ravel())
        if contrast < MIN_CONTRAST or np.count_nonzero(grey >= BRIGHT) >= MAX_BRIGHT * grey.size:
            return False
        edges, _ = _unit(np.concatenate([(grey[1:] - grey[:-1]).ravel(), (grey[:, 1:] - grey[:, :-1]).ravel()]))
        before, self._before = self._before, (shapes, edges)
        return before is not None and float(shapes @ before[0]) < SAME_SHAPES and float(edges @ before[1]) < SAME_EDGES


def _thumbnail(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return float32 [ROWS, COLUMNS]: the green channel, sampled sparsely, then averaged."""
    height, width = picture.shape[:2]
    step_y, step_x = max(1, height // (2 * ROWS)), max(1, width // (2 * COLUMNS))
    sampled = picture[::step_y, ::step_x, 1]
    cell_y, cell_x = sampled.shape[0] // ROWS, sampled.shape[1] // COLUMNS
    cells = sampled[: cell_y * ROWS, : cell_x * COLUMNS].reshape(ROWS, cell_y, COLUMNS, cell_x)
    grey: NDArray[np.float32] = cells.sum((1, 3), dtype=np.float32) / np.float32(cell_y * cell_x)
    return grey


def _unit(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Return `values` as a vector of mean 0 and length 1 (zeros when they are all equal), and their deviation."""
    centred = values - np.float32(values.sum() / values.size)
    length = math.sqrt(float(centred @ centred))
    return centred / np.float32(length or 1.0), length / math.sqrt(values.size)
