"""Frame sizes: as people write them, and a model's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hoiclip.errors import InputError
from hoiclip.types import Canvas

if TYPE_CHECKING:
    from hoiclip.loaded import LoadedModel


def parse_canvases(sizes: Sequence[str]) -> list[Canvas]:
    """Return canvases for sizes written HEIGHTxWIDTH. Raises InputError for anything else."""
    for size in sizes:
        if not re.fullmatch(r"[1-9]\d{1,3}x[1-9]\d{1,3}", size):
            raise InputError(f"expected a canvas as HEIGHTxWIDTH such as 256x448, got {size!r}")
    return [Canvas(*map(int, size.split("x"))) for size in sizes]


def model_canvas(loaded: LoadedModel) -> Canvas:
    """Return the canvas that a model is usually run at."""
    return loaded.canvases[0]


def canvases_of(sizes: Sequence[Canvas], loaded: LoadedModel) -> list[Canvas]:
    """Return the given canvases, or the model's own where there are none."""
    return list(sizes) or [model_canvas(loaded)]
