"""Events wait here, on disk, until every sink has them: append-only segments of CRC-framed records.

`append` hands the record to the kernel before it returns, so a killed process loses nothing; `sync` then puts
everything appended so far on the disk with one fdatasync, so a power cut loses at most what came since the last call.
Acknowledged segments stay for a replay window, for the case that a server comes back empty.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import struct
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from hoiclip.closing import Closing
from hoiclip.errors import HoistreamError, InputError
from stream.publish.appending import append_whole

logger = logging.getLogger(__name__)

_FRAME = struct.Struct("<II")  # length and CRC-32 of the payload that follows
_MAX_RECORD = 1 << 24  # a longer length is a torn or corrupt frame
_BLOCK = 1 << 18  # bytes read at once


class SpoolFullError(HoistreamError):
    """The disk or the budget has no room; nothing of the record was kept, so the caller may try it again."""


class Position(NamedTuple):
    """A place between two records."""

    segment: int  # number of the segment's first record, which is also its file name
    offset: int  # bytes into the segment
    record: int  # records before this place, since the spool was made

    @classmethod
    def start_of(cls, segment: int) -> Position:
        """Return the place before a segment's first record."""
        return cls(segment, 0, segment)


@dataclass(frozen=True, kw_only=True)
class SpoolLimits:
    """How much is kept. The replay window is given up first when the budget or the disk is full."""

    max_bytes: int = 1 << 30  # whole spool
    segment_bytes: int = 8 << 20
    segment_age_s: float = 60.0  # a segment is closed at this age, so that the window can be cut
    replay_window_s: float = 600.0  # how long acknowledged segments stay


class Spool(Closing):
    """The records of one directory. One process at a time; `append` and `sync` from any thread, a reader each thread.

    `write` is os.write, replaceable to test a full disk. Raises InputError when the directory is in use or read-only.
    """

    def __init__(
        self,
        directory: Path,
        limits: SpoolLimits = SpoolLimits(),
        *,
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        self.directory = directory
        self.limits = replace(limits, segment_bytes=min(limits.segment_bytes, limits.max_bytes // 4))
        self.damaged = 0  # segments with an unreadable middle, skipped by readers and kept on disk as *.damaged
        self._write = write
        self._lock = threading.Lock()
        self._sync_lock = threading.Lock()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock_fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise InputError(f"spool {directory}: cannot be written ({error.strerror}); set `spool_dir`") from error
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock_fd)
            raise InputError(
                f"spool {directory}: in use by another process; give each run its own `spool_dir`"
            ) from error
        self._sizes = {int(path.stem): path.stat().st_size for path in sorted(directory.glob("*.log"))}
        self._fd = -1
        self._opened = 0.0
        self._end = Position.start_of(max(self._sizes, default=0))
        self._open_last()
        self._durable: Position = self._end

    # Appending

    def append(self, payload: bytes) -> Position:
        """Store one record and return the place after it. Raises SpoolFullError, having kept nothing."""
        frame = _FRAME.pack(len(payload), zlib.crc32(payload)) + payload
        with self._lock:
            if self._fd < 0:
                raise HoistreamError(f"spool {self.directory}: closed")
            if self._end.offset and (
                self._end.offset + len(frame) > self.limits.segment_bytes
                or time.monotonic() - self._opened > self.limits.segment_age_s
            ):
                self._roll()
            if self.num_bytes + len(frame) > self.limits.max_bytes:
                raise SpoolFullError(
                    f"spool {self.directory}: budget of {self.limits.max_bytes / 2**20:.0f} MiB is full of events no "
                    f"sink has taken; bring the server back or raise `spool_max_mb`"
                )
            segment, offset, record = self._end
            try:
                append_whole(self._fd, frame, offset, self._write)
            except OSError as error:
                raise SpoolFullError(
                    f"spool {self.directory}: cannot write ({error.strerror}); free disk space or move `spool_dir`"
                ) from error
            self._end = Position(segment, offset + len(frame), record + 1)
            self._sizes[segment] = self._end.offset
            return self._end

    def sync(self) -> Position:
        """Put everything appended so far on the disk; return the place that is now safe. Raises SpoolFullError."""
        with self._sync_lock:
            with self._lock:
                end, fd = self._end, os.dup(self._fd)  # a copy: rolling may close the original meanwhile
            try:
                if end != self._durable:
                    os.fdatasync(fd)
                    self._durable = end
            except OSError as error:
                raise SpoolFullError(f"spool {self.directory}: the disk refused a sync ({error.strerror})") from error
            finally:
                os.close(fd)
            return self._durable

    def _roll(self) -> None:
        """Close the full segment and begin the next. Raises SpoolFullError with the old one still open."""
        try:
            os.fdatasync(self._fd)
            fd = self._create(self._end.record)
        except OSError as error:
            raise SpoolFullError(f"spool {self.directory}: cannot begin a segment ({error.strerror})") from error
        os.close(self._fd)
        self._begin(fd, Position.start_of(self._end.record))

    def _begin(self, fd: int, end: Position) -> None:
        self._fd, self._end, self._opened = fd, end, time.monotonic()
        self._sizes[end.segment] = end.offset

    def _create(self, segment: int) -> int:
        """Open a segment for appending, and make sure that its name survives a power cut."""
        fd = os.open(self._path(segment), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        directory = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return fd

    def _open_last(self) -> None:
        """Continue after the last whole record; what a killed writer left half written is cut off."""
        segment = max(self._sizes, default=0)
        path = self._path(segment)
        offset, count = _whole_records(path) if path.exists() else (0, 0)
        fd = self._create(segment)
        if offset < self._sizes.get(segment, 0):
            logger.warning("spool %s: cut %d bytes of an unfinished record", path, self._sizes[segment] - offset)
            os.ftruncate(fd, offset)
        os.fdatasync(fd)
        self._begin(fd, Position(segment, offset, segment + count))

    # Reading

    @property
    def end(self) -> Position:
        """The place after the last record."""
        return self._end

    @property
    def durable(self) -> Position:
        """The place up to which records are on the disk."""
        return self._durable

    @property
    def oldest(self) -> Position:
        """The place before the oldest record kept: where a full replay begins."""
        return Position.start_of(min(self._sizes))

    @property
    def num_bytes(self) -> int:
        """Size of all segments."""
        return sum(self._sizes.values())

    def read(self, position: Position, max_records: int) -> tuple[list[bytes], Position]:
        """Return up to `max_records` durable records from `position`, and the place after them.

        A record whose checksum fails ends its segment: the rest of it is kept aside as ``*.damaged`` and reported.
        """
        records: list[bytes] = []
        while len(records) < max_records and position.record < self._durable.record:
            with self._lock:
                following = min((s for s in self._sizes if s > position.segment), default=None)
                size = self._sizes.get(position.segment)
            if size is None:  # deleted: its records were acknowledged by every sink
                position = self.oldest if following is None else Position.start_of(following)
                continue
            if position.offset >= size and following is not None:
                position = Position.start_of(following)
                continue
            found, position, intact = self._read_segment(position, max_records - len(records))
            records += found
            if not intact:
                self._set_aside(position.segment)
                position = self._durable if following is None else Position.start_of(following)
        return records, position

    def _read_segment(self, position: Position, limit: int) -> tuple[list[bytes], Position, bool]:
        """Return records, the place after them, and whether what follows is sound."""
        segment, offset, record = position
        stop = self._durable.offset if segment == self._durable.segment else self._sizes[segment]
        with self._path(segment).open("rb") as file:
            file.seek(offset)
            block = file.read(min(_BLOCK, stop - offset))
            records: list[bytes] = []
            at = 0
            while len(records) < limit and offset + at < stop:
                if at + _FRAME.size > len(block):
                    if records:
                        break
                    return records, position, False
                length, crc = _FRAME.unpack_from(block, at)
                end = at + _FRAME.size + length
                if end > len(block):
                    if records:
                        break  # the rest of this block comes with the next read
                    if length > _MAX_RECORD or offset + end > stop:
                        return records, position, False
                    block += file.read(end - len(block))
                payload = block[at + _FRAME.size : end]
                if zlib.crc32(payload) != crc:
                    return records, Position(segment, offset + at, record + len(records)), False
                records.append(payload)
                at = end
        return records, Position(segment, offset + at, record + len(records)), True

    def _set_aside(self, segment: int) -> None:
        path = self._path(segment)
        logger.error("spool %s: a record's checksum is wrong; the rest of the segment is kept as *.damaged", path)
        self.damaged += 1
        aside = path.with_suffix(".damaged")
        if not aside.exists():
            os.link(path, aside)

    # Forgetting

    def forget(self, acknowledged: int, *, now: bool = False) -> None:
        """Delete segments whose records all are among the first `acknowledged` and older than the replay window.

        With `now`, of any age.
        """
        newest_kept = time.time() - self.limits.replay_window_s
        with self._lock:
            for segment, following in zip(sorted(self._sizes), sorted(self._sizes)[1:], strict=False):
                path = self._path(segment)
                if following > acknowledged or (not now and path.stat().st_mtime > newest_kept):
                    return
                path.unlink()
                del self._sizes[segment]

    def close(self) -> None:
        """Sync and release the directory; safe to call twice."""
        with self._lock:
            if self._fd < 0:
                return
            fd, self._fd = self._fd, -1
        try:
            os.fdatasync(fd)
            self._durable = self._end
        finally:
            os.close(fd)
            os.close(self._lock_fd)

    def _path(self, segment: int) -> Path:
        return self.directory / f"{segment:020d}.log"


class Cursor:
    """How far one sink has acknowledged, remembered in a file of the spool's directory.

    The file is replaced without a sync: after a power cut an older place only means that more is replayed.
    """

    def __init__(self, spool: Spool, name: str) -> None:
        self._path = spool.directory / f"{name}.cursor"
        self.position = self._load(spool)

    def _load(self, spool: Spool) -> Position:
        try:
            position = Position(*json.loads(self._path.read_text()))
        except (OSError, ValueError, TypeError):
            return spool.oldest
        return position if spool.oldest.record <= position.record <= spool.end.record else spool.oldest

    def save(self) -> None:
        """Remember `position` for the next start."""
        part = self._path.with_suffix(".part")
        try:
            part.write_text(json.dumps(self.position))
            part.replace(self._path)
        except OSError as error:  # a full disk: the place is still right in memory, and replays are harmless
            logger.debug("%s: not saved (%s)", self._path, error.strerror)


def _whole_records(path: Path) -> tuple[int, int]:
    """Return the length in bytes, and the number, of the sound records at the start of a segment."""
    data = path.read_bytes()
    offset = count = 0
    while offset + _FRAME.size <= len(data):
        length, crc = _FRAME.unpack_from(data, offset)
        end = offset + _FRAME.size + length
        if length > _MAX_RECORD or end > len(data) or zlib.crc32(data[offset + _FRAME.size : end]) != crc:
            break
        offset, count = end, count + 1
    return offset, count
