"""The CLIP crop is exact wherever the model runs."""

from __future__ import annotations

import numpy as np
import torch

from hoiclip.position import full_position
from hoiclip.resample import _crop_weights, clip_crop


def test_autocast_leaves_the_crop_exact() -> None:
    pixels = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (1, 3, 90, 160), np.uint8)).float()
    with torch.autocast("cpu", torch.bfloat16):
        crop = clip_crop(pixels, 64)
        assert (pixels[0, 0] @ pixels[0, 0].T).dtype == torch.bfloat16, "autocast was not on"
    assert crop.dtype == torch.float32
    assert torch.equal(crop, clip_crop(pixels, 64))


def test_constants_are_made_once_a_device() -> None:
    """A CUDA graph could not copy them there."""
    cpu, meta = torch.device("cpu"), torch.device("meta")
    assert full_position(3, 4, 8, cpu) is full_position(3, 4, 8, cpu)
    assert full_position(3, 4, 8, meta).is_meta
    assert _crop_weights(90, 160, 64, cpu) is _crop_weights(90, 160, 64, cpu)
    assert all(part.is_meta for weights in _crop_weights(90, 160, 64, meta) for part in weights)
