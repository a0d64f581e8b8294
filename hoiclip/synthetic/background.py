"""Places without people: walls, streets and parks with clutter, light and a camera's faults."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from hoiclip.synthetic.brush import Brush, Colour, shade

WALLS: tuple[Colour, ...] = (
    (206, 200, 188), (168, 180, 190), (190, 172, 150), (150, 160, 140), (196, 184, 200),
    (120, 128, 138), (220, 214, 196),
)  # fmt: skip
FLOORS: tuple[Colour, ...] = ((120, 104, 88), (104, 108, 112), (150, 140, 124), (92, 96, 90), (134, 118, 110))


def draw_background(
    rng: np.random.Generator, height: int, width: int, world_width: float, horizon: float, *, place: int | None = None
) -> NDArray[np.uint8]:
    """Return RGB uint8 [height, width, 3] of an empty place; `horizon` is in world units of a 256-high world.

    `place`: 0 indoors, 1 a street, 2 a park; None leaves it to `rng`.
    """
    scale = height / 256.0
    image = np.empty((height, width, 3), np.uint8)
    brush = Brush(image, scale)
    kind = int(rng.integers(3))
    kind = kind if place is None else place
    line = round(horizon * scale)
    if kind == 0:
        _gradient(image[:line], WALLS[int(rng.integers(len(WALLS)))], float(rng.uniform(0.8, 1.1)), rng)
        _gradient(image[line:], FLOORS[int(rng.integers(len(FLOORS)))], float(rng.uniform(0.8, 1.1)), rng)
        _indoors(brush, rng, world_width, horizon)
    elif kind == 1:
        _gradient(image[:line], (150, 186, 220), float(rng.uniform(0.75, 1.1)), rng)
        _gradient(image[line:], (118, 118, 120), float(rng.uniform(0.7, 1.15)), rng)
        _street(brush, rng, world_width, horizon)
    else:
        _gradient(image[:line], (160, 198, 226), float(rng.uniform(0.75, 1.1)), rng)
        _gradient(image[line:], (104, 148, 78), float(rng.uniform(0.7, 1.15)), rng)
        _park(brush, rng, world_width, horizon)
    return image


def _gradient(area: NDArray[np.uint8], colour: Colour, light: float, rng: np.random.Generator) -> None:
    if not area.size:
        return
    ramp = np.linspace(light, light * float(rng.uniform(0.75, 1.2)), len(area), dtype=np.float32)
    area[:] = np.clip(ramp[:, None] * np.asarray(colour, np.float32), 0, 255).astype(np.uint8)[:, None, :]


def _tint(rng: np.random.Generator, colour: Colour) -> Colour:
    return shade(colour, float(rng.uniform(0.7, 1.2)))


def _indoors(brush: Brush, rng: np.random.Generator, width: float, horizon: float) -> None:
    brush.box(0, horizon - 4, width, horizon, _tint(rng, (230, 226, 216)))
    for _ in range(int(rng.integers(1, 4))):
        x, y = float(rng.uniform(0, width)), float(rng.uniform(4, horizon - 70))
        w, h = float(rng.uniform(30, 70)), float(rng.uniform(26, 60))
        brush.box(x - 3, y - 3, x + w + 3, y + h + 3, _tint(rng, (90, 66, 48)))
        brush.box(x, y, x + w, y + h, _tint(rng, (180, 206, 226) if rng.random() < 0.5 else (200, 160, 120)))
    if rng.random() < 0.5:
        x, w = float(rng.uniform(0, width)), float(rng.uniform(36, 70))
        brush.box(x, horizon - 110, x + w, horizon + 4, _tint(rng, (110, 80, 56)))
        for k in range(4):
            brush.box(x + 4, horizon - 104 + 27 * k, x + w - 4, horizon - 82 + 27 * k, _tint(rng, (150, 120, 90)))


def _street(brush: Brush, rng: np.random.Generator, width: float, horizon: float) -> None:
    x = -20.0
    while x < width:
        w, top = float(rng.uniform(50, 110)), float(rng.uniform(8, horizon - 70))
        wall = _tint(rng, WALLS[int(rng.integers(len(WALLS)))])
        brush.box(x, top, x + w, horizon, wall)
        pane = shade(wall, 0.6)
        for px in np.arange(x + 8, x + w - 12, 20):
            for py in np.arange(top + 10, horizon - 20, 26):
                brush.box(float(px), float(py), float(px) + 10, float(py) + 14, pane)
        x += w + float(rng.uniform(0, 12))
    brush.box(0, horizon, width, horizon + 6, _tint(rng, (170, 168, 160)))
    for px in np.arange(float(rng.uniform(0, 40)), width, 60):
        brush.box(float(px), 244, float(px) + 30, 248, (220, 216, 200))
    if rng.random() < 0.6:
        px = float(rng.uniform(10, width - 10))
        brush.line([(px, horizon + 10), (px, horizon - 120)], 4, (70, 72, 76))
        brush.circle((px, horizon - 122), 6, (250, 240, 200))


def _park(brush: Brush, rng: np.random.Generator, width: float, horizon: float) -> None:
    for _ in range(int(rng.integers(2, 6))):
        x, r = float(rng.uniform(0, width)), float(rng.uniform(20, 42))
        y = horizon - float(rng.uniform(40, 80))
        brush.line([(x, horizon + 4), (x, y)], 9, _tint(rng, (92, 66, 46)))
        green = _tint(rng, (70, 120, 56))
        for dx, dy in ((0.0, 0.0), (-0.6, 0.3), (0.6, 0.25), (0.1, -0.5)):
            brush.circle((x + dx * r, y + dy * r), r * 0.8, shade(green, 1 + 0.25 * dx))
    if rng.random() < 0.5:
        brush.polygon(
            [(width * 0.3, 256), (width * 0.7, 256), (width * 0.52, horizon), (width * 0.46, horizon)],
            _tint(rng, (190, 176, 140)),
        )


@lru_cache(maxsize=1)
def _noise_tiles() -> NDArray[np.int16]:
    """Unit noise to cut random windows from: a thousand times cheaper than drawing it anew."""
    return np.random.default_rng(20231).normal(0, 16, (1300, 1500, 3)).astype(np.int16)


def camera(image: NDArray[np.uint8], rng: np.random.Generator, *, jpeg: bool = True) -> NDArray[np.uint8]:
    """Return `image` as a camera would give it: light and colour, vignette, blur, sensor noise, compression."""
    gain = rng.uniform(0.72, 1.22) * rng.uniform(0.93, 1.07, 3)
    offset = float(rng.uniform(-14, 14))
    table = np.clip(np.arange(256)[:, None] * gain + offset, 0, 255).astype(np.uint8)
    image = cv2.LUT(image, table[:, None, :])
    if rng.random() < 0.35:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.1)) * image.shape[0] / 256)
    level = float(rng.uniform(0.0, 0.75))
    image = noise(image, rng, level)
    if jpeg and rng.random() < 0.6:
        _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 90))])
        image = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return image


def noise(image: NDArray[np.uint8], rng: np.random.Generator, level: float) -> NDArray[np.uint8]:
    """Return `image` with sensor noise of `level` times 16 grey levels; larger than 1500x1300 repeats it."""
    height, width = image.shape[:2]
    tiles = _noise_tiles()
    y, x = int(rng.integers(1300 - min(height, 1299))), int(rng.integers(1500 - min(width, 1499)))
    tile = tiles[y : y + height, x : x + width]
    if tile.shape[:2] != (height, width):
        tile = np.tile(tiles, (-(-height // 1300), -(-width // 1500), 1))[:height, :width]
    return np.clip(image + (tile * level).astype(np.int16), 0, 255).astype(np.uint8)
