"""Single frames of clips: what a detector sees of a video, people between two acts included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hoiclip.synthetic.brush import Extent
from hoiclip.synthetic.clip import plan_clip
from hoiclip.synthetic.scene import Notes, Split
from hoiclip.synthetic.world import COCO_IDS, PERSON_COCO_ID

SECONDS = 15.0


def draw_clip_pictures(
    seed: int, count: int, height: int = 256, width: int = 448, split: Split = "train"
) -> Iterator[tuple[NDArray[np.uint8], dict[str, Any]]]:
    """Yield `count` frames of the clip `seed` at random times, as `scene.draw_picture` gives them.

    Frames are drawn at twice the size, compressed and scaled down, as a decoder does with a larger video.
    """
    clip = plan_clip(seed, SECONDS, aspect=width / height, split=split)
    rng = np.random.default_rng((seed, 6))
    for t_s in rng.uniform(0.0, SECONDS, count):
        image, brush, shown, doing = clip.draw(float(t_s), 2 * height, 2 * width)
        notes = Notes()
        extents: dict[int, Extent] = {}
        for number, kind, extent in shown:
            extents[number] = extent
            notes.things.append((extent, PERSON_COCO_ID if kind == "person" else COCO_IDS[kind]))
        notes.interactions += [(extents[human], extents[thing], name) for human, thing, name in doing]
        annotation = notes.annotation(brush)
        for box in annotation["annotations"]:
            box["bbox"] = [round(v / 2, 1) for v in box["bbox"]]
        _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])
        image = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
        small = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        yield small, {**annotation, "height": height, "width": width}
