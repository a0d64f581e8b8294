"""Sine position encoding of DETR."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


def sine_position(mask: Tensor, d_model: int) -> Tensor:
    """Return the position encoding [B, h*w, d_model] of a feature grid; y takes the first half of the channels.

    `mask` [B, h, w] is true on padding. Coordinates count unpadded cells and are normalised to 2 pi, so that equal
    places in frames of different sizes share an encoding. Source: DETR (Carion et al., ECCV 2020), temperature 10000.
    """
    seen = (~mask).to(torch.float32)
    y, x = seen.cumsum(1), seen.cumsum(2)
    y = y / (y[:, -1:, :] + 1e-6) * (2 * math.pi)
    x = x / (x[:, :, -1:] + 1e-6) * (2 * math.pi)
    half = d_model // 2
    exponent = 2 * torch.div(torch.arange(half, device=mask.device), 2, rounding_mode="floor") / half
    divisor = torch.pow(torch.tensor(10000.0, device=mask.device), exponent.to(torch.float32))

    def interleave(coordinate: Tensor) -> Tensor:
        angle = coordinate[..., None] / divisor  # [B,h,w,half]
        return torch.stack((angle[..., 0::2].sin(), angle[..., 1::2].cos()), dim=-1).flatten(-2)

    return torch.cat((interleave(y), interleave(x)), dim=-1).flatten(1, 2)


@lru_cache(maxsize=32)
def full_position(height: int, width: int, d_model: int, device: torch.device) -> Tensor:
    """Return the encoding [1, height*width, d_model] of a grid without padding: a constant, also in exported graphs.

    Kept on the device, since a CUDA graph cannot copy it there.
    """
    with torch.inference_mode(False), torch.no_grad():  # an inference tensor could not be traced later
        return sine_position(torch.zeros(1, height, width, dtype=torch.bool), d_model).to(device)
