"""Draw pairs on a frame: both boxes, the link between them and a label that can be read at any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from hoiclip.errors import HoistreamError

Picture = NDArray[np.uint8]
Rect = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right and bottom are outside

# Told apart by people with the common kinds of colour blindness, and light enough to be text on a dark plate.
# Source: Okabe and Ito, "Color Universal Design", 2008; blue and vermilion made lighter.
PALETTE = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 200, 140),
    (240, 228, 66),
    (110, 150, 255),
    (255, 120, 50),
    (230, 130, 190),
)
_DARK = (18, 18, 22)
_SMALLEST_PX = 9  # letters below this cannot be read


@dataclass(frozen=True)
class DrawnPair:
    """One pair to draw. Boxes are (left, top, right, bottom) in pixels of the picture."""

    human_box_xyxy: Sequence[float]
    object_box_xyxy: Sequence[float]
    labels: tuple[str, ...]  # such as "ride bicycle 0.87", best first; empty draws no plate
    colour: int = 0  # any number, such as the pair's id; equal numbers give equal colours
    opacity: float = 1.0  # in [0, 1]; 0 draws nothing
    is_dashed: bool = False  # the boxes as dashes: where it was last seen


def draw_pairs(image: Picture, pairs: Sequence[DrawnPair]) -> Picture:
    """Return a copy of the RGB picture uint8 [H, W, 3] with `pairs` drawn on it, the first on top.

    Lines and letters grow with the picture. Labels stay inside the frame and never cover one another: they move, then
    shrink, and a label for which no place is left is not drawn (its boxes are).
    """
    canvas = np.ascontiguousarray(image).copy()
    height, width = canvas.shape[:2]
    line = max(1, round(min(height, width) / 300))
    shown = [pair for pair in pairs if pair.opacity > 0]
    for pair in reversed(shown):
        if pair.opacity < 1:
            above = canvas.copy()
            _draw_boxes(above, pair, line)
            _blend(canvas, above, pair.opacity)
        else:
            _draw_boxes(canvas, pair, line)
    taken: list[Rect] = []
    size = max(_SMALLEST_PX + 2, round(min(height, width) / 26))
    for pair in shown:
        if pair.labels:
            _draw_label(canvas, pair, size, taken)
    return canvas


def _draw_boxes(canvas: Picture, pair: DrawnPair, line: int) -> None:
    colour = PALETTE[pair.colour % len(PALETTE)]
    human, thing = _rect(pair.human_box_xyxy, canvas), _rect(pair.object_box_xyxy, canvas)
    start, end = _centre(human), _centre(thing)
    dash = 6 * line if pair.is_dashed else 0
    # Dark below, colour above: visible on any background. The human's box is the thick one.
    for extra, paint in ((max(2, line), _DARK), (0, colour)):
        _draw_stroke(canvas, start, end, line + extra, paint)
        _draw_outline(canvas, human, 2 * line + extra, paint, dash)
        _draw_outline(canvas, thing, line + extra, paint, dash)
        for point in (start, end):
            _draw_stroke(canvas, point, point, 4 * line + extra, paint)


def _draw_outline(canvas: Picture, box: Rect, width: int, colour: tuple[int, int, int], dash: int) -> None:
    """Paint the four sides of a box, `width` px centred on its edges, as dashes of `dash` px where that is above 0."""
    left, top, right, bottom = box
    before, after = width // 2, width - width // 2
    outer = (max(left - before, 0), max(top - before, 0), right + after, bottom + after)
    columns, rows = (_dashes(*ends, dash) for ends in ((outer[0], outer[2]), (outer[1], outer[3])))
    for side in (canvas[outer[1] : top + after], canvas[max(bottom - before, 0) : outer[3]]):
        side[:, outer[0] : outer[2]][:, columns[: canvas.shape[1] - outer[0]]] = colour
    for side in (canvas[:, outer[0] : left + after], canvas[:, max(right - before, 0) : outer[2]]):
        side[outer[1] : outer[3]][rows[: canvas.shape[0] - outer[1]]] = colour


def _dashes(start: int, end: int, dash: int) -> NDArray[np.bool_]:
    """Return [end - start]: where along a side something is painted; everywhere without a `dash`."""
    places = np.arange(start, end)
    return places // dash % 2 == 0 if dash else np.ones(len(places), np.bool_)


def _blend(below: Picture, above: Picture, opacity: float) -> None:
    """Mix `above` into `below`, in place."""
    below[:] = (below + np.float32(opacity) * (above.astype(np.float32) - below) + np.float32(0.5)).astype(np.uint8)


def _draw_stroke(
    canvas: Picture, start: tuple[int, int], end: tuple[int, int], width: int, colour: tuple[int, int, int]
) -> None:
    """Paint an antialiased line with round ends, a dot where both ends are one: the share of a pixel it covers."""
    height, full_width = canvas.shape[:2]
    reach = width // 2 + 1
    left, right = max(min(start[0], end[0]) - reach, 0), min(max(start[0], end[0]) + reach + 1, full_width)
    top, bottom = max(min(start[1], end[1]) - reach, 0), min(max(start[1], end[1]) + reach + 1, height)
    x = np.arange(left, right, dtype=np.float32)[None] - start[0]
    y = np.arange(top, bottom, dtype=np.float32)[:, None] - start[1]
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    nearest = np.clip((x * along_x + y * along_y) / max(along_x**2 + along_y**2, 1), 0, 1)
    distance = np.hypot(x - nearest * along_x, y - nearest * along_y)
    cover = np.clip(width / 2 + 0.5 - distance, 0, 1)[..., None]
    part = canvas[top:bottom, left:right]
    part[:] = (part + cover * (np.asarray(colour, np.float32) - part) + 0.5).astype(np.uint8)


def _rect(box: Sequence[float], canvas: Picture) -> Rect:
    """Return the box in whole pixels inside the frame; what is not a number counts as 0."""
    height, width = canvas.shape[:2]
    limits = np.array([width - 1, height - 1, width - 1, height - 1], np.float64)
    left, top, right, bottom = (
        np.clip(np.nan_to_num(np.asarray(box, np.float64)), 0, limits).round().astype(int).tolist()
    )
    return left, top, right, bottom


def _centre(box: Rect) -> tuple[int, int]:
    return (box[0] + box[2]) // 2, (box[1] + box[3]) // 2


def _draw_label(canvas: Picture, pair: DrawnPair, size: int, taken: list[Rect]) -> None:
    """Draw the plate at the first free place near the boxes, smaller if need be."""
    height, width = canvas.shape[:2]
    human, thing = _rect(pair.human_box_xyxy, canvas), _rect(pair.object_box_xyxy, canvas)
    colour = PALETTE[pair.colour % len(PALETTE)]
    while True:
        plate = _plate(pair.labels, size, width, colour)
        place = _free_place(plate.shape[:2], (height, width), human, thing, taken)
        if place is not None:
            left, top, right, bottom = place
            _blend(canvas[top:bottom, left:right], plate, pair.opacity)
            taken.append(place)
            return
        if size <= _SMALLEST_PX:
            return
        size = max(_SMALLEST_PX, int(size * 0.8))


def _free_place(
    plate_hw: tuple[int, ...], frame_hw: tuple[int, int], human: Rect, thing: Rect, taken: list[Rect]
) -> Rect | None:
    """Return where a plate fits: above or below a box, inside it, or else the free place nearest to the human."""
    (plate_height, plate_width), (height, width) = plate_hw, frame_hw
    if plate_height > height or plate_width > width:
        return None
    wanted = [(human[0], human[1] - plate_height), (human[0], human[3]), (thing[0], thing[1] - plate_height)]
    wanted += [(thing[0], thing[3]), (human[0], human[1]), (human[2] - plate_width, human[1])]
    places = []
    for left, top in wanted[:4]:
        if 0 <= top <= height - plate_height:
            places.append((left, top))
    places += wanted[4:]
    steps = range(0, height - plate_height + 1, max(1, plate_height // 2))
    columns = range(0, width - plate_width + 1, max(1, plate_width // 2))
    grid = [(left, top) for top in steps for left in columns] if taken else []
    places += sorted(grid, key=lambda place: abs(place[0] - human[0]) + abs(place[1] - human[1]))
    for left, top in places:
        x, y = min(max(left, 0), width - plate_width), min(max(top, 0), height - plate_height)
        place = (x, y, x + plate_width, y + plate_height)
        if not any(place[0] < t[2] and t[0] < place[2] and place[1] < t[3] and t[1] < place[3] for t in taken):
            return place
    return None


@lru_cache(maxsize=512)
def _plate(labels: tuple[str, ...], size: int, max_width: int, colour: tuple[int, int, int]) -> Picture:
    """Return a dark plate [h, w, 3] with one label a line, at most `max_width` wide: shrunk, then cut with "…"."""
    margin = max(2, size // 4)
    room = max_width - 3 * margin
    while size > _SMALLEST_PX and max(_font(size).getlength(label) for label in labels) > room:
        size -= 1
    font = _font(size)
    lines = [_cut(label, font, room) for label in labels]
    ascent, descent = font.getmetrics()
    step = ascent + descent
    width = min(max_width, int(max(font.getlength(line) for line in lines)) + 3 * margin + 1)
    plate = Image.new("RGB", (width, step * len(lines) + margin), _DARK)
    pen = ImageDraw.Draw(plate)
    pen.rectangle((0, 0, max(1, margin // 2), plate.height), fill=colour)
    for i, line in enumerate(lines):
        pen.text((2 * margin, margin // 2 + i * step), line, font=font, fill=(245, 245, 245) if i else colour)
    picture: Picture = np.asarray(plate)
    return picture


def _cut(label: str, font: ImageFont.FreeTypeFont, room: int) -> str:
    if font.getlength(label) <= room:
        return label
    while label and font.getlength(label + "…") > room:
        label = label[:-1]
    return label + "…"


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):  # Pillow built without FreeType has one tiny bitmap font
        raise HoistreamError("this Pillow was built without FreeType; install a wheel of Pillow 10.1 or later")
    return font
