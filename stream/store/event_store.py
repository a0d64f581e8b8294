"""An event store: events in, each once; events out, by who, what, where and when."""

from __future__ import annotations

import logging
import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import from_json

from hoiclip.closing import Closing
from hoiclip.errors import HoistreamError, InputError
from stream.events.schema import Event, UnknownEventTypeError, parse_event
from stream.store.bodies import pack_body, unpack_body
from stream.store.migrations import migrate
from stream.store.queries import Place, StoreQuery, milliseconds, statement_of

logger = logging.getLogger(__name__)

BUSY_S = 5.0  # how long one writer waits for another
_CACHE_KIB = 65536
_HEX = re.compile(r"[0-9a-f]{20}")
_PAGE = 1000  # rows read or forgotten at once


@dataclass(frozen=True, kw_only=True)
class StoreLimits:
    """How much is kept; what is starred stays, and counts."""

    days: float | None = None
    rows: int | None = None
    max_bytes: int | None = None  # of the tables; what is free inside the file is used again


class StoredEvent(NamedTuple):
    """An event and what people said about it."""

    place: Place
    event: Event
    starred: bool
    label: str | None


class EventStore(Closing):
    """One SQLite file in WAL mode: one writer at a time, any number of readers, which never wait for it.

    What `add` took survives `kill -9` once it returns; `sync` puts it where it survives a power cut. For several
    threads. Raises InputError when the file cannot be opened, is no event store or is one of a newer release;
    HoistreamError when the disk is full or another writer holds it.
    """

    def __init__(self, path: Path, limits: StoreLimits | None = None, *, read_only: bool = False) -> None:
        self.path, self._limits = path, limits or StoreLimits()
        self._lock = threading.RLock()
        self._names: dict[str, int] = {}
        self._num_rows: int | None = None  # once somebody asked
        if read_only and not path.exists():
            raise InputError(f"store {path}: does not exist")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise InputError(f"store {path}: cannot be opened: {error}") from error
        try:
            for pragma in ("foreign_keys = ON", f"cache_size = -{_CACHE_KIB}", "synchronous = NORMAL"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.execute("PRAGMA journal_mode = WAL")
            migrate(self._connection, path)
            if read_only:
                self._connection.execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            self._connection.close()
            raise InputError(f"store {path}: cannot be opened: {error}") from error
        except BaseException:
            self._connection.close()
            raise

    # In

    def add(self, documents: Sequence[bytes]) -> int:
        """Store events as JSON, in one transaction, and return how many were new. What is no event is passed over."""
        rows = [row for row in map(_row, documents) if row is not None]
        with self._transaction():
            added = sum(self._insert(row) for row in rows)
        if self._num_rows is not None:
            self._num_rows += added
        return added

    def _insert(self, row: _Row) -> bool:
        number, connection = self._number, self._connection
        cursor = connection.execute(
            "INSERT OR IGNORE INTO events"
            " (event_id, time_ms, source, run, type, interaction, verb, object, human, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.event_id,
                row.time_ms,
                number(row.source),
                number(row.run),
                number(row.type),
                *(None if text is None else number(text) for text in (row.interaction, row.verb, row.object)),
                row.human,
                row.body,
            ),
        )
        if cursor.rowcount <= 0:
            return False
        for zone in row.zones:
            values = (number(zone), row.time_ms, cursor.lastrowid)
            connection.execute("INSERT OR IGNORE INTO event_zones VALUES (?, ?, ?)", values)
        return True

    def _number(self, name: str) -> int:
        """Return the number of a name, giving it one where it is new; inside a transaction."""
        number = self._names.get(name)
        if number is None:
            self._connection.execute("INSERT OR IGNORE INTO names (name) VALUES (?)", (name,))
            number = self._known_number(name)
            assert number is not None
            if len(self._names) > 100_000:  # run ids come and go
                self._names.clear()
            self._names[name] = number
        return number

    def _known_number(self, name: str) -> int | None:
        found = self._connection.execute("SELECT id FROM names WHERE name = ?", (name,)).fetchone()
        return None if found is None else int(found[0])

    def mark(self, event_id: str, *, starred: bool | None = None, label: str | None = None) -> bool:
        """Star an event or take the star away, and say what it is (an empty label takes that away).

        Returns whether the event is there. Starred events are kept.
        """
        with self._transaction():
            found = self._connection.execute("SELECT id FROM events WHERE event_id = ?", (_key(event_id),)).fetchone()
            if found is None:
                return False
            self._connection.execute("INSERT OR IGNORE INTO marks (event) VALUES (?)", found)
            if starred is not None:
                self._connection.execute("UPDATE marks SET starred = ? WHERE event = ?", (int(starred), *found))
            if label is not None:
                self._connection.execute("UPDATE marks SET label = ? WHERE event = ?", (label or None, *found))
            return True

    # Out

    def find(self, query: StoreQuery | None = None) -> list[StoredEvent]:
        """Return one page of events; kinds of events of a newer release are passed over."""
        with self._lock, _translated(self.path):
            sql, values = statement_of(query or StoreQuery(), self._known_number)
            rows = self._connection.execute(sql, values).fetchall()
        return [stored for stored in map(self._stored, rows) if stored is not None]

    def all(self, query: StoreQuery) -> Iterator[StoredEvent]:
        """Yield every event of a query, page by page, up to its limit; others may write meanwhile."""
        left = query.limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(_PAGE, left)
            with self._lock, _translated(self.path):
                sql, values = statement_of(replace(query, limit=size), self._known_number)
                rows = self._connection.execute(sql, values).fetchall()
            for row in rows:
                if (stored := self._stored(row)) is not None:
                    yield stored
            if len(rows) < size:
                return
            query = replace(query, after=Place(rows[-1][1], rows[-1][0]))
            left = None if left is None else left - len(rows)

    def count(self) -> int:
        """Return how many events there are."""
        with self._lock, _translated(self.path):
            return int(self._connection.execute("SELECT count(*) FROM events").fetchone()[0])

    def _stored(self, row: tuple[int, int, bytes, int, str | None]) -> StoredEvent | None:
        number, time_ms, body, starred, label = row
        try:
            event = parse_event(unpack_body(body))
        except UnknownEventTypeError as error:
            logger.debug("store %s: %s", self.path, error)
            return None
        return StoredEvent(Place(time_ms, number), event, bool(starred), label)

    # Keeping

    @property
    def num_bytes(self) -> int:
        """Size of the tables, without what is free in the file."""
        with self._lock, _translated(self.path):
            pages, free, size = (
                self._connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        return int((pages - free) * size)

    def forget_old(self, most: int = 20 * _PAGE) -> int:
        """Forget the oldest events beyond the limits, at most `most` in one call; return how many went."""
        gone = 0
        while gone < most and (number := self._forget_page()):
            gone += number
        return gone

    def _forget_page(self) -> int:
        limits = self._limits
        if number := self._too_many():
            return self._forget("1", (min(_PAGE, number),))
        if limits.days is not None:
            return self._forget("e.time_ms < ?", (int((time.time() - limits.days * 86400) * 1000), _PAGE))
        return 0

    def _too_many(self) -> int:
        """Return how many events are to go for their number or size."""
        limits = self._limits
        if limits.rows is not None:
            if self._num_rows is None:
                self._num_rows = self.count()  # slow over millions, so it is kept from then on
            if self._num_rows > limits.rows:
                return self._num_rows - limits.rows
        is_large = limits.max_bytes is not None and self.num_bytes > limits.max_bytes
        return _PAGE if is_large else 0

    def _forget(self, condition: str, values: tuple[int, ...]) -> int:
        """Forget the oldest events that are not starred and meet `condition`."""
        with self._transaction():
            rows = self._connection.execute(
                f"SELECT id FROM events e WHERE {condition}"
                " AND NOT EXISTS (SELECT 1 FROM marks m WHERE m.event = e.id AND m.starred = 1)"
                " ORDER BY e.time_ms LIMIT ?",
                values,
            ).fetchall()
            self._connection.executemany("DELETE FROM event_zones WHERE event = ?", rows)
            self._connection.executemany("DELETE FROM events WHERE id = ?", rows)
        if self._num_rows is not None:
            self._num_rows -= len(rows)
        return len(rows)

    def sync(self) -> None:
        """Put everything where it survives a power cut."""
        with self._lock, _translated(self.path):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Let go of the file; safe to call twice."""
        with self._lock:
            self._connection.close()

    def _transaction(self) -> _Transaction:
        return _Transaction(self._connection, self._lock, self.path, self._names)


class _translated:  # noqa: N801 - a context manager, used as a function
    """Raise what SQLite raises as HoistreamError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, sqlite3.Error):
            raise HoistreamError(f"store {self._path}: {error}") from error


class _Transaction:
    """All or nothing."""

    def __init__(
        self, connection: sqlite3.Connection, lock: threading.RLock, path: Path, names: dict[str, int]
    ) -> None:
        self._connection, self._lock, self._path, self._names = connection, lock, path, names

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._lock.release()
            raise HoistreamError(f"store {self._path}: {error}") from error

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            if error is None:
                self._connection.execute("COMMIT")
                return
            self._names.clear()  # numbers given in this transaction are none
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise HoistreamError(f"store {self._path}: {error}") from error
        except sqlite3.Error as failure:
            self._names.clear()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise HoistreamError(f"store {self._path}: {failure}") from failure
        finally:
            self._lock.release()


class _Row(NamedTuple):
    event_id: bytes
    time_ms: int
    source: str
    run: str
    type: str
    interaction: str | None
    verb: str | None
    object: str | None
    human: int | None
    zones: Sequence[str]
    body: bytes


def _row(document: bytes) -> _Row | None:
    try:
        event = from_json(document)
        when = event.get("capture_time") or event.get("published_time")
        return _Row(
            _key(event["event_id"]),
            milliseconds(datetime.fromisoformat(when)) if when else int(time.time() * 1000),
            event["source_id"],
            event["run_id"],
            event["type"],
            event.get("interaction"),
            event.get("verb"),
            event.get("object"),
            event.get("human_id"),
            event.get("zones") or (),
            pack_body(document),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("store: a record is no event: %s", str(error).splitlines()[0])
        return None


def _key(event_id: str) -> bytes:
    """Return an id as stored: half as long where it is hexadecimal, as ours are."""
    return bytes.fromhex(event_id) if _HEX.fullmatch(event_id) else b"\x00" * 11 + event_id.encode()
