"""Files that appear complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Yield a path of the same suffix beside `path` to write to; afterwards it is synced and takes `path`'s place.

    The folder is made. When the block raises, what it wrote is removed and `path` stays as it was. Give `shared` where
    several processes may write the same `path` at once, as in a cache.

    Raises OSError as the file system gives it.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with replacing(target) as part:
        ...     _ = part.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(
        f"{path.stem}.{os.getpid()}.part{path.suffix}" if shared else f"{path.stem}.part{path.suffix}"
    )
    try:
        yield part
        _sync(part)
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    sync_folder(path.parent)


def write_whole(path: Path, content: bytes | str, *, shared: bool = False) -> None:
    """Write `content` (text as UTF-8) to `path`, complete or not at all. Raises OSError."""
    with replacing(path, shared=shared) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut, where the file system can."""
    with suppress(OSError):  # network and FUSE file systems may refuse to sync a folder
        _sync(folder)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
