"""Read what FFmpeg logs: some facts it tells nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import av.logging


@contextmanager
def ffmpeg_log(level: int) -> Iterator[list[tuple[int, str, str]]]:
    """Collect the (level, part of FFmpeg, text) that FFmpeg logs on this thread, up to `level`, into a list.

    The level is the whole process's: use it on the decoding thread alone.
    """
    before, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(level)
    av.logging.set_skip_repeated(False)  # else the same complaint about the next file is swallowed
    try:
        with av.logging.Capture() as lines:
            yield lines
    finally:
        av.logging.set_level(before)
        av.logging.set_skip_repeated(skips)
