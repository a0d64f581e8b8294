"""Augmentation of annotated pictures: mirror, colours, crop and scale. Source: HOICLIP's training, after DETR's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from hoiclip.predictor import resized_size
from hoiclip.training.pictures import Annotated


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training picture. Sizes are in pixels; the defaults are the published ones."""

    scales: tuple[int, ...] = tuple(range(480, 801, 32))  # of the shorter side
    longest: int = 1333
    before_crop: tuple[int, ...] = (400, 500, 600)  # shorter side; empty: never crop
    crop: tuple[int, int] = (384, 600)  # smallest and largest side of the crop
    colour: float = 0.4  # brightness, contrast and saturation change by up to this share

    def __call__(self, item: Annotated, rng: np.random.Generator) -> Annotated:
        """Return an augmented copy; equal generators give equal results."""
        item = cropped(item, (0, 0, *item.picture.size))  # published boxes may reach over the edge
        if rng.random() < 0.5:
            item = mirrored(item)
        item = Annotated(jittered(item.picture, self.colour, rng), item.boxes, item.pairs)
        if self.before_crop and rng.random() < 0.5:
            item = resized(item, int(rng.choice(self.before_crop)), None)
            width, height = item.picture.size
            low, high = self.crop
            w = int(rng.integers(min(width, low), min(width, high) + 1))
            h = int(rng.integers(min(height, low), min(height, high) + 1))
            left, top = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
            item = cropped(item, (left, top, left + w, top + h))
        return resized(item, int(rng.choice(self.scales)), self.longest)


def mirrored(item: Annotated) -> Annotated:
    """Return the mirror image."""
    boxes = item.boxes.copy()
    boxes[:, [0, 2]] = item.picture.width - item.boxes[:, [2, 0]]
    return Annotated(ImageOps.mirror(item.picture), boxes, item.pairs)


def resized(item: Annotated, shorter: int, longest: int | None) -> Annotated:
    """Return the picture with its shorter side at `shorter`, or less so that the longer is at most `longest`."""
    width, height = item.picture.size
    new_height, new_width = resized_size(height, width, shorter, longest or 1 << 16)
    scale = np.array([new_width / width, new_height / height] * 2, np.float32)
    picture = item.picture.resize((new_width, new_height), Image.Resampling.BILINEAR)
    return Annotated(picture, item.boxes * scale, item.pairs)


def cropped(item: Annotated, region: tuple[int, int, int, int]) -> Annotated:
    """Return `region` (xyxy in pixels); pairs with a box wholly outside go, other boxes are cut at its edges."""
    left, top, right, bottom = region
    moved: NDArray[np.float32] = item.boxes - np.array([left, top, left, top], np.float32)
    limits = np.array([right - left, bottom - top] * 2, np.float32)
    boxes = np.clip(moved, 0.0, limits).astype(np.float32)
    visible = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return item.keep(boxes, visible, item.picture.crop(region))


def jittered(picture: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Return the picture with brightness, contrast and saturation each scaled by 1 ± `amount`, in random order."""
    kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    factors = rng.uniform(1 - amount, 1 + amount, 3)
    for index in rng.permutation(3):
        picture = kinds[index](picture).enhance(float(factors[index]))
    return picture
