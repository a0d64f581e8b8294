"""The tables of an event store, and how an older file becomes a newer one."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hoiclip.errors import InputError

APPLICATION_ID: Final = 0x686F6973  # "hois": what `file` and others may know the file by

# Texts that come again and again (sources, words, zones) are numbers. Times are milliseconds since 1970.
_EVENTS = """
CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE events (
  id INTEGER PRIMARY KEY,               -- in the order of arrival
  event_id BLOB NOT NULL,
  time_ms INTEGER NOT NULL,             -- of capture, else of publication
  source INTEGER NOT NULL, run INTEGER NOT NULL, type INTEGER NOT NULL,
  interaction INTEGER, verb INTEGER, object INTEGER, human INTEGER,
  body BLOB NOT NULL                    -- the event's JSON, deflated with a dictionary of its own
) STRICT;
CREATE UNIQUE INDEX events_by_id ON events (event_id);
CREATE INDEX events_by_time ON events (time_ms);
CREATE INDEX events_by_source ON events (source, time_ms);
CREATE INDEX events_by_interaction ON events (interaction, time_ms) WHERE interaction IS NOT NULL;
CREATE INDEX events_by_object ON events (object, time_ms) WHERE object IS NOT NULL;
CREATE INDEX events_by_human ON events (human, source, run, time_ms) WHERE human IS NOT NULL;
CREATE TABLE event_zones (
  zone INTEGER NOT NULL, time_ms INTEGER NOT NULL, event INTEGER NOT NULL,
  PRIMARY KEY (zone, time_ms, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX zones_by_event ON event_zones (event);
"""

_MARKS = """
CREATE TABLE marks (                    -- what people say about events; marks of forgotten events go with them
  event INTEGER PRIMARY KEY REFERENCES events (id) ON DELETE CASCADE,
  starred INTEGER NOT NULL DEFAULT 0,
  label TEXT
) STRICT;
CREATE INDEX marks_by_label ON marks (label) WHERE label IS NOT NULL;
"""

MIGRATIONS: Final[Sequence[str]] = (_EVENTS, _MARKS)
"""Each brings a file one version on; they are only ever added to."""


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the file to the newest version, in one transaction.

    Raises InputError for a file of a newer release, and for a database that is no event store.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if tables and application != APPLICATION_ID:
            raise InputError(f"store {path}: a database of something else; give a path of its own")
        if version > len(MIGRATIONS):
            raise InputError(
                f"store {path}: version {version}, this release knows {len(MIGRATIONS)}; use the newer hoistream"
            )
        for script in MIGRATIONS[version:]:
            for statement in _statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> list[str]:
    """Return the statements of a script: `executescript` would commit between them."""
    lines = [line.split("--", 1)[0] for line in script.splitlines()]
    return [statement for statement in "\n".join(lines).split(";") if statement.strip()]
