"""Pillow's antialiased bicubic resize as two fixed matrices, so that a graph needs no resampling operator."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


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
        matrix[row, first:last] = weights / weights.sum()
    return matrix.astype(np.float32)


def crop_geometry(height: int, width: int, size: int) -> tuple[int, int, int, int]:
    """Return (resized height, resized width, top, left) of: shorter side to `size`, then the centre `size` square."""
    if height <= width:
        new_height, new_width = size, int(size * width / height)
    else:
        new_height, new_width = int(size * height / width), size
    return new_height, new_width, round((new_height - size) / 2.0), round((new_width - size) / 2.0)


@lru_cache(maxsize=32)
def _crop_matrices(height: int, width: int, size: int) -> tuple[Tensor, Tensor]:
    new_height, new_width, top, left = crop_geometry(height, width, size)
    rows = bicubic_matrix(height, new_height)[top : top + size]
    columns = bicubic_matrix(width, new_width)[left : left + size].T
    return torch.from_numpy(np.ascontiguousarray(rows)), torch.from_numpy(np.ascontiguousarray(columns))


def clip_crop(pixels: Tensor, size: int) -> Tensor:
    """Return the CLIP crop [B, 3, size, size] of pixels [B, 3, H, W] in 0..255, as whole numbers like Pillow's.

    Pillow rounds to bytes after each pass, columns first, halves upwards; the same rounding keeps the result equal.
    """
    rows, columns = _crop_matrices(pixels.shape[-2], pixels.shape[-1], size)
    rows, columns = rows.to(pixels.device), columns.to(pixels.device)
    narrowed = (pixels @ columns + 0.5).floor().clamp(0.0, 255.0)
    return (rows @ narrowed + 0.5).floor().clamp(0.0, 255.0)
