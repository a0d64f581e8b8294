"""The SHA-256 of a recording, read once and remembered for as long as the file is the same."""

from __future__ import annotations

import json
import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hoiclip.cache import cache_directory
from hoiclip.errors import InputError
from hoiclip.files import write_whole
from hoiclip.hashes import file_sha256, short_hash

logger = logging.getLogger(__name__)

SETTLED_S = 2.0
"""A file that changed so recently may change again without a new time stamp (some file systems count in seconds): its
hash is not remembered."""


def content_hash(path: Path, seen: Callable[[int], object] | None = None) -> str:
    """Return the SHA-256 of all of a file; `seen` gets the bytes of each block that is read.

    The hash is remembered in the user's cache with the file's size, times of change and inode. While they are the same
    the file is not read again: unlike a sample of its bytes, the inode's own time of change (ctime) cannot be kept by
    whoever alters a file. A cache that cannot be written costs reading again.

    Raises InputError for what is no regular file, and naming the reason for one that cannot be read.
    """
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise InputError(f"{path}: not a regular file; a recording must be one")
        memory = cache_directory() / "recordings" / f"{short_hash(str(path.resolve()))}.json"
        known = _remembered(memory)
        mark = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino, state.st_dev]
        if known.get("mark") == mark and isinstance(known.get("sha256"), str):
            return str(known["sha256"])
        started = time.time()
        digest = file_sha256(path, seen=seen)
        after = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    is_settled = started - max(state.st_mtime, state.st_ctime) > SETTLED_S
    if is_settled and (after.st_size, after.st_mtime_ns, after.st_ctime_ns) == tuple(mark[:3]):
        try:
            write_whole(memory, json.dumps({"path": os.fspath(path), "mark": mark, "sha256": digest}), shared=True)
        except OSError as error:
            logger.debug("%s: its hash is not remembered: %s", path, error)
    return digest


def _remembered(memory: Path) -> dict[str, Any]:
    try:
        known = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
