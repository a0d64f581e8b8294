"""Single pictures with exact annotations in HICO-DET's form."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hoiclip.synthetic.acts import (
    IMPLIED,
    ON_TABLES,
    TABLE_HEIGHT,
    Stage,
    draw_alone,
    draw_table,
    perform,
    stand,
    walk_by,
)
from hoiclip.synthetic.background import camera, draw_background
from hoiclip.synthetic.brush import Brush, Colour, Extent
from hoiclip.synthetic.objects import PAINTS
from hoiclip.synthetic.person import Look
from hoiclip.synthetic.world import COCO_IDS, INTERACTIONS, OBJECTS, PERSON_COCO_ID, SEEN, UNSEEN, VERBS

Split = Literal["train", "test"]
WORLD_HEIGHT = 256.0
MIN_VISIBLE = 0.3  # what is hidden or outside the frame by more than the rest is not annotated
_LARGE = frozenset({"bicycle", "motorcycle", "bench", "refrigerator", "chair", "dog"})
_TABLES: tuple[Colour, ...] = ((122, 84, 54), (92, 94, 100), (180, 150, 112), (70, 60, 56))


def visible_box(extent: Extent, brush: Brush, height: int, width: int) -> list[float] | None:
    """Return the box xyxy in pixels, clipped to the frame; None where less than `MIN_VISIBLE` of it can be seen."""
    s = brush.scale
    x0, y0, x1, y1 = extent.x0 * s, extent.y0 * s, extent.x1 * s, extent.y1 * s
    left, top = min(max(x0, 0.0), width), min(max(y0, 0.0), height)
    right, bottom = min(max(x1, 0.0), width), min(max(y1, 0.0), height)
    inside = (right - left) * (bottom - top) / max((x1 - x0) * (y1 - y0), 1e-6)
    if inside * brush.visible(extent) < MIN_VISIBLE:
        return None
    return [round(float(v), 1) for v in (left, top, right, bottom)]


def with_implied(name: str) -> tuple[str, ...]:
    """Return the interaction and what it always includes."""
    return (name, IMPLIED[name]) if name in IMPLIED else (name,)


class Notes:
    """What was drawn and who did what with it, until the picture is finished and visibility is known."""

    def __init__(self) -> None:
        self.things: list[tuple[Extent, int]] = []
        self.interactions: list[tuple[Extent, Extent, str]] = []

    def annotation(self, brush: Brush) -> dict[str, Any]:
        """Return the finished picture's annotation in HICO-DET's form."""
        height, width = brush.image.shape[:2]
        boxes: list[dict[str, Any]] = []
        index: dict[int, int] = {}
        for extent, coco_id in self.things:
            if (box := visible_box(extent, brush, height, width)) is not None:
                index[id(extent)] = len(boxes)
                boxes.append({"bbox": box, "category_id": coco_id})
        pairs = [
            {
                "subject_id": index[id(human)],
                "object_id": index[id(thing)],
                "category_id": VERBS.index(each.split(" ")[0]) + 1,
                "hoi_category_id": INTERACTIONS.index(each) + 1,
            }
            for human, thing, name in self.interactions
            if id(human) in index and id(thing) in index
            for each in with_implied(name)
        ]
        return {"height": height, "width": width, "annotations": boxes, "hoi_annotation": pairs}


def draw_picture(
    seed: int, height: int = 256, width: int = 448, split: Split = "train"
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Return an RGB picture uint8 [height, width, 3] and its annotation; equal seeds give equal pixels.

    The annotation holds `height`, `width`, `annotations` (`bbox` xyxy in pixels, `category_id` of COCO) and
    `hoi_annotation` (`subject_id`, `object_id`: indices; `category_id`: verb + 1; `hoi_category_id`: interaction + 1).
    The five unseen interactions appear only in ``split="test"``.
    """
    rng = np.random.default_rng((seed, 1 if split == "test" else 0))
    world_width = WORLD_HEIGHT * width / height
    horizon = float(rng.uniform(95, 165))
    image = draw_background(rng, height, width, world_width, horizon)
    brush = Brush(image, height / WORLD_HEIGHT)
    brush.track()
    notes = Notes()
    people = int(rng.choice([1, 2, 3], p=[0.35, 0.42, 0.23]))
    nearest = max(horizon + 55, 196)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.5, 0.35, 0.15]))):  # behind everybody, wherever it falls
        _unused(rng, brush, notes, float(rng.uniform(0, world_width)), float(rng.uniform(nearest - 14, nearest)))
    places = sorted((float(rng.uniform(nearest, 250)), x) for x in _slots(rng, people, world_width))
    for ground, x in places:  # the farther, the earlier drawn
        _actor(rng, brush, notes, x, ground, people, split)
    if rng.random() < 0.45:
        _in_a_gap(rng, brush, notes, world_width)
    return camera(image, rng), notes.annotation(brush)


def _slots(rng: np.random.Generator, people: int, world_width: float) -> list[float]:
    """Return one x a person, spread over the frame; the fewer they are, the closer to its edges they may come."""
    margin = {1: 0.07, 2: 0.18, 3: 0.28}[people]
    lane = world_width / people
    return [float((i + rng.uniform(margin, 1 - margin)) * lane) for i in range(people)]


def _paint(rng: np.random.Generator) -> Colour:
    return PAINTS[int(rng.integers(len(PAINTS)))]


def _facing(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1


def _actor(
    rng: np.random.Generator, brush: Brush, notes: Notes, x: float, ground: float, people: int, split: Split
) -> None:
    tallest = {1: 240.0, 2: 215.0, 3: 175.0}[people]
    look = Look.random(rng, float(rng.uniform(116.0, min(tallest, ground - 6))))
    stage = Stage(look, x, ground, _facing(rng), float(rng.random()), _paint(rng), amount=float(rng.uniform(0.85, 1.0)))
    if rng.random() < 0.16:
        _idle(rng, brush, notes, stage)
        return
    names = UNSEEN if split == "test" and rng.random() < 0.3 else SEEN
    name = names[int(rng.integers(len(names)))]
    act = perform(name, stage)
    act.draw(brush)
    notes.things += [(act.person.extent, PERSON_COCO_ID), (act.object_extent, COCO_IDS[name.split(" ")[1]])]
    notes.interactions.append((act.person.extent, act.object_extent, name))


def _idle(rng: np.random.Generator, brush: Brush, notes: Notes, stage: Stage) -> None:
    """Draw a person who does nothing, often right beside, before or behind a thing that nobody uses."""
    person = stand(stage) if rng.random() < 0.5 else walk_by(stage)
    h = stage.look.height
    beside = stage.x + _facing(rng) * h * float(rng.uniform(0.1, 0.6))
    thing, before = rng.random() < 0.75, rng.random() < 0.6
    if thing and before:
        _unused(rng, brush, notes, beside, stage.ground - 2, h)
    person.draw_far(brush)
    person.draw_near(brush)
    notes.things.append((person.extent, PERSON_COCO_ID))
    if thing and not before:
        _unused(rng, brush, notes, beside, stage.ground + 3, h)


def _unused(
    rng: np.random.Generator, brush: Brush, notes: Notes, x: float, ground: float, size: float | None = None
) -> None:
    """Draw an object that nobody uses; small ones often stand on a table."""
    thing = OBJECTS[int(rng.integers(len(OBJECTS)))]
    size = size or float(rng.uniform(116, 165 if thing in _LARGE else 215))
    if thing in ON_TABLES and rng.random() < 0.6:
        draw_table(brush, x, ground, size, _TABLES[int(rng.integers(len(_TABLES)))])
        ground -= TABLE_HEIGHT * size
    notes.things.append((draw_alone(brush, thing, x, ground, size, _facing(rng), _paint(rng)), COCO_IDS[thing]))


def _in_a_gap(rng: np.random.Generator, brush: Brush, notes: Notes, world_width: float) -> None:
    """Put an unused object near the camera, where it hides nobody."""
    size = float(rng.uniform(116, 200))
    for _ in range(6):
        x = float(rng.uniform(0.04, 0.96) * world_width)
        if all(x + 0.45 * size < extent.x0 or x - 0.45 * size > extent.x1 for extent, _ in notes.things):
            _unused(rng, brush, notes, x, float(rng.uniform(225, 253)), size)
            return
