"""Which run an event belongs to: equal work gives equal ids, and so equal events."""

from __future__ import annotations

from pathlib import Path

from hoiclip.hashes import short_hash
from stream.run.source_run import Head


def recording_run_id(path: Path, head: Head, settings: object) -> str:
    """Return a run id that depends on what is processed and how, so that equal work gives equal events."""
    return short_hash(file_fingerprint(path), head.model_fingerprint, head.classifier.fingerprint, repr(settings))


def file_fingerprint(path: Path, block: int = 1 << 20) -> str:
    """Return a hash of a file's size and its first, middle and last `block` bytes: enough to tell recordings apart."""
    size = path.stat().st_size
    parts = [str(size).encode()]
    with path.open("rb") as file:
        for start in sorted({0, max(0, size // 2 - block // 2), max(0, size - block)}):
            file.seek(start)
            parts.append(file.read(block))
    return short_hash(*parts)
