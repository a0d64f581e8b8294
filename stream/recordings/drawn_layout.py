"""Draw a camera's zones, lines and masks under the boxes of its pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from hoiclip.annotate import PALETTE
from stream.zones.layout import Layout

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]
_FILL, _EDGE, _MASK = 0.14, 0.85, 0.55  # opacities
_DARK = (18, 18, 22)


class DrawnLayout:
    """A layout as one overlay, made for the first frame of each size and mixed into every frame."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._size: tuple[int, int] | None = None
        self._colour: Floats = np.zeros((0, 3), np.float32)  # [M, 3] of the pixels that it touches
        self._opacity: Floats = np.zeros((0, 1), np.float32)  # [M, 1]
        self._where: tuple[NDArray[np.int64], ...] = ()  # rows and columns of these pixels

    def on(self, picture: Picture) -> Picture:
        """Return a copy of the RGB picture uint8 [H, W, 3] with the layout on it; the picture itself without one."""
        if not self._layout:
            return picture
        if self._size != picture.shape[:2]:
            self._prepare(picture.shape[0], picture.shape[1])
        drawn = picture.copy()
        below: Floats = drawn[self._where].astype(np.float32)
        drawn[self._where] = (below + self._opacity * (self._colour - below) + 0.5).astype(np.uint8)
        return drawn

    def _prepare(self, height: int, width: int) -> None:
        self._size = (height, width)
        overlay = Image.new("RGBA", (width, height), (0, 0, 0, 0))
        pen = ImageDraw.Draw(overlay)
        line = max(1, round(min(height, width) / 240))
        font = ImageFont.load_default(max(10, round(min(height, width) / 32)))

        def place(x: float, y: float) -> tuple[float, float]:
            return x * (width - 1), y * (height - 1)

        for mask in self._layout.masks:
            pen.polygon([place(*corner) for corner in mask], fill=(*_DARK, round(255 * _MASK)))
        for number, zone in enumerate(self._layout.zones):
            colour = PALETTE[number % len(PALETTE)]
            corners = [place(*corner) for corner in zone.polygon]
            pen.polygon(corners, fill=(*colour, round(255 * _FILL)))
            pen.line([*corners, corners[0]], fill=(*colour, round(255 * _EDGE)), width=line, joint="curve")
            _name(pen, zone.name, min(corners, key=lambda corner: corner[1]), (width, height), colour, font)
        for number, crossed in enumerate(self._layout.lines):
            colour = PALETTE[(number + len(self._layout.zones)) % len(PALETTE)]
            start, end = place(*crossed.start), place(*crossed.end)
            pen.line([start, end], fill=(*colour, 255), width=2 * line)
            middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
            pen.line([middle, _beside(start, end, middle, 12 * line)], fill=(*colour, 255), width=line)  # the way `in`
            _name(pen, f"{crossed.name}: in", _beside(start, end, middle, 14 * line), (width, height), colour, font)
        pixels = np.asarray(overlay)
        self._where = pixels[..., 3].nonzero()
        touched = pixels[self._where].astype(np.float32)
        self._colour, self._opacity = touched[:, :3], touched[:, 3:] / np.float32(255)


def _beside(
    start: tuple[float, float], end: tuple[float, float], middle: tuple[float, float], length: float
) -> tuple[float, float]:
    """Return the point `length` px from `middle`, on the right hand of who walks from `start` to `end`."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    scale = length / max((along_x**2 + along_y**2) ** 0.5, 1e-9)
    return middle[0] - along_y * scale, middle[1] + along_x * scale


def _name(
    pen: ImageDraw.ImageDraw,
    text: str,
    at: tuple[float, float],
    size: tuple[int, int],
    colour: tuple[int, int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """Write a name on a dark plate near `at`, inside the picture."""
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    x = min(max(at[0], 2), max(2, size[0] - (right - left) - 4))
    y = min(max(at[1], 2), max(2, size[1] - (bottom - top) - 6))
    pen.rectangle((x - 2, y - 1, x + right - left + 2, y + bottom - top + 3), fill=(*_DARK, 190))
    pen.text((x - left, y - top), text, font=font, fill=(*colour, 255))
