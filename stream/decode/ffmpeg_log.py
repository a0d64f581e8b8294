"""Read what FFmpeg logs: some facts it tells nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import av.logging

_LEVEL = threading.RLock()


@contextmanager
def ffmpeg_log(level: int) -> Iterator[list[tuple[int, str, str]]]:
    """Collect the (level, part of FFmpeg, text) that FFmpeg logs on this thread, up to `level`, into a list.

    The level is the whole process's: one thread at a time sets it, and what others capture meanwhile may be more.
    """
    with _LEVEL:
        yield from _logged(level)


def _logged(level: int) -> Iterator[list[tuple[int, str, str]]]:
    before, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(level)
    av.logging.set_skip_repeated(False)  # else the same complaint about the next file is swallowed
    try:
        with av.logging.Capture() as lines:
            yield lines
    finally:
        av.logging.set_level(before)
        av.logging.set_skip_repeated(skips)
