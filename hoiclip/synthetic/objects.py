"""The world's objects: recognisable shapes in world units, each drawn around an anchor."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from hoiclip.synthetic.brush import Brush, Colour, Point, shade

PAINTS: tuple[Colour, ...] = (
    (210, 40, 40), (30, 100, 200), (36, 150, 80), (240, 190, 40), (130, 60, 160),
    (240, 130, 40), (30, 170, 180), (220, 100, 150), (70, 74, 84), (236, 236, 230),
)  # fmt: skip
DARK: Colour = (38, 38, 44)
METAL: Colour = (150, 154, 162)
Draw = Callable[[Brush, Point, float, int, Colour], None]


def _wheel(brush: Brush, centre: Point, radius: float, tyre: float, turn: float = 0.0) -> None:
    brush.circle(centre, radius, DARK, width=tyre)
    for k in range(3):
        angle = turn + k * math.pi / 3
        dx, dy = radius * 0.9 * math.cos(angle), radius * 0.9 * math.sin(angle)
        brush.line([(centre[0] - dx, centre[1] - dy), (centre[0] + dx, centre[1] + dy)], 1.0, METAL)


def bicycle(brush: Brush, at: Point, h: float, facing: int, paint: Colour, turn: float = 0.0) -> None:
    """`at`: the ground below the middle; `h`: the rider's height."""
    x, y = at
    r, f = 0.19 * h, facing
    back, front = (x - f * 0.29 * h, y - r), (x + f * 0.29 * h, y - r)
    _wheel(brush, back, r, 0.026 * h, turn)
    _wheel(brush, front, r, 0.026 * h, turn)
    seat, head, crank = bicycle_seat(at, h, f), (x + f * 0.2 * h, y - 0.46 * h), (x - f * 0.01 * h, y - 0.17 * h)
    w = 0.028 * h
    brush.line([back, crank, head, seat, back], w, paint)
    brush.line([crank, seat], w, paint)
    brush.line([head, front], w, paint)
    brush.line([(seat[0] - f * 0.06 * h, seat[1]), (seat[0] + f * 0.04 * h, seat[1])], 0.036 * h, DARK)
    bar = bicycle_bar(at, h, f)
    brush.line([head, bar, (bar[0] + f * 0.03 * h, bar[1] + 0.03 * h)], 0.026 * h, DARK)
    brush.circle(crank, 0.03 * h, METAL)


def bicycle_seat(at: Point, h: float, facing: int) -> Point:
    """Where the rider sits."""
    return at[0] - facing * 0.1 * h, at[1] - 0.5 * h


def bicycle_bar(at: Point, h: float, facing: int) -> Point:
    """Where the hands hold."""
    return at[0] + facing * 0.2 * h, at[1] - 0.56 * h


def bicycle_pedals(at: Point, h: float, facing: int, phase: float) -> tuple[Point, Point]:
    """Where both feet stand at a phase of the crank, in turns."""
    cx, cy, r = at[0] - facing * 0.01 * h, at[1] - 0.17 * h, 0.075 * h
    a = 2 * math.pi * phase
    dx, dy = r * math.cos(a) * facing, r * math.sin(a)
    return (cx + dx, cy + dy), (cx - dx, cy - dy)


def motorcycle(brush: Brush, at: Point, h: float, facing: int, paint: Colour, turn: float = 0.0) -> None:
    """`at`: the ground below the middle; `h`: the rider's height."""
    x, y = at
    r, f = 0.17 * h, facing
    back, front = (x - f * 0.33 * h, y - r), (x + f * 0.35 * h, y - r)
    for wheel in (back, front):
        brush.circle(wheel, r, DARK, width=0.075 * h)
        brush.circle(wheel, 0.05 * h, METAL)
    fork = (x + f * 0.22 * h, y - 0.46 * h)
    brush.line([front, fork], 0.034 * h, METAL)
    body = [(-0.34, -0.34), (-0.12, -0.36), (0.0, -0.44), (0.2, -0.46), (0.2, -0.3), (0.1, -0.14), (-0.14, -0.14)]
    brush.polygon([(x + f * px * h, y + py * h) for px, py in body], paint)
    brush.polygon(
        [(x + f * px * h, y + py * h) for px, py in ((-0.36, -0.42), (-0.02, -0.4), (-0.04, -0.33), (-0.34, -0.34))],
        DARK,
    )
    brush.circle((x + f * 0.02 * h, y - 0.2 * h), 0.08 * h, shade(METAL, 0.75))
    bar = motorcycle_bar(at, h, f)
    brush.line([fork, bar], 0.03 * h, DARK)
    brush.circle((x + f * 0.27 * h, y - 0.42 * h), 0.045 * h, (250, 240, 190))
    brush.line([(x - f * 0.05 * h, y - 0.09 * h), (x - f * 0.42 * h, y - 0.12 * h)], 0.045 * h, METAL)


def motorcycle_seat(at: Point, h: float, facing: int) -> Point:
    """Where the rider sits."""
    return at[0] - facing * 0.13 * h, at[1] - 0.45 * h


def motorcycle_bar(at: Point, h: float, facing: int) -> Point:
    """Where the hands hold."""
    return at[0] + facing * 0.17 * h, at[1] - 0.57 * h


def skateboard(brush: Brush, at: Point, h: float, facing: int, paint: Colour, angle: float = 0.0) -> None:
    """`at`: the middle of the deck's lower side, wheels below; `angle` turns it (90 stands upright)."""
    turn = math.radians(angle)
    c, s = math.cos(turn), math.sin(turn)

    def place(px: float, py: float) -> Point:
        px, py = facing * px * h, py * h
        return at[0] + px * c - py * s, at[1] + px * s + py * c

    for px in (-0.15, 0.15):
        brush.circle(place(px, 0.035), 0.034 * h, (240, 236, 210))
        brush.circle(place(px, 0.035), 0.014 * h, DARK)
    brush.line([place(-0.26, -0.04), place(-0.2, 0.0), place(0.2, 0.0), place(0.26, -0.04)], 0.042 * h, paint)


def chair(brush: Brush, at: Point, h: float, facing: int, paint: Colour) -> None:
    """`at`: the ground below the seat's middle; the sitter looks along `facing`."""
    x, y = at
    f, seat, w = facing, 0.29 * h, 0.036 * h
    for px in (-0.13, 0.13):
        brush.line([(x + px * h, y), (x + px * h, y - seat)], w, shade(paint, 0.7))
    brush.line([(x - f * 0.13 * h, y - seat), (x - f * 0.17 * h, y - 0.62 * h)], w, shade(paint, 0.7))
    brush.polygon(
        [
            (x - f * 0.14 * h, y - 0.4 * h),
            (x - f * 0.19 * h, y - 0.64 * h),
            (x - f * 0.14 * h, y - 0.65 * h),
            (x - f * 0.09 * h, y - 0.4 * h),
        ],
        paint,
    )
    brush.box(x - 0.16 * h, y - seat - 0.045 * h, x + 0.16 * h, y - seat, paint)


def bench(brush: Brush, at: Point, h: float, facing: int, paint: Colour) -> None:
    """A long slatted bench seen from the front; `at`: the ground below its middle."""
    x, y = at
    wood = shade((164, 110, 62), 0.8 + 0.4 * paint[0] / 255)
    for px in (-0.4, 0.4):
        brush.line([(x + px * h, y), (x + px * h, y - 0.6 * h)], 0.04 * h, DARK)
    for k in range(3):
        top = y - (0.6 - 0.085 * k) * h
        brush.box(x - 0.47 * h, top, x + 0.47 * h, top + 0.06 * h, shade(wood, 1.05 - 0.07 * k))
    brush.box(x - 0.49 * h, y - 0.3 * h, x + 0.49 * h, y - 0.24 * h, wood)


def dog(brush: Brush, at: Point, h: float, facing: int, paint: Colour, phase: float = 0.0) -> None:
    """`at`: the ground below its middle."""
    coats: tuple[Colour, ...] = ((150, 104, 62), (92, 66, 48), (196, 160, 112), (60, 56, 56))
    coat = coats[sum(paint) % len(coats)]
    x, y = at
    f, s = facing, math.sin(2 * math.pi * phase)
    for px, swing in ((-0.15, s), (-0.1, -s), (0.1, -s), (0.15, s)):
        brush.line(
            [(x + f * px * h, y - 0.16 * h), (x + f * (px + 0.05 * swing) * h, y - 0.01 * h)],
            0.034 * h,
            shade(coat, 0.85),
        )
    brush.ellipse((x, y - 0.2 * h), (0.19 * h, 0.075 * h), coat)
    brush.line([(x - f * 0.17 * h, y - 0.23 * h), (x - f * 0.25 * h, y - 0.33 * h)], 0.03 * h, coat)
    brush.line([(x + f * 0.14 * h, y - 0.22 * h), (x + f * 0.2 * h, y - 0.3 * h)], 0.07 * h, coat)
    brush.ellipse((x + f * 0.22 * h, y - 0.32 * h), (0.068 * h, 0.056 * h), coat)
    brush.ellipse((x + f * 0.285 * h, y - 0.3 * h), (0.045 * h, 0.028 * h), shade(coat, 0.75))
    brush.ellipse((x + f * 0.175 * h, y - 0.33 * h), (0.022 * h, 0.05 * h), shade(coat, 0.6))
    brush.circle((x + f * 0.24 * h, y - 0.335 * h), 0.009 * h, (10, 10, 10))


def dog_neck(at: Point, h: float, facing: int) -> Point:
    """Where a leash ends."""
    return at[0] + facing * 0.17 * h, at[1] - 0.27 * h


def umbrella(brush: Brush, at: Point, h: float, facing: int, paint: Colour) -> None:
    """An open umbrella; `at`: the hand on its handle."""
    x, y = at
    top, w = y - 0.42 * h, 0.38 * h
    brush.line([(x, y + 0.05 * h), (x, top - 0.03 * h)], 0.018 * h, DARK)
    turns = np.linspace(math.pi, 2 * math.pi, 15)
    rim = [(x + w * math.cos(t), top + 0.14 * h + 0.2 * h * math.sin(t)) for t in turns]
    scallop = [(x + w * (1 - 2 * k / 8), top + 0.14 * h - (0.03 * h if k % 2 else 0.0)) for k in range(9)]
    brush.polygon(rim + scallop, paint)
    for k in (-1, 1):
        brush.line([(x, top - 0.05 * h), (x + k * w * 0.42, top + 0.12 * h)], 0.01 * h, shade(paint, 0.7))


def suitcase(brush: Brush, at: Point, h: float, facing: int, paint: Colour) -> None:
    """A trolley case; `at`: the middle of its handle, the body hangs below."""
    x, y = at
    brush.line(
        [(x - 0.05 * h, y + 0.1 * h), (x - 0.05 * h, y), (x + 0.05 * h, y), (x + 0.05 * h, y + 0.1 * h)],
        0.022 * h,
        DARK,
    )
    brush.box(x - 0.13 * h, y + 0.08 * h, x + 0.13 * h, y + 0.37 * h, paint)
    for px in (-0.06, 0.06):
        brush.line([(x + px * h, y + 0.11 * h), (x + px * h, y + 0.34 * h)], 0.014 * h, shade(paint, 0.7))
    for px in (-0.09, 0.09):
        brush.circle((x + px * h, y + 0.385 * h), 0.022 * h, DARK)


SUITCASE_HANDLE = 0.407  # height of the handle above the ground, as a share of h


def open_suitcase(brush: Brush, at: Point, h: float, facing: int, paint: Colour, opening: float = 1.0) -> None:
    """A case lying on its back, its lid `opening` (0..1) of the way up; `at`: the ground below its middle."""
    x, y = at
    f = facing
    brush.box(x - 0.19 * h, y - 0.12 * h, x + 0.19 * h, y, paint)
    brush.box(x - 0.17 * h, y - 0.14 * h, x + 0.17 * h, y - 0.1 * h, (240, 230, 210))
    lid = [(0.17, -0.12), (0.28, -0.42), (0.33, -0.4), (0.2, -0.1)]
    if opening < 1.0:
        shut = [(0.17, -0.12), (-0.19, -0.14), (-0.19, -0.19), (0.19, -0.19)]
        lid = [
            (a * opening + c * (1 - opening), b * opening + d * (1 - opening))
            for (a, b), (c, d) in zip(lid, shut, strict=True)
        ]
    brush.polygon([(x + f * px * h, y + py * h) for px, py in lid], shade(paint, 0.8))


def sports_ball(brush: Brush, at: Point, h: float, facing: int, paint: Colour) -> None:
    """A football; `at`: its centre."""
    x, y = at
    r = 0.095 * h
    brush.circle(at, r, (244, 244, 240))
    brush.circle(at, 0.036 * h, DARK)
    for k in range(5):
        a = 2 * math.pi * k / 5 + 0.4
        brush.circle((x + 0.066 * h * math.cos(a), y + 0.066 * h * math.sin(a)), 0.02 * h, DARK)


_BOTTLE = [
    (-0.05, 0.12), (0.05, 0.12), (0.05, -0.03), (0.021, -0.08),
    (0.021, -0.115), (-0.021, -0.115), (-0.021, -0.08), (-0.05, -0.03),
]  # fmt: skip


def bottle(brush: Brush, at: Point, h: float, facing: int, paint: Colour, angle: float = 0.0) -> None:
    """`at`: its middle; `angle` tips the neck forward by that many degrees."""
    _tipped(brush, at, h, facing * angle, [
        (_BOTTLE, (60, 160, 96)),
        ([(-0.05, 0.07), (0.05, 0.07), (0.05, 0.0), (-0.05, 0.0)], (240, 240, 230)),
        ([(-0.025, -0.11), (0.025, -0.11), (0.025, -0.142), (-0.025, -0.142)], (200, 40, 40)),
    ])  # fmt: skip


def cup(brush: Brush, at: Point, h: float, facing: int, paint: Colour, angle: float = 0.0) -> None:
    """A mug; `at`: its middle; `angle` tips it forward."""
    turn = math.radians(facing * angle)
    handle = (at[0] + facing * 0.08 * h * math.cos(turn), at[1] + 0.08 * h * math.sin(turn) * facing)
    brush.circle(handle, 0.036 * h, paint, width=0.02 * h)
    _tipped(brush, at, h, facing * angle, [
        ([(-0.07, -0.08), (0.07, -0.08), (0.06, 0.08), (-0.06, 0.08)], paint),
        ([(-0.07, -0.08), (0.07, -0.08), (0.066, -0.054), (-0.066, -0.054)], shade(paint, 0.6)),
    ])  # fmt: skip


def cell_phone(brush: Brush, at: Point, h: float, facing: int, paint: Colour, angle: float = 0.0) -> None:
    """`at`: its middle; upright at angle 0."""
    _tipped(brush, at, h, facing * angle, [
        ([(-0.054, -0.1), (0.054, -0.1), (0.054, 0.1), (-0.054, 0.1)], (26, 26, 30)),
        ([(-0.041, -0.08), (0.041, -0.08), (0.041, 0.07), (-0.041, 0.07)], (110, 200, 250)),
    ])  # fmt: skip


def book(brush: Brush, at: Point, h: float, facing: int, paint: Colour, angle: float = 0.0) -> None:
    """A closed book; `at`: its middle."""
    _tipped(brush, at, h, facing * angle, [
        ([(-0.078, -0.1), (0.078, -0.1), (0.078, 0.1), (-0.078, 0.1)], paint),
        ([(0.06, -0.094), (0.078, -0.094), (0.078, 0.094), (0.06, 0.094)], (250, 246, 230)),
        ([(-0.045, -0.06), (0.035, -0.06), (0.035, -0.03), (-0.045, -0.03)], (250, 230, 170)),
    ])  # fmt: skip


def read_book(brush: Brush, at: Point, h: float, facing: int, paint: Colour) -> None:
    """An open book seen from behind its covers; `at`: its spine."""
    _tipped(brush, at, h, 0.0, [
        ([(-0.13, -0.09), (0.0, -0.06), (0.13, -0.09), (0.13, 0.07), (0.0, 0.1), (-0.13, 0.07)], paint),
        (
            [(-0.12, -0.098), (0.0, -0.068), (0.12, -0.098), (0.12, -0.08), (0.0, -0.05), (-0.12, -0.08)],
            (250, 246, 230),
        ),
        ([(-0.008, -0.06), (0.008, -0.06), (0.008, 0.1), (-0.008, 0.1)], shade(paint, 0.6)),
    ])  # fmt: skip


def refrigerator(brush: Brush, at: Point, h: float, facing: int, paint: Colour, opening: float = 0.0) -> None:
    """`at`: the ground below its middle; `opening` 0..1 swings the door towards `-facing`."""
    x, y = at
    f = facing
    white = shade((226, 230, 234), 0.9 + 0.12 * paint[1] / 255)
    brush.box(x - 0.19 * h, y - 0.92 * h, x + 0.19 * h, y, white)
    if opening > 0.05:
        brush.box(x - 0.16 * h, y - 0.88 * h, x + 0.16 * h, y - 0.06 * h, (250, 244, 200))
        for k in range(3):
            level = y - (0.25 + 0.2 * k) * h
            brush.box(x - 0.16 * h, level, x + 0.16 * h, level + 0.015 * h, METAL)
            brush.box(x - 0.1 * h, level - 0.08 * h, x - 0.02 * h, level, PAINTS[(k * 3 + paint[2]) % 8])
        hinge, edge = x - f * 0.19 * h, x - f * (0.19 + 0.26 * opening) * h
        brush.polygon(
            [(hinge, y - 0.92 * h), (edge, y - 0.96 * h), (edge, y + 0.03 * h), (hinge, y)], shade(white, 0.82)
        )
    else:
        brush.line([(x - 0.19 * h, y - 0.6 * h), (x + 0.19 * h, y - 0.6 * h)], 0.012 * h, shade(white, 0.6))
        for top in (0.82, 0.54):
            brush.line([(x - f * 0.14 * h, y - top * h), (x - f * 0.14 * h, y - (top - 0.14) * h)], 0.022 * h, METAL)


def _tipped(brush: Brush, at: Point, h: float, angle: float, parts: list[tuple[list[Point], Colour]]) -> None:
    turn = math.radians(angle)
    c, s = math.cos(turn), math.sin(turn)
    for points, colour in parts:
        brush.polygon([(at[0] + (px * c - py * s) * h, at[1] + (px * s + py * c) * h) for px, py in points], colour)
