"""Where events go: sinks by URL, and the direct ones that need no spool, a JSON Lines file and standard output."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from pathlib import Path
from typing import IO, Literal, Protocol

from hoiclip.errors import HoistreamError, InputError
from stream.publish.appending import append_whole

logger = logging.getLogger(__name__)

_BLOCK = 1 << 16  # bytes read at once
FORMS = (
    "redis://[user:password@]host[:port][/db], rediss://…, store:PATH, webhook:https://…, mqtt://…, jsonl:PATH or "
    "stdout:"
)


class DirectSink(Protocol):
    """A sink that has an event once `write` returns."""

    def write(self, line: bytes) -> None:
        """Take one event as JSON without a newline. Raises OSError, having kept nothing of it."""
        ...

    def flush(self) -> None:
        """Put everything where it survives a power cut. Raises OSError."""
        ...

    def close(self) -> None:
        """Flush and let go; safe to call twice."""
        ...


class JsonlSink:
    """Append one line an event to a file; a half line that a killed writer left is cut off first.

    A file that somebody removes or moves away is begun anew with the next line. Raises InputError when the file cannot
    be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._fd = -1
        try:
            self._open()
            self._cut_half_line()
        except OSError as error:
            raise InputError(f"sink jsonl:{path}: cannot be written ({error.strerror})") from error

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd

    def _cut_half_line(self) -> None:
        end = size = os.fstat(self._fd).st_size
        while end > 0:
            start = max(0, end - _BLOCK)
            newline = os.pread(self._fd, end - start, start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            os.ftruncate(self._fd, end)

    def last_lines(self, num_bytes: int = 16 << 20) -> list[bytes]:
        """Return the whole lines among the last `num_bytes`; none for a pipe or a device."""
        size = os.fstat(self._fd).st_size
        start = max(0, size - num_bytes)
        lines = os.pread(self._fd, size - start, start).splitlines() if size else []
        return lines[1:] if start else lines

    def write(self, line: bytes) -> None:
        """Append `line` and a newline."""
        with self._lock:
            if self._fd < 0:
                raise HoistreamError(f"sink jsonl:{self._path}: closed")
            if not self._is_there():
                logger.warning("jsonl:%s was removed or moved away: begun anew", self._path)
                self._open()
            append_whole(self._fd, line + b"\n")

    def _is_there(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(self._fd)
        return (there.st_ino, there.st_dev) == (mine.st_ino, mine.st_dev)

    def flush(self) -> None:
        """Sync the file."""
        with contextlib.suppress(OSError):  # a pipe or a device cannot be synced, and needs none
            os.fsync(self._fd)

    def close(self) -> None:
        """Sync and close the file."""
        with self._lock:
            if self._fd >= 0:
                self.flush()
                os.close(self._fd)
                self._fd = -1


class StdoutSink:
    """Print one line an event, at once. Raises InputError where standard output is closed."""

    def __init__(self, stream: IO[bytes] | None = None) -> None:
        if stream is None and sys.stdout is None:
            raise InputError("sink stdout: standard output is closed; send it somewhere, or use jsonl:PATH")
        self._stream = stream or sys.stdout.buffer
        self._lock = threading.Lock()

    def write(self, line: bytes) -> None:
        """Print `line`. Raises BrokenPipeError when the reader has left."""
        with self._lock:
            self._stream.write(line + b"\n")
            self._stream.flush()

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Standard output stays open."""


def is_redis(url: str) -> bool:
    """Whether `url` names a Redis server. Raises InputError for an unknown form."""
    return _kind(url) == "redis"


def is_direct(url: str) -> bool:
    """Whether the sink has an event once it is written, without a spool. Raises InputError for an unknown form."""
    return _kind(url) == "direct"


def _kind(url: str) -> Literal["redis", "direct", "spooled"]:
    if url.startswith(("redis://", "rediss://")):
        return "redis"
    if url == "stdout:" or (url.startswith("jsonl:") and len(url) > len("jsonl:")):
        return "direct"
    if url.startswith(("store:", "webhook:", "mqtt://", "mqtts://")):
        return "spooled"
    scheme = url.split(":", 1)[0]  # the rest may hold a password
    raise InputError(f"sink {scheme!r}: not known; expected {FORMS}")


def open_direct(url: str) -> DirectSink:
    """Open a ``jsonl:PATH`` or ``stdout:`` sink."""
    return StdoutSink() if url == "stdout:" else JsonlSink(Path(url.removeprefix("jsonl:")).expanduser())
