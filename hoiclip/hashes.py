"""Hashes of files and of everything that decides a result."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

_BLOCK = 1 << 22


def file_sha256(*paths: Path, seen: Callable[[int], object] | None = None) -> str:
    """Return the SHA-256 (64 hexadecimal digits) of files one after the other; `seen` gets the bytes of each block."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                if seen is not None:
                    seen(len(block))
    return digest.hexdigest()


def short_hash(*parts: bytes | str) -> str:
    """Return 20 hexadecimal digits that depend on every part and on where one ends and the next begins."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(4, "little") + data)
    return digest.hexdigest()[:20]
