"""What every delivery does: read the spool, remember how far its sink is, tell what cannot be read, and stop."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from stream.publish.cursor import Cursor
from stream.publish.positions import Loss, Reading
from stream.publish.records import Record
from stream.publish.spool import Spool
from stream.publish.worker import Worker

logger = logging.getLogger(__name__)

SinkCondition = Literal["ok", "redis_down", "redis_full", "sink_down", "spool_unreadable"]

SAVE_EVERY_S = 0.2
_TELL_S = 2.0  # how long a loss may take to reach the disk; a full one must not hold up what would empty it


@dataclass(frozen=True)
class LossReport:
    """Events that were lost, for an `events_lost` event."""

    count: int
    where: Literal["spool", "stream"]
    reason: str
    why: str
    key: str  # equal where two deliveries, or two starts, report the same loss


class Every:
    """Something to be done every so many seconds."""

    def __init__(self, seconds: float, *, at_once: bool = False) -> None:
        self._seconds = seconds
        self._last = time.monotonic() - (seconds if at_once else 0.0)

    @property
    def is_due(self) -> bool:
        """Whether the time has come; `done` starts it anew."""
        return time.monotonic() - self._last >= self._seconds

    def done(self) -> None:
        """Start anew."""
        self._last = time.monotonic()


@dataclass(frozen=True)
class Spooling:
    """The spool that deliveries share, and what they tell its publisher."""

    spool: Spool
    changed: threading.Condition  # notified at each step and when a delivery should look
    forget: Callable[[], None]  # called now and then: deletes what every delivery has acknowledged
    report: Callable[[LossReport], bool]  # called again and again until it says that the loss is on the disk


class Carrier(ABC):
    """A thread that carries the records of a spool to one sink. Subclasses send; this is what is around it."""

    def __init__(self, spooling: Spooling, label: str, name: str) -> None:
        """`label` names the sink in messages, `name` its cursor."""
        self.condition: SinkCondition = "ok"
        self.error = ""
        self.added = 0  # events new to the sink
        self.replays = 0  # how often the sink had lost events
        self.dead = 0  # events put aside
        self.moved_s = time.monotonic()  # when the acknowledged place last moved, or there was nothing to move for
        self.worker = Worker(f"delivery to {label}", self._run, self._notify)
        self._label = label
        self._spool, self._changed = spooling.spool, spooling.changed
        self._forget, self._report_loss = spooling.forget, spooling.report
        self._cursor = Cursor(self._spool, name)
        self._at = self._spool.oldest
        self._save = Every(SAVE_EVERY_S)
        self._stopping = False

    @abstractmethod
    def _run(self) -> None:
        """Carry until `_stopping`."""

    @abstractmethod
    def close(self, deadline: float) -> None:
        """Remember the place and let go of the sink by `deadline` (monotonic)."""

    def hurry(self) -> None:  # noqa: B027  # a server that is away keeps what waits for it
        """There is no room for new events: put aside what can be put aside."""

    def stop(self) -> None:
        """Stop after the records at hand."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    @property
    def acknowledged(self) -> int:
        """How many records the sink has, counted since the spool was made."""
        return self._cursor.record

    def _acknowledge(self, record: int) -> None:
        """The sink has everything up to `record`, unless it is behind that anyway."""
        if record > self._cursor.record:
            self._cursor.record = record
            self.moved_s = time.monotonic()
        self._notify()

    def _save_now_and_then(self) -> None:
        if self._save.is_due:
            self._cursor.save()
            self._forget()
            self._save.done()

    def _unpacked(self, reading: Reading) -> list[Record]:
        """Return the records that were read; one that is none of ours is lost, and must not stop those behind it."""
        records = []
        for payload in reading.records:
            try:
                records.append(Record.unpack(payload))
            except ValueError as error:
                logger.error("spool %s: a record is none of ours: %s", self._spool.directory, error)
        if strange := len(reading.records) - len(records):
            self._tell(Loss(reading.after.record - strange, strange, "damaged"))
        return records

    def _tell(self, loss: Loss) -> None:
        """Report records that cannot be read, unless the sink has them; return once the report is on the disk.

        The place behind them is acknowledged, and remembered, only then: whoever is killed before finds them again.
        """
        first = max(loss.first, self.acknowledged)
        count = loss.first + loss.count - first
        if count <= 0:
            return
        why = f"{count} events of the spool {self._spool.directory} cannot be read: {loss.reason}"
        report = LossReport(count, "spool", loss.reason, why, f"{self._spool.identity} {first} {count}")
        end = time.monotonic() + _TELL_S
        while not self._report_loss(report) and not self._stopping and time.monotonic() < end:
            with self._changed:
                self._changed.wait(0.02)

    def _report(self, condition: SinkCondition, error: str) -> None:
        if condition != self.condition:
            logger.warning("%s", error or f"{self._label}: delivering again")
        self.condition, self.error = condition, error

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _wait(self) -> None:
        """Wait for records."""
        with self._changed:
            if self._spool.end.record <= self._at.record:
                self.moved_s = time.monotonic()  # there is nothing to move for
            if self._spool.durable <= self._at.record and not self._stopping:
                self._changed.wait(SAVE_EVERY_S)

    def _pause(self, seconds: float) -> None:
        """Wait before another try; a stop ends it."""
        end = time.monotonic() + seconds
        with self._changed:
            while not self._is_urgent() and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)

    def _is_urgent(self) -> bool:
        return self._stopping
