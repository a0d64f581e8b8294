"""A spool's folder belongs to one process at a time, and has an identity that outlives all of them."""

from __future__ import annotations

import fcntl
import os
import uuid
from pathlib import Path

from hoiclip.errors import InputError


def lock_folder(directory: Path) -> int:
    """Make `directory` and return a descriptor that holds it for this process. Raises InputError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise InputError(f"spool {directory}: cannot be written ({error.strerror}); set `spool_dir`") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise InputError(f"spool {directory}: in use by another process; give each run its own `spool_dir`") from error
    return fd


def identity(lock_fd: int) -> str:
    """Return what the lock file says, having written it first where it is new."""
    if not (text := os.pread(lock_fd, 64, 0)):
        text = uuid.uuid4().hex.encode()
        os.pwrite(lock_fd, text, 0)
    return text.decode(errors="replace")
