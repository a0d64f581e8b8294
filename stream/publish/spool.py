"""Events wait here, on disk, until every sink has them: append-only segments of numbered, checksummed records.

`append` hands the record to the kernel before it returns, so a killed process loses nothing; `sync` then puts
everything appended so far on the disk with one fdatasync, so a power cut loses at most what came since the last call.
Acknowledged segments stay for a replay window, for the case that a server comes back empty. Damage costs the records
it hit and no others, and is accounted for by their numbers.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from hoiclip.closing import Closing
from hoiclip.errors import HoistreamError, InputError
from stream.publish.appending import append_whole
from stream.publish.folder_lock import identity, lock_folder
from stream.publish.frames import MARK, RECORD, SNAPSHOT, is_torn, pack_frame
from stream.publish.positions import Position, Reading
from stream.publish.segment_reading import SegmentEnd, find_end, read_whole
from stream.publish.segments import SegmentFolder
from stream.publish.spool_reading import SpoolReader

logger = logging.getLogger(__name__)


class SpoolFullError(HoistreamError):
    """The disk or the budget has no room; nothing of the record was kept, so the caller may try it again."""


@dataclass(frozen=True, kw_only=True)
class SpoolLimits:
    """How much is kept. The replay window is given up first when the budget or the disk is full.

    Raises InputError for a budget in which no event fits.
    """

    max_bytes: int = 1 << 30  # whole spool
    segment_bytes: int = 8 << 20
    segment_age_s: float = 60.0  # a segment is closed at this age, so that the window can be cut
    replay_window_s: float = 600.0  # how long acknowledged segments stay

    def __post_init__(self) -> None:
        if not 1 << 12 <= self.max_bytes <= 1 << 50:
            raise InputError(
                f"spool: expected a budget of 4 KiB to 1 PiB, got {self.max_bytes} bytes; set `spool_max_mb`"
            )


class Journal(Protocol):
    """What must be known of records that are forgotten: each segment begins with a snapshot of it."""

    def restore(self, snapshot: bytes, records: list[bytes]) -> None:
        """Take over the newest snapshot (empty when there was none) and every record since."""
        ...

    def snapshot(self) -> bytes:
        """Return what must be known of all records so far."""
        ...


class Spool(Closing):
    """The records of one directory. One process at a time; `append` and `sync` from any thread, a reader each thread.

    `write` is os.write, replaceable to test a full disk.
    Raises InputError when the directory is in use or cannot be written.
    """

    def __init__(
        self,
        directory: Path,
        limits: SpoolLimits | None = None,
        *,
        journal: Journal | None = None,
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        limits = limits or SpoolLimits()
        self.directory = directory
        self.limits = replace(limits, segment_bytes=min(limits.segment_bytes, limits.max_bytes // 4))
        self._folder = SegmentFolder(directory)
        self._reader = SpoolReader(self._folder, self)
        self._journal = journal
        self._write = write
        self._lock = threading.Lock()
        self._sync_lock = threading.Lock()  # taken before `_lock` where both are
        self._retired: list[int] = []  # descriptors of closed segments that a sync may still be using
        self._lock_fd = lock_folder(directory)
        self.identity = identity(self._lock_fd)  # of this spool among all, over its restarts
        try:
            self._sizes = self._folder.sizes()
            self._end = Position(-1, 0, -1)
            self._snapshot_bytes = 0  # length of the active segment's snapshot
            self._fd = -1
            self._opened = 0.0
            if journal is not None:
                journal.restore(*self._since_snapshot())
            self._open_last()
        except OSError as error:
            os.close(self._lock_fd)
            raise InputError(f"spool {directory}: cannot be read ({error.strerror}); set `spool_dir`") from error
        self._num_bytes = sum(self._sizes.values())
        self._durable = self._end

    # Appending

    def append(self, payload: bytes, note: Callable[[], object] | None = None) -> Position:
        """Store one record and return the place after it. Raises SpoolFullError, having kept nothing.

        `note` tells the journal of it, before anything can come between.
        """
        with self._lock:
            if self._fd < 0:
                raise HoistreamError(f"spool {self.directory}: closed")
            if self._end.record > self._end.segment and (
                self._end.offset - self._snapshot_bytes + len(payload) > self.limits.segment_bytes
                or time.monotonic() - self._opened > self.limits.segment_age_s
            ):
                self._roll()
            segment, offset, record = self._end
            frame = pack_frame(RECORD, record, payload)
            empty = record == segment and len(self._sizes) == 1
            if self._num_bytes + len(frame) > self.limits.max_bytes and not empty:
                raise SpoolFullError(
                    f"spool {self.directory}: budget of {self.limits.max_bytes / 2**20:.0f} MiB is full of events no "
                    f"sink has taken; bring the server back or raise `spool_max_mb`"
                )
            try:
                append_whole(self._fd, frame, self._write)
            except OSError as error:
                raise SpoolFullError(
                    f"spool {self.directory}: cannot write ({error.strerror}); free disk space or move `spool_dir`"
                ) from error
            self._end = Position(segment, offset + len(frame), record + 1)
            self._sizes[segment] = self._end.offset
            self._num_bytes += len(frame)
            if note is not None:
                note()
            return self._end

    def sync(self) -> int:
        """Put everything appended so far on the disk; return how many records are now safe. Raises SpoolFullError."""
        with self._sync_lock:
            with self._lock:
                if self._fd < 0:
                    return self._durable.record
                self._mend_active()
                end, fd = self._end, self._fd
                retired, self._retired = self._retired, []
            try:
                if end != self._durable:
                    os.fdatasync(fd)
                    self._durable = end
            except OSError as error:
                raise SpoolFullError(f"spool {self.directory}: the disk refused a sync ({error.strerror})") from error
            finally:
                for old in retired:
                    os.close(old)
            return self._durable.record

    def _roll(self) -> None:
        """Close the segment and begin the next. Raises SpoolFullError with the old one still open."""
        try:
            self._restore_removed()
            os.fdatasync(self._fd)
            self._begin(self._end.record)
        except OSError as error:
            raise SpoolFullError(f"spool {self.directory}: cannot begin a segment ({error.strerror})") from error

    def _begin(self, segment: int) -> None:
        """Begin a segment with a snapshot. Raises OSError with the old one, if any, still open."""
        fd = self._folder.create(segment)
        frame = self._snapshot_frame(segment)
        try:
            append_whole(fd, frame, self._write)
            os.fdatasync(fd)
        except OSError:
            os.close(fd)
            self._folder.path(segment).unlink()
            raise
        self._switch(fd, Position(segment, len(frame), segment), len(frame))

    def _snapshot_frame(self, number: int) -> bytes:
        return pack_frame(SNAPSHOT, number, self._journal.snapshot() if self._journal is not None else b"")

    def _switch(self, fd: int, end: Position, snapshot_bytes: int) -> None:
        if self._fd >= 0:
            self._retired.append(self._fd)
        self._fd, self._end, self._opened, self._snapshot_bytes = fd, end, time.monotonic(), snapshot_bytes
        self._sizes[end.segment] = end.offset
        self._num_bytes = sum(self._sizes.values())

    def _mend_active(self) -> None:
        """Notice that somebody removed, replaced or cut the segment that is being written, and go on soundly."""
        path = self._folder.path(self._end.segment)
        try:
            self._restore_removed()
            size = os.fstat(self._fd).st_size
            if size != self._end.offset:
                logger.error("spool %s: was changed by somebody: %d bytes, not %d", path, size, self._end.offset)
                self._leave_changed(size)
        except OSError as error:
            raise SpoolFullError(f"spool {path}: was changed and cannot be mended ({error.strerror})") from error

    def _restore_removed(self) -> None:
        """Write the active segment again, from what is still open, where its file is gone. Raises OSError."""
        path = self._folder.path(self._end.segment)
        try:
            removed = path.stat().st_ino != os.fstat(self._fd).st_ino
        except FileNotFoundError:
            removed = True
        if removed:
            logger.error("spool %s: was removed by somebody; written again from what is open", path)
            self._switch(self._folder.restore(self._end.segment, self._fd), self._end, self._snapshot_bytes)

    def _leave_changed(self, size: int) -> None:
        """Go on in a new segment, or, where the changed one has no record yet, with a new snapshot in this one."""
        segment, _, record = self._end
        self._sizes[segment] = size
        if record > segment:
            self._roll()
            return
        frame = self._snapshot_frame(segment)
        append_whole(self._fd, frame, self._write)
        self._end, self._sizes[segment] = Position(segment, size + len(frame), record), size + len(frame)

    def _open_last(self) -> None:
        """Continue behind the last record; what a killed writer left half written is cut off.

        Damage at the end stays for the reader to account for, and writing goes on in a segment of its own.
        """
        if not self._sizes:
            self._begin(0)
            return
        segment = max(self._sizes)
        path = self._folder.path(segment)
        block = path.read_bytes()
        end = find_end(block, segment)
        tail = block[end.offset :]
        if not is_torn(tail):
            self._begin(end.number + max(1, tail.count(MARK)))
            return
        fd = self._folder.create(segment)
        if tail:
            logger.warning("spool %s: cut %d bytes of an unfinished record", path, len(tail))
            os.ftruncate(fd, end.offset)
        if end.offset == 0:  # killed before it had begun
            append_whole(fd, frame := self._snapshot_frame(segment), self._write)
            end = SegmentEnd(len(frame), segment, len(frame))
        os.fdatasync(fd)
        self._switch(fd, Position(segment, end.offset, end.number), end.snapshot_bytes)

    # Reading

    @property
    def end(self) -> Position:
        """The place after the last record."""
        return self._end

    @property
    def durable(self) -> int:
        """How many records, counted since the spool was made, are on the disk."""
        return self._durable.record

    @property
    def oldest(self) -> Position:
        """The place before the oldest record kept: where a full replay begins."""
        with self._lock:
            return Position.start_of(min(self._sizes))

    @property
    def num_bytes(self) -> int:
        """Size of all segments."""
        return self._num_bytes

    def read(self, position: Position, max_records: int) -> Reading:
        """Return up to `max_records` durable records from `position`, the place after them, and what was lost.

        Damaged bytes are kept aside as ``*.damaged``; reading goes on with the next sound record. Raises OSError where
        the disk does not answer, or no file can be opened.
        """
        return self._reader.read(position, max_records)

    @property
    def damaged(self) -> int:
        """Places with damaged bytes that readers came across."""
        return self._reader.damaged

    # What the reader asks

    def durable_end(self) -> Position:
        """Return the place up to which everything is on the disk."""
        return self._durable

    def holds(self, segment: int) -> bool:
        """Return whether this segment is kept."""
        return segment in self._sizes

    def following(self, segment: int) -> int | None:
        """Return the next segment kept, None behind the last."""
        with self._lock:
            return min((other for other in self._sizes if other > segment), default=None)

    def drop(self, segment: int) -> None:
        """Stop counting a segment whose file somebody removed."""
        with self._lock:
            self._num_bytes -= self._sizes.pop(segment, 0)

    def _since_snapshot(self) -> tuple[bytes, list[bytes]]:
        """Return the newest sound snapshot, and every sound record since."""
        records: list[bytes] = []
        for segment in sorted(self._sizes, reverse=True):
            snapshot, here = read_whole(self._folder.path(segment).read_bytes(), segment)
            records = here + records
            if snapshot is not None:
                return snapshot, records
        return b"", records

    # Forgetting

    def forget(self, acknowledged: int, *, now: bool = False) -> None:
        """Delete segments whose records all are among the first `acknowledged` and older than the replay window.

        With `now`, of any age, and the segment that is being written as well: it begins anew in place.
        """
        newest_kept = time.time() - self.limits.replay_window_s
        with self._lock:
            if self._fd < 0:
                return
            for segment, following in zip(sorted(self._sizes), sorted(self._sizes)[1:], strict=False):
                path = self._folder.path(segment)
                if following > acknowledged or (not now and _written_at(path) > newest_kept):
                    return
                path.unlink(missing_ok=True)
                self._num_bytes -= self._sizes.pop(segment)
            if now and self._end.segment < self._end.record <= acknowledged:
                self._restart_active()

    def _restart_active(self) -> None:
        segment, _, record = self._end
        frame = self._snapshot_frame(record)
        try:
            if not self._folder.restart(segment, record, frame):
                return
        except OSError as error:
            logger.debug("spool %s: not begun anew (%s)", self._folder.path(segment), error.strerror)
            return
        del self._sizes[segment]
        self._end, self._opened, self._snapshot_bytes = (
            Position(record, len(frame), record),
            time.monotonic(),
            len(frame),
        )
        self._durable = self._end
        self._sizes[record] = len(frame)
        self._num_bytes = sum(self._sizes.values())

    def close(self) -> None:
        """Sync and release the directory; safe to call twice."""
        with self._sync_lock, self._lock:
            if self._fd < 0:
                return
            fd, self._fd = self._fd, -1
            try:
                os.fdatasync(fd)
                self._durable = self._end
            finally:
                for open_fd in (fd, *self._retired, self._lock_fd):
                    os.close(open_fd)


def _written_at(path: Path) -> float:
    """Return when `path` was written last (wall clock); 0 where it is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
