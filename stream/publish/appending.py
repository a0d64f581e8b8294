"""Append to a file all or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable


def append_whole(fd: int, data: bytes, size: int, write: Callable[[int, bytes], int] = os.write) -> None:
    """Write all of `data` at the end of a file of `size` bytes, opened with O_APPEND.

    Raises OSError, such as for a full disk, with the file cut back to `size`: no half line and no half record stays.
    """
    written = 0
    try:
        while written < len(data):
            written += write(fd, data[written:])
    except OSError:
        if written:
            os.ftruncate(fd, size)
        raise
