"""Pillow's antialiased bicubic resize as two fixed matrices, so that a graph needs no resampling operator."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_UNIT = 1 << 22  # Pillow's weights are whole multiples of 2^-22
_HALF = 1 << 11


def bicubic_matrix(source: int, target: int) -> NDArray[np.float32]:
    """Return the [target, source] weights of Pillow's antialiased bicubic filter (a = -0.5) along one axis.

    Source: Pillow's resampling as documented by its results; rows sum to one.
    """
    scale = source / target
    stretch = max(scale, 1.0)
    support = 2.0 * stretch
    matrix = np.zeros((target, source), np.float64)
    for row in range(target):
        centre = (row + 0.5) * scale
        first, last = max(int(centre - support + 0.5), 0), min(int(centre + support + 0.5), source)
        distance = np.abs((np.arange(first, last) - centre + 0.5) / stretch)
        near = (1.5 * distance - 2.5) * distance**2 + 1
        far = -0.5 * (((distance - 5) * distance + 8) * distance - 4)
        weights = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
        matrix[row, first:last] = np.floor(weights / weights.sum() * _UNIT + 0.5) / _UNIT
    return matrix.astype(np.float32)


def crop_geometry(height: int, width: int, size: int) -> tuple[int, int, int, int]:
    """Return (resized height, resized width, top, left) of: shorter side to `size`, then the centre `size` square."""
    if height <= width:
        new_height, new_width = size, int(size * width / height)
    else:
        new_height, new_width = int(size * height / width), size
    return new_height, new_width, round((new_height - size) / 2.0), round((new_width - size) / 2.0)


class _Weights(NamedTuple):
    """One axis of a crop as two matrices of whole numbers: weight = (high * 2^11 + low) / 2^22."""

    high: Tensor
    low: Tensor


@lru_cache(maxsize=32)
def _crop_weights(height: int, width: int, size: int, device: torch.device) -> tuple[_Weights, _Weights]:
    """Return rows and columns, kept on the device: a CUDA graph cannot copy them there."""
    new_height, new_width, top, left = crop_geometry(height, width, size)
    rows = bicubic_matrix(height, new_height)[top : top + size]
    columns = bicubic_matrix(width, new_width)[left : left + size].T
    return _split(rows, device), _split(columns, device)


def _split(matrix: NDArray[np.float32], device: torch.device) -> _Weights:
    whole = np.ascontiguousarray(matrix.astype(np.float64) * _UNIT)
    high = np.floor(whole / _HALF)
    low = whole - high * _HALF
    return _Weights(*(torch.from_numpy(part.astype(np.float32)).to(device) for part in (high, low)))


def _to_bytes(high: Tensor, low: Tensor) -> Tensor:
    """Return round((high * 2^11 + low) / 2^22), halves up, within 0..255; every step is exact in float32."""
    carried = high + ((low + _UNIT // 2) / _HALF).floor()
    return (carried / _HALF).floor().clamp(0.0, 255.0)


def clip_crop(pixels: Tensor, size: int) -> Tensor:
    """Return the CLIP crop [B, 3, size, size] of pixels [B, 3, H, W] in 0..255, equal to Pillow's to the bit.

    Pillow computes with integers and rounds to bytes after each pass, columns first. Sums of its 22-bit weights do not
    fit float32, their upper and lower halves do; half precision holds neither, so that autocast is left here.
    """
    if torch.is_autocast_enabled(pixels.device.type):
        with torch.autocast(pixels.device.type, enabled=False):
            return clip_crop(pixels, size)
    rows, columns = _crop_weights(pixels.shape[-2], pixels.shape[-1], size, pixels.device)
    narrowed = _to_bytes(pixels @ columns.high, pixels @ columns.low)
    return _to_bytes(rows.high @ narrowed, rows.low @ narrowed)
