"""Publish events: on disk first, then to every sink, in order per source; a full disk makes the caller wait."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from platformdirs import user_state_path

from hoiclip.closing import Closing
from hoiclip.errors import HoistreamError
from stream.events.schema import Event
from stream.publish.delivery import Delivery
from stream.publish.records import Record
from stream.publish.redis_sink import RedisSink, SinkDownError
from stream.publish.sinks import is_redis, open_direct
from stream.publish.spool import Spool, SpoolFullError, SpoolLimits

logger = logging.getLogger(__name__)

_SYNC_EVERY_S = 0.01  # records within this time share one fdatasync
_RETRY_S = 0.2  # how often a full disk is tried again


@dataclass(frozen=True)
class PublisherState:
    """How publishing stands, for health and metrics."""

    state: Literal["ok", "redis_down", "redis_full", "disk_full"]
    spooled: int  # events accepted by `publish`
    published: int  # events new to a server; replays of known ones do not count
    lag: int  # events that the slowest server does not have yet
    spool_bytes: int
    replays: int  # how often a server had lost events
    damaged: int  # spool segments with an unreadable part
    last_error: str  # one line, without passwords; "" while all is well

    @property
    def ok(self) -> bool:
        """Whether every sink takes events."""
        return self.state == "ok"


class Publisher(Closing):
    """Take events from any thread and deliver them at least once; ids make repeats harmless.

    With a Redis sink an event exists once `publish` returns: it is in the spool, by default in the user's state folder.
    Other sinks are written directly.
    Raises InputError for a sink that cannot be right, such as a wrong password; a server that is merely away is not
    an error, events wait for it.
    """

    def __init__(
        self,
        sinks: Sequence[str],
        spool_dir: Path | None = None,
        *,
        max_spool_bytes: int = SpoolLimits.max_bytes,
        limits: SpoolLimits | None = None,
    ) -> None:
        self._changed = threading.Condition()
        self._closing = False
        self._disk_error = ""  # why the last event could not be stored
        self._sync_error = ""  # why the last sync failed
        self._accepted = 0
        self._direct = [open_direct(url) for url in sinks if not is_redis(url)]
        remote = [RedisSink(url) for url in sinks if is_redis(url)]
        self._deliveries: list[Delivery] = []
        self._spool: Spool | None = None
        if remote:
            directory = spool_dir or user_state_path("hoistream") / "spool"
            self._spool = self._open_spool(remote, directory, limits or SpoolLimits(max_bytes=max_spool_bytes))

    def _open_spool(self, sinks: list[RedisSink], directory: Path, limits: SpoolLimits) -> Spool:
        for sink in sinks:
            try:
                sink.probe()
            except SinkDownError as error:
                logger.warning("%s", error)
        spool = Spool(directory, limits)
        self._deliveries = [Delivery(spool, sink, self._changed, partial(self._forget, spool)) for sink in sinks]
        self._dirty = threading.Event()
        self._syncer = threading.Thread(target=self._sync, args=(spool,), name="spool-sync", daemon=True)
        self._syncer.start()
        for delivery in self._deliveries:
            delivery.start()
        return spool

    def publish(self, event: Event, stop: threading.Event | None = None) -> Event:
        """Store `event` and return it with its publish time; waits while the disk is full.

        Raises HoistreamError when the publisher is closed, or `stop` is set, before the event could be stored, and
        BrokenPipeError when the reader of standard output has left.
        """
        if event.published_time is None:
            event = event.model_copy(update={"published_time": datetime.now(UTC)})
        record = Record.of(event)
        for delivery in self._deliveries:
            delivery.raise_failure()
        if self._spool is not None:
            payload, spool = record.pack(), self._spool
            self._insist(lambda: spool.append(payload), stop)
            self._dirty.set()
        for sink in self._direct:
            self._insist(lambda sink=sink: sink.write(record.json), stop)  # type: ignore[misc]
        with self._changed:
            self._accepted += 1
        return event

    def _insist(self, store: Callable[[], object], stop: threading.Event | None) -> None:
        """Try until there is room: nothing is dropped, and the state says why nothing moves."""
        while True:
            try:
                store()
            except BrokenPipeError:
                raise
            except (SpoolFullError, OSError) as error:
                if not self._disk_error:
                    logger.error("%s", error)
                self._disk_error = str(error)
                if self._spool is not None:  # the replay window is worth less than new events
                    self._spool.forget(self._acknowledged(self._spool), now=True)
                with self._changed:
                    if self._closing or (stop is not None and stop.is_set()):
                        raise HoistreamError(f"stopped with an event unpublished: {error}") from error
                    self._changed.wait(_RETRY_S)
            else:
                if self._disk_error:
                    logger.warning("there is room on the disk again")
                    self._disk_error = ""
                return

    def _forget(self, spool: Spool) -> None:
        spool.forget(self._acknowledged(spool))

    def _acknowledged(self, spool: Spool) -> int:
        return min((delivery.acknowledged for delivery in self._deliveries), default=spool.end.record)

    def _sync(self, spool: Spool) -> None:
        """Sync at once after a quiet time, and then at most every `_SYNC_EVERY_S`."""
        while not self._closing:
            if not self._dirty.wait(_RETRY_S):
                continue
            self._dirty.clear()
            try:
                spool.sync()
                self._sync_error = ""
            except SpoolFullError as error:
                if not self._sync_error:
                    logger.error("%s", error)
                self._sync_error = str(error)
                self._dirty.set()
                time.sleep(_RETRY_S)
            with self._changed:
                self._changed.notify_all()
            time.sleep(_SYNC_EVERY_S)

    @property
    def state(self) -> PublisherState:
        """How things stand now."""
        down = next((delivery for delivery in self._deliveries if delivery.condition != "ok"), None)
        disk_error = self._disk_error or self._sync_error
        lag = self._spool.end.record - self._acknowledged(self._spool) if self._spool else 0
        return PublisherState(
            state="disk_full" if disk_error else down.condition if down else "ok",
            spooled=self._accepted,
            published=sum(delivery.added for delivery in self._deliveries) if self._deliveries else self._accepted,
            lag=lag,
            spool_bytes=self._spool.num_bytes if self._spool else 0,
            replays=sum(delivery.replays for delivery in self._deliveries),
            damaged=self._spool.damaged if self._spool else 0,
            last_error=disk_error or (down.error if down else ""),
        )

    def flush(self, timeout_s: float) -> bool:
        """Wait until every sink has what was published so far; return whether that was so in time."""
        for sink in self._direct:
            sink.flush()
        if self._spool is None:
            return True
        target = self._spool.end.record
        self._dirty.set()
        with self._changed:
            return self._changed.wait_for(
                lambda: all(d.acknowledged >= target or d.failure for d in self._deliveries), timeout_s
            ) and all(d.acknowledged >= target for d in self._deliveries)

    def close(self, timeout_s: float = 5.0) -> None:
        """Deliver what can be delivered in `timeout_s`; the rest waits in the spool for the next start.

        Safe to call twice. Raises what ended a delivery, if one failed.
        """
        if self._closing:
            return
        delivered = self.flush(timeout_s)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._spool is not None:
            for delivery in self._deliveries:
                delivery.close()
            self._syncer.join()
            if not delivered:
                logger.warning("%d events wait in %s for the next start", self.state.lag, self._spool.directory)
            self._spool.close()
        for sink in self._direct:
            sink.close()
        for delivery in self._deliveries:
            delivery.raise_failure()
