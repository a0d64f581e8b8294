"""Objects pasted over people: boxes and classes where no act of the training split ever puts them.

Seen interactions show a skateboard upright in a hand or flat on the ground, a dog on its feet; carried ones lie across
the belly, and a detector that never saw that finds the class but not the box. A pasted object is no interaction, and no
lack of one either: what the pair does is unknown, so that its interactions are left out of the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hoiclip.synthetic.acts import draw_alone
from hoiclip.synthetic.brush import Brush
from hoiclip.synthetic.objects import PAINTS
from hoiclip.synthetic.world import COCO_IDS, PERSON_COCO_ID

UNKNOWN_PAIRS = "unknown_pairs"  # key of an annotation: (subject_id, object_id) of pairs whose interactions are unknown
SPREAD_DEG: dict[str, float] = {"bicycle": 6.0, "motorcycle": 6.0, "chair": 20.0, "dog": 15.0, "suitcase": 25.0}
"""How far large objects are turned at most, in degrees (standard deviation); small ones are turned any way."""
NEVER = frozenset({"refrigerator", "bench"})  # they would hide the whole person
MOST_HIDDEN = 0.5  # of any other box
TRIES = 4


class _Cutout(NamedTuple):
    """A drawn thing on nothing."""

    pixels: NDArray[np.uint8]  # [h, w, 3]
    mask: NDArray[np.bool_]  # [h, w]


class _Placed(NamedTuple):
    """Where it goes."""

    cutout: _Cutout
    box: tuple[int, int, int, int]  # xyxy in pixels


def with_pasted(
    picture: NDArray[np.uint8], annotation: dict[str, Any], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Return picture (RGB [H, W, 3]) and annotation with one object more, both as they were where none fits."""
    boxes = annotation["annotations"]
    people = [i for i, box in enumerate(boxes) if box["category_id"] == PERSON_COCO_ID]
    names = [name for name in COCO_IDS if name not in NEVER]
    for _ in range(TRIES if people else 0):
        human = people[int(rng.integers(len(people)))]
        name = names[int(rng.integers(len(names)))]
        placed = _placed(_cutout(name, boxes[human]["bbox"], rng), boxes[human]["bbox"], picture.shape[:2], rng)
        if placed is None or any(_covered(other["bbox"], placed.box) > MOST_HIDDEN for other in boxes):
            continue
        left, top, right, bottom = placed.box
        changed = picture.copy()
        changed[top:bottom, left:right][placed.cutout.mask] = placed.cutout.pixels[placed.cutout.mask]
        added = {"bbox": [float(side) for side in placed.box], "category_id": COCO_IDS[name]}
        more = {"annotations": [*boxes, added], UNKNOWN_PAIRS: [(human, len(boxes))]}
        return changed, {**annotation, **more}
    return picture, annotation


def _placed(
    cutout: _Cutout, human: Sequence[float], shape: tuple[int, ...], rng: np.random.Generator
) -> _Placed | None:
    """Return the cutout somewhere over a person, as far as it is inside the frame; None where most of it is not."""
    x0, y0, x1, y1 = human
    size = y1 - y0
    height, width = cutout.mask.shape
    left = round((x0 + x1) / 2 + float(rng.uniform(-0.3, 0.3)) * size - width / 2)
    top = round(y0 + float(rng.uniform(0.2, 0.85)) * size - height / 2)
    box = (max(left, 0), max(top, 0), min(left + width, shape[1]), min(top + height, shape[0]))
    if box[2] - box[0] < 3 or box[3] - box[1] < 3:
        return None
    part = slice(box[1] - top, box[3] - top), slice(box[0] - left, box[2] - left)
    inside = _Cutout(cutout.pixels[part], cutout.mask[part])
    return _Placed(inside, box) if inside.mask.sum() >= 0.5 * max(cutout.mask.sum(), 1) else None


def _cutout(name: str, human: Sequence[float], rng: np.random.Generator) -> _Cutout:
    """Draw an object about as large as it is beside this person, turn it, and cut it out."""
    height = (human[3] - human[1]) * float(rng.uniform(0.85, 1.15))
    side = int(2.4 * height) + 8
    canvas = np.zeros((side, side, 3), np.uint8)
    brush = Brush(canvas, 1.0)
    brush.track()
    facing = 1 if rng.random() < 0.5 else -1
    paint = PAINTS[int(rng.integers(len(PAINTS)))]
    draw_alone(brush, name, side / 2, 0.75 * side, height, facing, paint)
    assert brush.owner is not None
    angle = float(rng.normal(0, SPREAD_DEG[name])) if name in SPREAD_DEG else float(rng.uniform(-180, 180))
    if name == "skateboard" and rng.random() < 0.6:  # on its side or flat, as people have it
        angle = float(rng.choice([0.0, 90.0, -90.0, 180.0]) + rng.normal(0, 8))
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), angle, 1.0)
    turned = cv2.warpAffine(canvas, turn, (side, side), flags=cv2.INTER_LINEAR)
    mask = cv2.warpAffine((brush.owner > 0).astype(np.uint8), turn, (side, side), flags=cv2.INTER_NEAREST) > 0
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return _Cutout(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.bool_))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return _Cutout(np.asarray(turned[part], np.uint8), np.asarray(mask[part], np.bool_))


def _covered(box: Sequence[float], over: Sequence[float]) -> float:
    """Return the share of `box` that `over` covers."""
    width = min(box[2], over[2]) - max(box[0], over[0])
    height = min(box[3], over[3]) - max(box[1], over[1])
    area = (box[2] - box[0]) * (box[3] - box[1])
    return max(width, 0.0) * max(height, 0.0) / max(area, 1e-6)
