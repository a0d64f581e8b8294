"""What may be asked of an event store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class Place(NamedTuple):
    """Where a page of results ended: the next begins behind it."""

    time_ms: int
    id: int


@dataclass(frozen=True)
class StoreQuery:
    """Which events are wanted. Empty filters hold for all; several values of one filter are alternatives."""

    sources: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    interactions: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    humans: tuple[int, ...] = ()
    """Numbers that a source gave in a run: give these as well."""
    zones: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    """What people called them."""
    starred: bool = False
    """Only those."""
    since: datetime | None = None
    until: datetime | None = None
    """Not included."""
    newest_first: bool = True
    after: Place | None = None
    limit: int | None = 100


class Statement(NamedTuple):
    """SQL and its values."""

    sql: str
    values: list[object]


COLUMNS = "e.id, e.time_ms, e.body, coalesce(m.starred, 0), m.label"


def statement_of(query: StoreQuery, number_of: Callable[[str], int | None], columns: str = COLUMNS) -> Statement:
    """Return the SELECT for a query; `number_of` gives the number of a name, None for one that was never stored.

    Each page is read along an index in the order of time: of a zone, of a mark, of a human, a camera, an interaction or
    an object, whichever of these is asked for first in this order. `+` keeps SQLite from choosing another.
    """
    where: list[str] = []
    values: list[object] = []
    tables = "events e"
    time, row = "e.time_ms", "e.id"
    lead = _lead(query)
    if lead == "zones":
        tables, time, row = "event_zones z CROSS JOIN events e ON e.id = z.event", "z.time_ms", "z.event"
    elif lead == "marks":
        tables = "marks m CROSS JOIN events e ON e.id = m.event"

    def one_of(name: str, column: str, numbers: list[int | None]) -> None:
        known = [number for number in numbers if number is not None]
        prefix = "" if name == lead or (name in ("sources", "runs") and lead == "humans") else "+"
        where.append(f"{prefix}{column} IN ({', '.join('?' * len(known))})")
        values.extend(known)

    for name, column in _NAMED.items():
        wanted = getattr(query, name)
        if wanted:
            numbers = list(wanted) if name == "humans" else [number_of(value) for value in wanted]
            one_of(name, column, numbers)
    if query.labels:
        where.append(f"m.label IN ({', '.join('?' * len(query.labels))})")
        values.extend(query.labels)
    if query.starred:
        where.append("m.starred = 1")
    plus = "" if lead != "marks" else "+"
    if query.since is not None:
        where.append(f"{plus}{time} >= ?")
        values.append(milliseconds(query.since))
    if query.until is not None:
        where.append(f"{plus}{time} < ?")
        values.append(milliseconds(query.until))
    way, sign = ("DESC", "<") if query.newest_first else ("ASC", ">")
    if query.after is not None:
        where.append(f"({time}, {row}) {sign} (?, ?)")
        values += query.after
    joined = "" if lead == "marks" else " LEFT JOIN marks m ON m.event = e.id"
    distinct = "DISTINCT " if lead == "zones" and len(query.zones) > 1 else ""
    sql = f"SELECT {distinct}{columns} FROM {tables}{joined}"
    if where:
        sql += " WHERE " + " AND ".join(where)
    sql += f" ORDER BY {time} {way}, {row} {way}"
    if query.limit is not None:
        sql += " LIMIT ?"
        values.append(query.limit)
    return Statement(sql, values)


_NAMED = {
    "zones": "z.zone", "humans": "e.human", "sources": "e.source", "runs": "e.run",
    "interactions": "e.interaction",
    "objects": "e.object", "verbs": "e.verb", "types": "e.type",
}  # fmt: skip


def _lead(query: StoreQuery) -> str | None:
    """Return which filter's index is followed."""
    if query.zones:
        return "zones"
    if query.labels or query.starred:
        return "marks"
    return next((name for name in ("humans", "interactions", "objects", "sources") if getattr(query, name)), None)


def milliseconds(moment: datetime) -> int:
    """Return a time as stored."""
    return int(moment.timestamp() * 1000)
