"""Antialiased drawing in world units that remembers the exact extent of what was drawn."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Colour = tuple[int, int, int]
_SHIFT = 4  # sub-pixel bits of OpenCV's fixed-point coordinates


class Extent:
    """The bounding box of everything drawn while it was attached, in world units."""

    def __init__(self) -> None:
        self.number = 0  # which pixels of `Brush.owner` are its own; given by the brush
        self.area_px = 0  # pixels inside the frame when it was drawn, before anything else hid them
        self.x0 = self.y0 = float("inf")
        self.x1 = self.y1 = float("-inf")

    def add(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Grow to hold a box."""
        self.x0, self.y0 = min(self.x0, x0), min(self.y0, y0)
        self.x1, self.y1 = max(self.x1, x1), max(self.y1, y1)


class Brush:
    """Draw on an RGB image whose world is `image height / scale` units high; y grows downwards.

    `extent` names who is being drawn: set it to an `Extent` (or None) before drawing a part. Who covers which pixel is
    kept as well once `track` was called, so that what others hide can be measured.
    """

    def __init__(self, image: NDArray[np.uint8], scale: float) -> None:
        self.image = image
        self.scale = scale
        self.owner: NDArray[np.uint8] | None = None  # [H, W], 0: nobody
        self._extent: Extent | None = None
        self._count = 0
        self._fixed = scale * (1 << _SHIFT)

    def track(self) -> None:
        """Start to remember who covers which pixel."""
        self.owner = np.zeros(self.image.shape[:2], np.uint8)

    @property
    def extent(self) -> Extent | None:
        """Who is being drawn."""
        return self._extent

    @extent.setter
    def extent(self, extent: Extent | None) -> None:
        if self.owner is not None:
            if self._extent is not None:
                self._extent.area_px = max(self._extent.area_px, self._covered(self._extent))
            if extent is not None and extent.number == 0:
                self._count += 1
                extent.number = self._count
        self._extent = extent

    def visible(self, extent: Extent) -> float:
        """Return the share in [0, 1] of its pixels inside the frame that nothing drawn later covers."""
        return self._covered(extent) / extent.area_px if extent.area_px else 0.0

    def _covered(self, extent: Extent) -> int:
        return 0 if self.owner is None else int(np.count_nonzero(self.owner == extent.number))

    @property
    def _number(self) -> int:
        return self._extent.number if self._extent is not None else 0

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """Fill a polygon."""
        array = np.asarray(points, np.float64)
        self._grow(array, 0.0)
        fixed = [np.rint(array * self._fixed).astype(np.int32)]
        cv2.fillPoly(self.image, fixed, colour, cv2.LINE_AA, _SHIFT)
        if self.owner is not None:
            cv2.fillPoly(self.owner, fixed, (self._number,), cv2.LINE_8, _SHIFT)

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """Draw a polyline with round joints, `width` wide."""
        array = np.asarray(points, np.float64)
        self._grow(array, width / 2)
        thickness = max(1, round(width * self.scale))
        fixed = [np.rint(array * self._fixed).astype(np.int32)]
        cv2.polylines(self.image, fixed, False, colour, thickness, cv2.LINE_AA, _SHIFT)
        if self.owner is not None:
            cv2.polylines(self.owner, fixed, False, (self._number,), thickness, cv2.LINE_8, _SHIFT)

    def ellipse(self, centre: Point, radii: Point, colour: Colour, *, width: float = 0.0) -> None:
        """Fill an upright ellipse, or outline it with `width` > 0."""
        (x, y), (a, b) = centre, radii
        if self._extent is not None:
            self._extent.add(x - a - width / 2, y - b - width / 2, x + a + width / 2, y + b + width / 2)
        thickness = -1 if width == 0 else max(1, round(width * self.scale))
        middle = (round(x * self._fixed), round(y * self._fixed))
        axes = (max(1, round(a * self._fixed)), max(1, round(b * self._fixed)))
        cv2.ellipse(self.image, middle, axes, 0, 0, 360, colour, thickness, cv2.LINE_AA, _SHIFT)
        if self.owner is not None:
            cv2.ellipse(self.owner, middle, axes, 0, 0, 360, (self._number,), thickness, cv2.LINE_8, _SHIFT)

    def circle(self, centre: Point, radius: float, colour: Colour, *, width: float = 0.0) -> None:
        """Fill a circle, or outline it with `width` > 0."""
        self.ellipse(centre, (radius, radius), colour, width=width)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """Fill an upright rectangle."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour)

    def _grow(self, points: NDArray[np.float64], margin: float) -> None:
        if self.extent is not None:
            (x0, y0), (x1, y1) = points.min(0), points.max(0)
            self.extent.add(x0 - margin, y0 - margin, x1 + margin, y1 + margin)


def shade(colour: Colour, factor: float) -> Colour:
    """Return `colour` times `factor`, kept within bytes."""
    r, g, b = (min(255, max(0, round(c * factor))) for c in colour)
    return r, g, b
