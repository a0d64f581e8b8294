"""Places in a spool, and what reading from one brings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Position(NamedTuple):
    """A place between two records."""

    segment: int  # number of the segment's first record, which is also its file name
    offset: int  # bytes into the segment
    record: int  # number of the record that comes next; they count from 0, since the spool was made

    @classmethod
    def start_of(cls, segment: int) -> Position:
        """Return the place before a segment's first record."""
        return cls(segment, 0, segment)


@dataclass(frozen=True)
class Loss:
    """Records that can never be read."""

    first: int  # number of the first one
    count: int
    reason: str  # damaged, truncated or removed


class Reading(NamedTuple):
    """Records read from one place on."""

    records: list[bytes]
    after: Position
    losses: list[Loss]  # between the place and `after`
