"""A tracker's state as named arrays: to be put on a disk, and to go on from bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


def prefixed(name: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Return the arrays of a part under its name."""
    return {f"{name}.{key}": array for key, array in arrays.items()}


def part(name: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Return the arrays that `prefixed` put under `name`."""
    return {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}


def optional(value: float | None) -> NDArray[np.float64]:
    """Return a number that may be missing as an array of one or none."""
    return np.array([] if value is None else [value], np.float64)


def as_optional(array: NDArray[Any]) -> float | None:
    """Return what `optional` was given."""
    return float(array[0]) if len(array) else None
