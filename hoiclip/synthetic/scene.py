"""Single pictures with exact annotations in HICO-DET's form."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hoiclip.synthetic.acts import IMPLIED, Stage, draw_alone, perform, stand, walk_by
from hoiclip.synthetic.background import camera, draw_background
from hoiclip.synthetic.brush import Brush, Extent
from hoiclip.synthetic.objects import PAINTS
from hoiclip.synthetic.person import Look
from hoiclip.synthetic.world import COCO_IDS, INTERACTIONS, OBJECTS, PERSON_COCO_ID, SEEN, UNSEEN, VERBS

Split = Literal["train", "test"]
WORLD_HEIGHT = 256.0
_LARGE = frozenset({"bicycle", "motorcycle", "bench", "refrigerator", "chair", "dog"})


class Annotator:
    """Collects boxes and interactions of one picture, clipped to the frame."""

    def __init__(self, height: int, width: int) -> None:
        self._height, self._width = height, width
        self._scale = height / WORLD_HEIGHT
        self.annotations: list[dict[str, Any]] = []
        self.interactions: list[dict[str, Any]] = []

    def box(self, extent: Extent, coco_id: int) -> int | None:
        """Add a box and return its index, or None where less than 40 % of it is inside the frame."""
        s = self._scale
        full = np.array([extent.x0, extent.y0, extent.x1, extent.y1]) * s
        clipped = np.clip(full, 0, [self._width, self._height, self._width, self._height])
        area = max((full[2] - full[0]) * (full[3] - full[1]), 1e-6)
        if (clipped[2] - clipped[0]) * (clipped[3] - clipped[1]) < 0.4 * area:
            return None
        self.annotations.append({"bbox": [round(float(v), 1) for v in clipped], "category_id": coco_id})
        return len(self.annotations) - 1

    def interaction(self, human: int, thing: int, name: str) -> None:
        """Add an interaction and what it implies."""
        for each in (name, IMPLIED[name]) if name in IMPLIED else (name,):
            self.interactions.append(
                {
                    "subject_id": human,
                    "object_id": thing,
                    "category_id": VERBS.index(each.split(" ")[0]) + 1,
                    "hoi_category_id": INTERACTIONS.index(each) + 1,
                }
            )


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
    notes = Annotator(height, width)
    people = int(rng.choice([1, 2, 3], p=[0.4, 0.42, 0.18]))
    slots = _slots(rng, people, world_width)
    actors = sorted(
        ((float(rng.uniform(max(horizon + 55, 196), 250)), x) for x in slots), key=lambda place: place[0]
    )  # the farther, the earlier drawn
    for ground, x in actors:
        _actor(rng, brush, notes, x, ground, people, world_width, split)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.45, 0.4, 0.15]))):
        _bystander_object(rng, brush, notes, world_width)
    annotation = {
        "height": height,
        "width": width,
        "annotations": notes.annotations,
        "hoi_annotation": notes.interactions,
    }
    return camera(image, rng), annotation


def _slots(rng: np.random.Generator, people: int, world_width: float) -> list[float]:
    """Return one x a person, spread over the frame."""
    lane = world_width / people
    order = rng.permutation(people)
    return [float((i + rng.uniform(0.32, 0.68)) * lane) for i in order]


def _actor(
    rng: np.random.Generator, brush: Brush, notes: Annotator, x: float, ground: float, people: int, world_width: float, split: Split
) -> None:
    tallest = {1: 225.0, 2: 200.0, 3: 165.0}[people]
    look = Look.random(rng, float(rng.uniform(105.0, min(tallest, ground - 8))))
    stage = Stage(look, x, ground, int(rng.choice([-1, 1])), float(rng.random()), PAINTS[int(rng.integers(len(PAINTS)))])
    roll = rng.random()
    if roll < 0.12:  # nothing at all, perhaps beside a thing nobody uses
        person = stand(stage) if rng.random() < 0.5 else walk_by(stage)
        person.draw_far(brush)
        person.draw_near(brush)
        notes.box(person.extent, PERSON_COCO_ID)
        if rng.random() < 0.6:
            thing = OBJECTS[int(rng.integers(len(OBJECTS)))]
            beside = x + float(rng.choice([-1, 1])) * look.height * float(rng.uniform(0.4, 0.7))
            extent = draw_alone(brush, thing, beside, ground, look.height, stage.facing, stage.paint)
            notes.box(extent, COCO_IDS[thing])
        return
    unseen = split == "test" and rng.random() < 0.3
    names = UNSEEN if unseen else SEEN
    name = names[int(rng.integers(len(names)))]
    act = perform(name, stage)
    act.draw(brush)
    human = notes.box(act.person.extent, PERSON_COCO_ID)
    thing_box = notes.box(act.object_extent, COCO_IDS[name.split(" ")[1]])
    if human is not None and thing_box is not None:
        notes.interaction(human, thing_box, name)


def _bystander_object(rng: np.random.Generator, brush: Brush, notes: Annotator, world_width: float) -> None:
    """Put an object somewhere it hides little of what is already there."""
    thing = OBJECTS[int(rng.integers(len(OBJECTS)))]
    size = float(rng.uniform(105, 165 if thing in _LARGE else 215))
    taken = [np.asarray(a["bbox"]) / (brush.image.shape[0] / WORLD_HEIGHT) for a in notes.annotations]
    for _ in range(6):
        x, ground = float(rng.uniform(0.06, 0.94) * world_width), float(rng.uniform(214, 252))
        half = (0.5 if thing in _LARGE else 0.2) * size
        if all(x + half < box[0] or x - half > box[2] for box in taken):
            extent = draw_alone(brush, thing, x, ground, size, int(rng.choice([-1, 1])), PAINTS[int(rng.integers(len(PAINTS)))])
            notes.box(extent, COCO_IDS[thing])
            return
