"""Carry records from the spool to a sink that only has to take them: an event store, a webhook.

A Redis stream, which may forget what it took, has `delivery.py` for itself.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from hoiclip.errors import HoistreamError
from hoiclip.hashes import short_hash
from stream.backoff import Backoff
from stream.publish.carrying import Carrier, Every, SinkCondition, Spooling
from stream.publish.cursor import cursor_path
from stream.publish.records import Record
from stream.publish.spool import SpoolFullError
from stream.redaction import redact

logger = logging.getLogger(__name__)

_READ = 1000  # records read at once
_LOOK_EVERY_S = 5.0
_MOST_REFUSALS = 3  # of one record, by a sink that answers
MOST_DEAD_BYTES = 64 << 20  # of a file of dead letters; then it becomes `.1`, in the place of the one before


class SpooledSinkDownError(HoistreamError):
    """The sink takes nothing for now; the same records may be sent again."""


class SpooledSinkRefusedError(HoistreamError):
    """The sink answered that it does not take this record."""


class SpooledSink(Protocol):
    """Takes records in order, from one thread; taking one again does no harm."""

    @property
    def label(self) -> str:
        """Names it among the sinks, without secrets."""
        ...

    @property
    def max_batch(self) -> int:
        """Most records that `append` takes."""
        ...

    @property
    def give_up_s(self) -> float | None:
        """How long a record is tried before it is a dead letter; None for as long as it takes."""
        ...

    @property
    def from_now(self) -> bool:
        """Whether it wants nothing from before its first start."""
        ...

    def append(self, records: Sequence[Record]) -> int:
        """Take records; return how many were new. Raises SpooledSinkDownError, SpooledSinkRefusedError."""
        ...

    def look_after(self) -> None:
        """Called every few seconds."""
        ...

    def close(self) -> None:
        """Let go; safe to call twice."""
        ...


class SpooledDelivery(Carrier):
    """A thread that sends what the spool holds to a sink, from where it was."""

    def __init__(self, spooling: Spooling, sink: SpooledSink) -> None:
        name = short_hash(sink.label)
        is_new = not cursor_path(spooling.spool.directory, name).exists()
        super().__init__(spooling, sink.label, name)
        self._sink = sink
        if is_new and sink.from_now:
            self._cursor.record = self._spool.end.record
        self._cursor.save()
        self._dead_path = self._spool.directory / f"{name}.dead.jsonl"
        self._look = Every(_LOOK_EVERY_S)
        self._waits = Backoff(0.1, 30.0)
        self._is_sending = False
        self._hurried = threading.Event()

    def hurry(self) -> None:
        """There is no room for new events: put aside what cannot be delivered now."""
        self._hurried.set()

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._step()
            except (SpoolFullError, OSError) as error:
                self._report("spool_unreadable", f"spool: cannot be read ({error}); events wait on disk")
                self._pause(self._waits.next())

    def _step(self) -> None:
        self._look_after()
        behind = self._cursor.record - self._at.record  # what the sink has had
        reading = self._spool.read(self._at, min(_READ, behind) if behind > 0 else _READ)
        for loss in reading.losses:
            self._tell(loss)
        records = self._unpacked(reading) if behind <= 0 else []
        is_whole = len(records) == len(reading.records) and not reading.losses
        size = self._sink.max_batch
        for start in range(0, len(records), size):
            part = records[start : start + size]
            if not self._deliver(part):
                return  # stopped: the part is sent again at the next start
            if is_whole:  # else places do not follow from counts
                self._acknowledge(self._at.record + start + len(part))
        self._at = reading.after
        self._acknowledge(max(self._cursor.record, reading.after.record))
        if not reading.records:
            self._wait()

    def _deliver(self, part: Sequence[Record]) -> bool:
        """Send records until the sink has them or they are put aside; False when stopped before."""
        began_s = time.monotonic()
        self._is_sending = True
        try:
            return self._try(part, began_s)
        finally:
            self._is_sending = False

    def _try(self, part: Sequence[Record], began_s: float) -> bool:
        refusals = 0
        while not self._stopping:
            try:
                self.added += self._sink.append(part)
            except SpooledSinkRefusedError as error:
                refusals += 1
                if refusals >= _MOST_REFUSALS and self._put_aside(part, error):
                    return True
                self._report("sink_down", str(error))
            except SpooledSinkDownError as error:
                give_up_s = self._sink.give_up_s
                is_over = give_up_s is not None and (self._hurried.is_set() or time.monotonic() - began_s >= give_up_s)
                if is_over and self._put_aside(part, error):
                    return True
                self._report("sink_down", str(error))
            else:
                self._waits.reset()
                self._hurried.clear()
                self._report("ok", "")
                return True
            self._look_after()
            self._pause(self._waits.next())
        return False

    def _put_aside(self, part: Sequence[Record], error: HoistreamError) -> bool:
        """Write records to the dead letters; False where that cannot be."""
        now = datetime.now(UTC).isoformat()
        lines = [
            json.dumps({"time": now, "error": redact(error), "event": json.loads(record.json)}, ensure_ascii=False)
            for record in part
        ]
        try:
            if self._dead_path.exists() and self._dead_path.stat().st_size > MOST_DEAD_BYTES:
                self._dead_path.replace(_older(self._dead_path))
            with self._dead_path.open("a", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
        except OSError as failure:
            logger.warning("%s: dead letters cannot be written (%s)", self._sink.label, failure.strerror)
            return False
        self.dead += len(part)
        logger.error("%s: %d events put aside in %s: %s", self._sink.label, len(part), self._dead_path, redact(error))
        return True

    def _look_after(self) -> None:
        self._save_now_and_then()
        if self._look.is_due:
            try:
                self._sink.look_after()
            except HoistreamError as error:
                self._report("sink_down", str(error))
            else:
                if not self._is_sending:
                    self._report("ok", "")
            self._look.done()

    def _report(self, condition: SinkCondition, error: str) -> None:
        super()._report(condition, redact(error))

    def _is_urgent(self) -> bool:
        return self._stopping or self._hurried.is_set()

    def close(self, deadline: float) -> None:
        """Remember the place and let go of the sink; what is under way at `deadline` (monotonic) is left to end."""
        self.stop()
        if self.worker.join(deadline - time.monotonic()):
            self._sink.close()
        self._cursor.save()


def _older(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")
