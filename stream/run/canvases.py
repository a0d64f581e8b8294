"""Frame sizes: as people write them, and a model's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hoiclip.types import Canvas

if TYPE_CHECKING:
    from hoiclip.loaded import LoadedModel


def parse_canvases(sizes: Sequence[str]) -> list[Canvas]:
    """Return canvases for sizes written HEIGHTxWIDTH. Raises InputError for anything else."""
    return [Canvas.parse(size) for size in sizes]


def model_canvas(loaded: LoadedModel) -> Canvas:
    """Return the canvas that a model is usually run at."""
    return loaded.canvases[0]


def canvases_of(sizes: Sequence[Canvas], loaded: LoadedModel) -> list[Canvas]:
    """Return the given canvases, or the model's own where there are none. Raises InputError for one it cannot do."""
    for canvas in sizes:
        loaded.check_canvas(canvas)
    return list(sizes) or [model_canvas(loaded)]
