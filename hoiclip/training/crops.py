"""Square crops around people and objects, as CLIP sees them, and what each pair of a picture mainly does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hoiclip.normalisation import CLIP_MEAN, CLIP_STD


def union_crop(
    picture: NDArray[np.uint8], human: Sequence[float], item: Sequence[float], margin: float = 0.1
) -> NDArray[np.uint8]:
    """Return the part of RGB [H, W, 3] around both boxes (xyxy px), squared up with a margin, kept inside the frame."""
    x0, y0 = min(human[0], item[0]), min(human[1], item[1])
    x1, y1 = max(human[2], item[2]), max(human[3], item[3])
    return square_crop(picture, (x0, y0, x1, y1), margin)


def square_crop(picture: NDArray[np.uint8], box: Sequence[float], margin: float = 0.1) -> NDArray[np.uint8]:
    """Return the square part of RGB [H, W, 3] around `box` (xyxy px), at most as large as the frame allows."""
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = box
    side = min(max(x1 - x0, y1 - y0) * (1 + 2 * margin), height, width)
    left = min(max((x0 + x1 - side) / 2, 0), width - side)
    top = min(max((y0 + y1 - side) / 2, 0), height - side)
    return picture[int(top) : int(top + side), int(left) : int(left + side)]


def clip_pixels(crop: NDArray[np.uint8], size: int) -> Tensor:
    """Return a normalised CLIP input [3, size, size] of a square RGB crop."""
    resized = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA if crop.shape[0] > size else cv2.INTER_CUBIC)
    pixels = torch.from_numpy(np.ascontiguousarray(resized)).permute(2, 0, 1).float() / 255
    return (pixels - torch.tensor(CLIP_MEAN).view(3, 1, 1)) / torch.tensor(CLIP_STD).view(3, 1, 1)


def primary_interactions(annotation: dict[str, Any]) -> list[int]:
    """Return the positions of each pair's first interaction in ``hoi_annotation``: what the person mainly does."""
    first: dict[tuple[int, int], int] = {}
    for position, note in enumerate(annotation["hoi_annotation"]):
        first.setdefault((note["subject_id"], note["object_id"]), position)
    return list(first.values())
