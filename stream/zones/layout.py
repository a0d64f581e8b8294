"""What is drawn on one camera's picture: zones, lines and masks, in parts of its width and height."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stream.zones.geometry import Bools, Point, Points, contains

Polygon = tuple[Point, ...]
"""Corners (x, y) in [0, 1] from the left and the top, in order round a polygon that does not cross itself."""

By = Literal["feet", "object", "both"]
Boxes = NDArray[np.floating]


@dataclass(frozen=True)
class Zone:
    """An area that pairs are in or not."""

    name: str
    polygon: Polygon
    by: By = "feet"
    """What must be inside: the human's feet (the middle of the box's lower edge), the object's centre, or both."""
    settle_s: float = 0.3
    """How long a pair must be inside before it counts as in, and outside before it counts as out."""


@dataclass(frozen=True)
class Line:
    """A line whose crossings count: ``in`` from its left to its right for who walks from `start` to `end`."""

    name: str
    start: Point
    end: Point
    by: Literal["feet", "object"] = "feet"


@dataclass(frozen=True)
class Layout:
    """All that is drawn on one picture."""

    zones: tuple[Zone, ...] = ()
    lines: tuple[Line, ...] = ()
    masks: tuple[Polygon, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.zones or self.lines or self.masks)

    def is_masked(self, human_boxes: Boxes, size_hw: tuple[int, int]) -> Bools:
        """Return [P]: which humans stand in a mask; boxes [P, 4] in pixels of a frame of `size_hw`."""
        points = relative(feet(human_boxes), size_hw)
        masked = np.zeros(len(points), np.bool_)
        for mask in self.masks:
            masked |= contains(np.array(mask), points)
        return masked


def feet(human_boxes: Boxes) -> Points:
    """Return [P, 2]: where humans stand, the middle of the lower edge of boxes [P, 4]."""
    boxes = np.asarray(human_boxes, np.float64).reshape(-1, 4)
    return np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1)


def centres(object_boxes: Boxes) -> Points:
    """Return [P, 2]: the centres of boxes [P, 4]."""
    boxes = np.asarray(object_boxes, np.float64).reshape(-1, 4)
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def relative(points: Points, size_hw: tuple[int, int]) -> Points:
    """Return points [P, 2] in pixels as parts of the frame; those beyond its edge, as boxes may be, on the edge."""
    height, width = size_hw
    return np.clip(points / (width, height), 0.0, 1.0)
