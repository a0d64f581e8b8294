"""Carry records from the spool to one Redis sink, in order, for as long as it takes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Literal

from hoiclip.errors import HoistreamError
from hoiclip.hashes import short_hash
from stream.publish.records import Record
from stream.publish.redis_sink import RedisSink, SinkDownError, SinkFullError, SinkLostError
from stream.publish.spool import Cursor, Spool

logger = logging.getLogger(__name__)

SinkCondition = Literal["ok", "redis_down", "redis_full"]

_BATCH = 1000  # records sent before their replies are read
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.05, 2.0
_VERIFY_EVERY_S = 1.0
_TRIM_EVERY_S = 5.0
_SAVE_EVERY_S = 0.2


class Delivery:
    """A thread that sends what `spool` holds to `sink`; `changed` is notified at each step and when it should look.

    Starts at the oldest record kept, not at the last acknowledged one: the server's script ignores what it has, and
    what it lost while this process was away comes back.
    """

    def __init__(self, spool: Spool, sink: RedisSink, changed: threading.Condition, forget: Callable[[], None]) -> None:
        self.condition: SinkCondition = "ok"
        self.error = ""
        self.held_by = ""  # the consumer group that kept entries from being trimmed when the server was last full
        self.added = 0  # entries new to the server
        self.replays = 0  # how often the server had lost events
        self.failure: BaseException | None = None  # what ended the thread, if anything did
        self.sink = sink
        self._spool = spool
        self._cursor = Cursor(spool, short_hash(sink.label))
        self._at = spool.oldest
        self._changed = changed
        self._forget = forget  # called now and then: deletes what every delivery has acknowledged
        self._stopping = False
        self._saved = self._verified = self._trimmed = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    @property
    def acknowledged(self) -> int:
        """Records the sink has, counted since the spool was made."""
        return self._cursor.position.record

    def _run(self) -> None:
        wait_s = _FIRST_WAIT_S
        try:
            while not self._stopping:
                try:
                    self._step()
                    wait_s = _FIRST_WAIT_S
                except SinkLostError as error:
                    self._start_again(error)
                except (SinkDownError, SinkFullError) as error:
                    self._report("redis_full" if isinstance(error, SinkFullError) else "redis_down", str(error))
                    self._pause(wait_s)
                    wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        except BaseException as error:  # a bug must not end in silence: `Publisher.publish` raises it
            self.failure = error
            logger.exception("%s: delivery stopped", self.sink.label)
        finally:
            with self._changed:
                self._changed.notify_all()

    def _step(self) -> None:
        """Send one batch, or look after the stream while there is none."""
        payloads, after = self._spool.read(self._at, _BATCH)
        if payloads:
            self._send([Record.unpack(payload) for payload in payloads])
            self._at = after
            if after.record > self.acknowledged:
                self._cursor.position = after
            self._report("ok", "")
            with self._changed:
                self._changed.notify_all()
        elif self._due("_verified", _VERIFY_EVERY_S):
            self.sink.verify()
            self._report("ok", "")
        if self._due("_trimmed", _TRIM_EVERY_S):
            self.sink.trim()
        if self._due("_saved", _SAVE_EVERY_S):
            self._cursor.save()
            self._forget()
        if not payloads:
            with self._changed:
                if not self._stopping and self._spool.durable.record <= self._at.record:
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
        """The server lost events: what is still kept goes out again, and counts as unacknowledged until it has."""
        logger.warning("%s", error)
        self.replays += 1
        self.sink.rewind()
        self._at = self._cursor.position = self._spool.oldest

    def _report(self, condition: SinkCondition, error: str) -> None:
        if condition == "redis_full" and self.held_by:
            error += f" (held back by `{self.held_by}`)"
        if condition != self.condition:
            logger.warning("%s", error or f"{self.sink.label}: delivering again")
        self.condition, self.error = condition, error

    def _due(self, clock: str, every_s: float) -> bool:
        now = time.monotonic()
        if now - getattr(self, clock) < every_s:
            return False
        setattr(self, clock, now)
        return True

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        with self._changed:
            while not self._stopping and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)

    def close(self) -> None:
        """Stop after the batch at hand and remember the place."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()
        self._cursor.save()
        self.sink.close()

    def raise_failure(self) -> None:
        """Raise what ended the thread, if anything did."""
        if self.failure is not None:
            raise HoistreamError(f"{self.sink.label}: delivery stopped: {self.failure}") from self.failure
