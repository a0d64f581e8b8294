"""From a picture to the model's inputs, as the published evaluation does it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from hoiclip.config import ModelConfig
from hoiclip.normalisation import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD
from hoiclip.predictor import resized_size
from hoiclip.resample import crop_geometry


class Inputs(NamedTuple):
    """What `HoiClip.forward_preprocessed` takes for one picture."""

    image: Tensor  # [1, 3, H, W], ImageNet normalisation
    clip_image: Tensor  # [1, 3, S, S], CLIP normalisation


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
