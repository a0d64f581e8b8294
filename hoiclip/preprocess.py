"""From a picture to the model's inputs, as the published evaluation does it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from hoiclip.config import ModelConfig
from hoiclip.model import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD
from hoiclip.resample import crop_geometry

_SHORTEST_PX = 32  # one cell of the feature grid; longer strips than this allows are squeezed


class Inputs(NamedTuple):
    """What `HoiClip.forward_preprocessed` takes for one picture."""

    image: Tensor  # [1, 3, H, W], ImageNet normalisation
    clip_image: Tensor  # [1, 3, S, S], CLIP normalisation


def resized_size(height: int, width: int, shorter: int, longer: int) -> tuple[int, int]:
    """Return (height, width) with the shorter side at `shorter`, or less so that the longer is at most `longer`.

    Truncates as the published preprocessing does: 480 x 640 becomes 800 x 1066. The shorter side is at least 32 px.
    """
    small, large = min(height, width), max(height, width)
    size = shorter if large / small * shorter <= longer else max(round(longer * small / large), _SHORTEST_PX)
    other = max(min(int(size * large / small), longer), size)
    return (size, other) if height <= width else (other, size)


def prepare_picture(picture: NDArray[np.uint8], config: ModelConfig) -> Inputs:
    """Return the inputs for an RGB picture uint8 [H, W, 3] of any size from 1x1: Pillow's resize, then both crops."""
    height, width = resized_size(picture.shape[0], picture.shape[1], config.shorter_side, config.longer_side)
    return inputs_of(
        Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR), config.clip.image_size
    )


def inputs_of(resized: Image.Image, size: int) -> Inputs:
    """Return the inputs for an RGB picture that already has its size; `size` is CLIP's, in pixels."""
    width, height = resized.size
    crop_height, crop_width, top, left = crop_geometry(height, width, size)
    small = resized.resize((crop_width, crop_height), Image.Resampling.BICUBIC).crop(
        (left, top, left + size, top + size)
    )
    return Inputs(_normalised(resized, IMAGENET_MEAN, IMAGENET_STD), _normalised(small, CLIP_MEAN, CLIP_STD))


def _normalised(image: Image.Image, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    pixels = torch.from_numpy(np.asarray(image, np.float32) / np.float32(255.0))
    return ((pixels - torch.tensor(mean)) / torch.tensor(std)).permute(2, 0, 1)[None].contiguous()
