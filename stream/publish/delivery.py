"""Carry records from the spool to one Redis sink, in order, for as long as it takes."""

from __future__ import annotations

import logging
import time
import uuid

from hoiclip.hashes import short_hash
from stream.backoff import Backoff
from stream.publish.carrying import Carrier, Every, LossReport, SinkCondition, Spooling
from stream.publish.records import Record
from stream.publish.redis_sink import Gone, RedisSink, SinkDownError, SinkFullError, SinkLostError
from stream.publish.spool import SpoolFullError

logger = logging.getLogger(__name__)

_MOST, _FEWEST = 1000, 10  # records sent before their replies are read; fewer after a failure, for slow networks
_LOOK_EVERY_S = 1.0
_TRIM_EVERY_S = 5.0
_QUIET_S = 60.0  # a server that has lost nothing for so long is trusted again


class Delivery(Carrier):
    """A thread that sends what the spool holds to a Redis stream.

    Starts at the oldest record kept, not at the last acknowledged one: the server's script ignores what it has, and
    what it lost while this process was away comes back.
    """

    def __init__(self, spooling: Spooling, sink: RedisSink) -> None:
        super().__init__(spooling, sink.label, short_hash(sink.label))
        self.held_by = ""  # the consumer group that kept entries from being trimmed when the server was last full
        self.sink = sink
        self._batch = _MOST
        self._look = Every(_LOOK_EVERY_S, at_once=True)  # what is deleted before the first look is nobody's loss
        self._trim = Every(_TRIM_EVERY_S)
        self._waits = Backoff(0.05, 2.0)
        self._replay_waits = Backoff(0.1, 30.0)
        self._lost_s = -_QUIET_S  # when the server last lost something
        self._untold = Gone(0, "")  # deleted by others, and not yet on the disk as a loss
        self._replay_until = -1  # the record up to which a replay goes

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
            self._tell(loss)
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
        self._save_now_and_then()

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
        self._look = Every(_LOOK_EVERY_S, at_once=True)
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

    def _report_unrecoverable(self) -> None:
        count, self.sink.unrecoverable = self.sink.unrecoverable, 0
        if count:
            why = f"{self.sink.label} lost {count} events that the spool keeps no more"
            self._report_loss(LossReport(count, "stream", "deleted", why, _unique()))

    def _report(self, condition: SinkCondition, error: str) -> None:
        if condition == "redis_full" and self.held_by:
            error += f" (held back by `{self.held_by}`)"
        super()._report(condition, error)

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
