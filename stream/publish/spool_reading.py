"""Read a spool's records across its segments, while another thread writes them and somebody may damage the files."""

from __future__ import annotations

import logging
from typing import Protocol

from stream.publish.positions import Loss, Position, Reading
from stream.publish.segment_reading import read_segment
from stream.publish.segments import SegmentFolder

logger = logging.getLogger(__name__)


class SpoolWriter(Protocol):
    """What a reader must know of the one who writes; every method may be called from any thread."""

    @property
    def oldest(self) -> Position:
        """The place before the oldest record kept."""
        ...

    def durable_end(self) -> Position:
        """Return the place up to which everything is on the disk."""
        ...

    def holds(self, segment: int) -> bool:
        """Return whether this segment is kept."""
        ...

    def following(self, segment: int) -> int | None:
        """Return the next segment kept, None behind the last."""
        ...

    def drop(self, segment: int) -> None:
        """Stop counting a segment whose file somebody removed."""
        ...

    def sync(self) -> int:
        """Put everything on the disk, having begun or written again what somebody cut or removed."""
        ...


class SpoolReader:
    """Reads durable records; what was damaged, cut or removed is stepped over and accounted for by its numbers."""

    def __init__(self, folder: SegmentFolder, writer: SpoolWriter) -> None:
        self.damaged = 0  # places with damaged bytes that were come across
        self._folder = folder
        self._writer = writer

    def read(self, position: Position, max_records: int) -> Reading:
        """Return up to `max_records` durable records from `position`, the place after them, and what was lost."""
        records: list[bytes] = []
        losses: list[Loss] = []
        while len(records) < max_records and position.record < self._writer.durable_end().record:
            following = self._writer.following(position.segment)
            if not self._writer.holds(position.segment):  # forgotten: every sink had its records
                position = Position.start_of(following) if following is not None else self._writer.oldest
                continue
            try:
                found = self._read_segment(position, max_records - len(records), following)
            except FileNotFoundError:
                found = self._without_file(position, following)
            records += found.records
            losses += found.losses
            position = found.after
        return Reading(records, position, losses)

    def _read_segment(self, position: Position, limit: int, following: int | None) -> Reading:
        """Return records of one segment, and the place after them, in the next one where this one is read."""
        durable = self._writer.durable_end()
        path = self._folder.path(position.segment)
        settled = durable.offset if position.segment == durable.segment else None
        found = read_segment(path, position, min(limit, durable.record - position.record), settled)
        if found.damaged:
            self.damaged += 1
            self._folder.set_aside(position.segment, found.reading.after.offset - len(found.damaged), found.damaged)
        return self._behind(found.reading.after, following, durable) if found.at_end else found.reading

    def _behind(self, position: Position, following: int | None, durable: Position) -> Reading:
        """Go on behind the end of a segment; numbers that it should have held and does not are lost."""
        if following is None:
            self._writer.sync()  # which begins a segment where somebody cut this one
            following = self._writer.following(position.segment)
        record = following if following is not None else durable.record
        after = Position.start_of(record) if following is not None else position._replace(record=record)
        missing = record - position.record
        return Reading([], after, [Loss(position.record, missing, "truncated")] if missing > 0 else [])

    def _without_file(self, position: Position, following: int | None) -> Reading:
        """Go on behind a segment whose file is gone; the active one is written again first."""
        if following is None:
            self._writer.sync()
            return Reading([], position, [])
        logger.error("spool %s: was removed by somebody", self._folder.path(position.segment))
        self._writer.drop(position.segment)
        lost = [Loss(position.record, following - position.record, "removed")] if following > position.record else []
        return Reading([], Position.start_of(following), lost)
