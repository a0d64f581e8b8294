"""Read one segment's file from a place on, and step over what is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from stream.publish.frames import SNAPSHOT, find_frame, frame_at, number_at, read_run
from stream.publish.positions import Loss, Position, Reading

_BLOCK = 1 << 18  # bytes read at once


class SegmentReading(NamedTuple):
    """What `read_segment` found."""

    reading: Reading
    damaged: bytes = b""  # bytes just before `reading.after` that are no frame
    at_end: bool = False  # nothing follows in this file


def read_segment(path: Path, position: Position, limit: int, end: int | None) -> SegmentReading:
    """Return up to `limit` records of the segment at `path` from `position` on, or the next damaged place.

    `end` is the offset up to which the file is settled, where it is still written to. Raises OSError.
    """
    segment, offset, record = position
    with path.open("rb") as file:
        file.seek(offset)
        block = file.read(_BLOCK)
        run = read_run(block, 0, record, limit)
        while run.stopped == "short" and not run.records and (more := file.read(len(block))):
            block += more  # a record that is longer than a block
            run = read_run(block, 0, record, limit)
        after = Position(segment, offset + run.end, run.number)
        if run.stopped == "limit" or run.records:
            return SegmentReading(Reading(run.records, after, []))
        if run.stopped == "jump":
            return SegmentReading(_jump(after, number_at(block, run.end)))
        rest = block[run.end :] + file.read()
    if end is not None:
        rest = rest[: max(0, end - after.offset)]
    if not rest:
        return SegmentReading(Reading([], after, []), at_end=True)
    found = find_frame(rest, 0)
    damaged = rest if found is None else rest[:found]
    after = after._replace(offset=after.offset + len(damaged))
    return SegmentReading(_jump(after, number_at(rest, found) if found is not None else after.record), damaged)


def _jump(position: Position, number: int) -> Reading:
    """Go on with record `number`; those before it are lost."""
    missing = number - position.record
    if missing <= 0:
        return Reading([], position, [])
    return Reading([], position._replace(record=number), [Loss(position.record, missing, "damaged")])


def read_whole(block: bytes, segment: int) -> tuple[bytes | None, list[bytes]]:
    """Return the snapshot that a segment's bytes begin with, if it is sound, and all sound records."""
    first = frame_at(block, 0)
    snapshot = first.payload if first is not None and first.kind == SNAPSHOT else None
    records: list[bytes] = []
    number = segment
    at: int | None = 0
    while at is not None:
        run = read_run(block, at, number, len(block))
        records += run.records
        if run.stopped == "jump":
            at, number = run.end, number_at(block, run.end)
        else:
            at, number = find_frame(block, run.end), run.number
    return snapshot, records


class SegmentEnd(NamedTuple):
    """Where a segment's sound frames end."""

    offset: int
    number: int  # of the record that comes next
    snapshot_bytes: int  # length of the snapshot at its beginning


def find_end(block: bytes, segment: int) -> SegmentEnd:
    """Return where the last sound frame of a segment's bytes ends."""
    first = frame_at(block, 0)
    snapshot_bytes = first.end if first is not None and first.kind == SNAPSHOT else 0
    offset, number = 0, segment
    while True:
        run = read_run(block, offset, number, len(block))
        offset, number = run.end, run.number
        if run.stopped == "jump":
            number = number_at(block, offset)
        elif (following := find_frame(block, offset)) is not None:
            offset = following
        else:
            return SegmentEnd(offset, number, snapshot_bytes)
