"""Files that appear complete or not at all."""

from __future__ import annotations

import os
import shutil
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


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path` to fill; afterwards it is synced and takes the place of what was at `path`.

    When the block raises, what it wrote is removed and `path` stays as it was. A folder cannot be replaced in one step:
    for a moment the old one is called ``<name>.old``. Raises OSError as the file system gives it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part, old = path.with_name(f"{path.name}.{os.getpid()}.part"), path.with_name(f"{path.name}.old")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        yield part
        for file in part.rglob("*"):
            _sync(file)
        _sync(part)
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.replace(old)
        part.replace(path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)
    sync_folder(path.parent)


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
