"""Append to a file all or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable


def append_whole(fd: int, data: bytes, write: Callable[[int, bytes], int] = os.write) -> None:
    """Write all of `data` at the end of a file opened with O_APPEND.

    Raises OSError, such as for a full disk, with the file as long as it was: no half line and no half record stays.
    """
    written = 0
    try:
        while written < len(data):
            written += write(fd, data[written:] if written else data)
    except OSError:
        if written:
            os.ftruncate(fd, os.fstat(fd).st_size - written)
        raise
