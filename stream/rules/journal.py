"""The rules' memory over restarts: a record of it now and then, and the events since."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from pathlib import Path

from hoiclip.closing import Closing
from hoiclip.errors import InputError
from stream.events.schema import AlertEvent, Event, parse_event
from stream.rules.engine import RulesEngine

logger = logging.getLogger(__name__)

RECORD_EVERY_S = 10.0
RECORD_EVERY_EVENTS = 1000
_ALERT = b"="  # begins a line with the id of an alert that was published; others begin with an event's `{`


class RulesJournal(Closing):
    """Keep an engine's memory in a folder. One process at a time; used from one thread.

    An event is in the journal before it is judged, and an alert's id once it is published. So after `kill -9` the
    events since the last record are judged again, and the alerts among them that were published are known. Nothing is
    synced: after a power cut the rules may begin anew, which loses no event.
    """

    def __init__(self, engine: RulesEngine, folder: Path) -> None:
        """Claim `folder`. Raises InputError when another process has it, or it cannot be written."""
        self._engine = engine
        self._record_path, self._events_path = folder / "rules.json", folder / "rules.events"
        self._noted, self._recorded_s = 0, time.monotonic()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock_fd = os.open(folder / "rules.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._fd = os.open(self._events_path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            except OSError:
                os.close(self._lock_fd)
                raise
        except BlockingIOError:
            raise InputError(f"{folder}: in use by another process; give each run its own `spool_dir`") from None
        except OSError as error:
            raise InputError(f"{folder}: cannot be written ({error.strerror}); set `spool_dir`") from error

    def recover(self) -> list[AlertEvent]:
        """Take over what an earlier process left; return its alerts that were not published. `record` once they are."""
        self._restore_record()
        alerts: list[AlertEvent] = []
        published: set[str] = set()
        for line in self._lines():
            if line.startswith(_ALERT):
                published.add(line[1:].decode(errors="replace"))
                continue
            try:
                event = parse_event(line)
            except ValueError as error:  # the last line of a killed writer, or an event of a newer release
                logger.warning("%s: a line is no event: %s", self._events_path, str(error).splitlines()[0])
                continue
            alerts += self._engine.take(event)
        alerts += self._engine.finish()  # nobody is slower than who is dead
        self._engine.restarted()
        return [alert for alert in alerts if alert.event_id not in published]

    def take(self, event: Event) -> list[AlertEvent]:
        """Note an event and judge it; give every alert that this returns to `published` once it is."""
        self._append(event.model_dump_json().encode())
        alerts = self._engine.take(event)
        self._noted += 1
        if not alerts:
            self._record_now_and_then()
        return alerts

    def published(self, alert: AlertEvent) -> None:
        """Note that an alert is published."""
        self._append(_ALERT + alert.event_id.encode())

    def close(self) -> None:
        """Keep the memory for the next start; safe to call twice."""
        if self._fd >= 0:
            self.record()
            os.close(self._fd)
            os.close(self._lock_fd)
            self._fd = self._lock_fd = -1

    def _record_now_and_then(self) -> None:
        due = time.monotonic() - self._recorded_s >= RECORD_EVERY_S and self._noted > 0
        if due or self._noted >= RECORD_EVERY_EVENTS:
            self.record()

    def record(self) -> None:
        """Keep the memory as it is now. Killed in between, events are judged twice, of which their `seq` takes care."""
        part = self._record_path.with_suffix(".part")
        try:
            part.write_text(json.dumps(self._engine.record()), encoding="utf-8")
            part.replace(self._record_path)
            os.ftruncate(self._fd, 0)
        except OSError as error:  # a full disk: the journal goes on growing
            logger.warning("%s: not written (%s)", self._record_path, error.strerror)
        self._noted, self._recorded_s = 0, time.monotonic()

    def _append(self, line: bytes) -> None:
        try:
            os.write(self._fd, line + b"\n")
        except OSError as error:  # rules go on; a crash would cost what is not in the journal
            logger.warning("%s: not written (%s)", self._events_path, error.strerror)

    def _restore_record(self) -> None:
        try:
            self._engine.restore(json.loads(self._record_path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s: cannot be read (%s); the rules begin without memory", self._record_path, error)

    def _lines(self) -> list[bytes]:
        size = os.fstat(self._fd).st_size
        return [line for line in os.pread(self._fd, size, 0).split(b"\n") if line]
