"""The segment files in a spool's folder: their names, how they are made, and what is kept of damaged ones."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from hoiclip.files import sync_folder, write_whole
from stream.publish.frames import RECORD, SNAPSHOT, find_frame, frame_at

logger = logging.getLogger(__name__)

_NAME = re.compile(r"0\d{19}\.spool", re.ASCII)  # numbers that a record's head can hold


class SegmentFolder:
    """Files named by the number of their first record. Everything else in the folder is left alone."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, segment: int) -> Path:
        """Return the file of the segment that begins with record `segment`."""
        return self.directory / f"{segment:020d}.spool"

    def sizes(self) -> dict[int, int]:
        """Return the size in bytes of each segment, oldest first."""
        found = {}
        for path in sorted(self.directory.iterdir()):
            if _NAME.fullmatch(path.name) and path.is_file():
                found[int(path.stem)] = path.stat().st_size
            elif path.suffix == ".spool" or path.suffix == ".log":
                logger.warning("%s is no segment of a spool: left alone", path)
        return found

    def create(self, segment: int) -> int:
        """Open a segment for appending, and make sure that its name survives a power cut; return its descriptor."""
        self.directory.mkdir(parents=True, exist_ok=True)  # somebody may have removed the folder
        fd = os.open(self.path(segment), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        sync_folder(self.directory)
        return fd

    def restore(self, segment: int, fd: int) -> int:
        """Write the file of a segment that was removed or replaced again from its open descriptor; return a new one."""
        self.directory.mkdir(parents=True, exist_ok=True)
        size = os.fstat(fd).st_size
        write_whole(self.path(segment), os.pread(fd, size, 0))
        return os.open(self.path(segment), os.O_RDWR | os.O_APPEND)

    def restart(self, segment: int, number: int, frame: bytes) -> bool:
        """Let a segment of which nothing is needed any more begin anew with `frame`, as segment `number`.

        In place, so that it takes no room on a full disk: what is overwritten are records that every sink has. Return
        whether it was done.
        """
        path = self.path(segment)
        if path.stat().st_size <= len(frame):
            return False
        fd = os.open(path, os.O_WRONLY)
        try:
            os.pwrite(fd, frame, 0)
            os.ftruncate(fd, len(frame))
        finally:
            os.close(fd)
        path.rename(self.path(number))
        sync_folder(self.directory)
        return True

    def set_aside(self, segment: int, offset: int, damaged: bytes) -> None:
        """Keep damaged bytes for people to look at, as ``SEGMENT-OFFSET.damaged``; a full disk has none for them."""
        path = self.directory / f"{segment:020d}-{offset}.damaged"
        if path.exists():
            return
        try:
            write_whole(path, damaged)
        except OSError as error:
            logger.error("%s: %d damaged bytes cannot be kept (%s)", path, len(damaged), error.strerror)
        else:
            logger.error("spool %s: %d damaged bytes, kept as %s", self.path(segment), len(damaged), path.name)


def read_folder(directory: Path) -> Iterator[tuple[int, bytes]]:
    """Yield number and payload of every sound record kept in a spool, in order; another process may be writing it."""
    folder = SegmentFolder(directory)
    expected = 0
    for segment in folder.sizes():
        try:
            block = folder.path(segment).read_bytes()
        except FileNotFoundError:  # every sink has it
            continue
        at = find_frame(block, 0)
        while at is not None:
            frame = frame_at(block, at)
            if frame is None:
                at = find_frame(block, at)
                continue
            if frame.kind == RECORD and frame.number >= expected:
                expected = frame.number + 1
                yield frame.number, frame.payload
            elif frame.kind == SNAPSHOT:
                expected = max(expected, frame.number)
            at = frame.end
