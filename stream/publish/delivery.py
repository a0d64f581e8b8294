"""Carry records from the spool to one Redis sink, in order, for as long as it takes."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from hoiclip.hashes import short_hash
from stream.backoff import Backoff
from stream.publish.cursor import Cursor
from stream.publish.positions import Loss, Reading
from stream.publish.records import Record
from stream.publish.redis_sink import Gone, RedisSink, SinkDownError, SinkFullError, SinkLostError
from stream.publish.spool import Spool, SpoolFullError
from stream.publish.worker import Worker

logger = logging.getLogger(__name__)

SinkCondition = Literal["ok", "redis_down", "redis_full", "sink_down", "spool_unreadable"]

_MOST, _FEWEST = 1000, 10  # records sent before their replies are read; fewer after a failure, for slow networks
_LOOK_EVERY_S = 1.0
_TRIM_EVERY_S = 5.0
_SAVE_EVERY_S = 0.2
_QUIET_S = 60.0  # a server that has lost nothing for so long is trusted again


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


class Delivery:
    """A thread that sends what `spool` holds to `sink`; `changed` is notified at each step and when it should look.

    Starts at the oldest record kept, not at the last acknowledged one: the server's script ignores what it has, and
    what it lost while this process was away comes back.
    """

    def __init__(
        self,
        spool: Spool,
        sink: RedisSink,
        changed: threading.Condition,
        *,
        forget: Callable[[], None],
        report: Callable[[LossReport], bool],  # called again and again until it says that the loss is on the disk
    ) -> None:
        self.condition: SinkCondition = "ok"
        self.error = ""
        self.held_by = ""  # the consumer group that kept entries from being trimmed when the server was last full
        self.added = 0  # entries new to the server
        self.replays = 0  # how often the server had lost events
        self.dead = 0  # a server takes every event in the end
        self.moved_s = time.monotonic()  # when the acknowledged place last moved, or there was nothing to move for
        self.sink = sink
        self._spool = spool
        self._cursor = Cursor(spool, short_hash(sink.label))
        self._at = spool.oldest
        self._batch = _MOST
        self._changed = changed
        self._forget = forget  # called now and then: deletes what every delivery has acknowledged
        self._report_loss = report
        self._stopping = False
        self._look = Every(_LOOK_EVERY_S, at_once=True)  # what is deleted before the first look is nobody's loss
        self._trim, self._save = Every(_TRIM_EVERY_S), Every(_SAVE_EVERY_S)
        self._waits = Backoff(0.05, 2.0)
        self._replay_waits = Backoff(0.1, 30.0)
        self._lost_s = -_QUIET_S  # when the server last lost something
        self._untold = Gone(0, "")  # deleted by others, and not yet on the disk as a loss
        self._replay_until = -1  # the record up to which a replay goes
        self.worker = Worker(f"delivery to {sink.label}", self._run, self._notify)

    @property
    def acknowledged(self) -> int:
        """How many records the sink has, counted since the spool was made."""
        return self._cursor.record

    def hurry(self) -> None:
        """There is no room for new events; a server that is away keeps what waits for it."""

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._step()
                self._waits.reset()
            except SinkLostError as error:
                self._start_again(error)
            except (SinkDownError, SinkFullError, SpoolFullError, OSError) as error:
                self._batch = max(_FEWEST, self._batch // 2)
                self._report(*_condition(error))
                self._pause(self._waits.next())

    def _step(self) -> None:
        """Send one batch, and look after the stream now and then."""
        self._look_after()
        reading = self._spool.read(self._at, self._batch)
        for loss in reading.losses:
            self._report_unread(loss)
        if reading.records:
            records = self._unpacked(reading)
            self.sink.meet(records[: max(0, self.acknowledged - self._at.record)])
            self._send(records)
        if reading.after != self._at:
            self._at = reading.after
            self._acknowledge(reading.after.record)
        if self._at.record >= self._replay_until >= 0:
            self.sink.settle()
            self._report_unrecoverable()
            self._replay_until = -1
        self._report("ok", "")
        self._batch = min(_MOST, 2 * self._batch)
        if not reading.records:
            self._wait()

    def _unpacked(self, reading: Reading) -> list[Record]:
        """Return the records that were read; one that is none of ours is lost, and must not stop those behind it."""
        records = []
        for payload in reading.records:
            try:
                records.append(Record.unpack(payload))
            except ValueError as error:
                logger.error("spool %s: a record is none of ours: %s", self._spool.directory, error)
        if strange := len(reading.records) - len(records):
            self._report_unread(Loss(reading.after.record - strange, strange, "damaged"))
        return records

    def _acknowledge(self, record: int) -> None:
        """The sink has everything up to `record`; a replay is acknowledged only once it has caught up."""
        if record > self.acknowledged:
            self._cursor.record = record
            self.moved_s = time.monotonic()
        self._notify()

    def _look_after(self) -> None:
        if self._look.is_due:
            gone = self.sink.look()
            self._look.done()
            self._untold = self._untold or gone
            if self._untold and self._report_loss(self._deletion(self._untold)):  # it is on the disk
                self.sink.look(self._untold)
                self._untold = Gone(0, "")
        if self._trim.is_due:
            self.sink.trim()
            self._trim.done()
        if self._save.is_due:
            self._cursor.save()
            self._forget()
            self._save.done()

    def _wait(self) -> None:
        with self._changed:
            if self._spool.end.record <= self._at.record:
                self.moved_s = time.monotonic()  # there is nothing to move for
            if self._spool.durable <= self._at.record and not self._stopping:
                self._changed.wait(_SAVE_EVERY_S)

    def _send(self, records: list[Record]) -> None:
        try:
            self.added += self.sink.append(records)
        except SinkFullError:
            freed = self.sink.make_room()
            self.held_by = freed.held_by
            if not freed.removed:
                raise
            self.added += self.sink.append(records)

    def _start_again(self, error: SinkLostError) -> None:
        """The server lost events: what is still kept goes out again, and counts as unacknowledged until it has.

        A server that loses events again and again, such as one that evicts, is not driven in circles.
        """
        now = time.monotonic()
        if now - self._lost_s > _QUIET_S:
            self._replay_waits.reset()
        self._lost_s = now
        logger.warning("%s", error)
        self.replays += 1
        self.sink.rewind()
        self._replay_until = max(self._replay_until, self.acknowledged)
        self._at = self._spool.oldest
        self._cursor.record = self._at.record
        if self._replay_waits.attempt:
            self._report("redis_full" if self.sink.evicts else "redis_down", str(error))
        self._pause(self._replay_waits.next())

    def _deletion(self, gone: Gone) -> LossReport:
        why = f"{gone.entries} entries were deleted from {self.sink.label} by something other than hoistream"
        why += "; `hoistream replay` sends what is kept"
        return LossReport(gone.entries, "stream", "deleted", why, gone.key)

    def _report_unread(self, loss: Loss) -> None:
        """Report records that cannot be read, unless the sink has them."""
        first = max(loss.first, self.acknowledged)
        count = loss.first + loss.count - first
        if count > 0:
            key = f"{self._spool.identity} {first} {count}"
            why = f"{count} events of the spool {self._spool.directory} cannot be read: {loss.reason}"
            self._report_loss(LossReport(count, "spool", loss.reason, why, key))

    def _report_unrecoverable(self) -> None:
        count, self.sink.unrecoverable = self.sink.unrecoverable, 0
        if count:
            why = f"{self.sink.label} lost {count} events that the spool keeps no more"
            self._report_loss(LossReport(count, "stream", "deleted", why, _unique()))

    def _report(self, condition: SinkCondition, error: str) -> None:
        if condition == "redis_full" and self.held_by:
            error += f" (held back by `{self.held_by}`)"
        if condition != self.condition:
            logger.warning("%s", error or f"{self.sink.label}: delivering again")
        self.condition, self.error = condition, error

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        with self._changed:
            while not self._stopping and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)

    def stop(self) -> None:
        """Stop after the batch at hand."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def close(self, deadline: float) -> None:
        """Let go of the server and remember the place; what is under way at `deadline` (monotonic) is given up."""
        self.stop()
        if not self.worker.join(deadline - time.monotonic()):
            self.sink.abort()
            self.worker.join(0.2)
        self._cursor.save()
        self.sink.close()


def _unique() -> str:
    """Return the key of a loss that the server's account reports once: an equal one later is another one."""
    return uuid.uuid4().hex


def _condition(error: Exception) -> tuple[SinkCondition, str]:
    if isinstance(error, SinkDownError):
        return "redis_down", str(error)
    if isinstance(error, SinkFullError):
        return "redis_full", str(error)
    return "spool_unreadable", f"spool: cannot be read ({error}); events wait on disk"
