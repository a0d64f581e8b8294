"""Publish events: on disk first, then to every sink, in order per source; a full disk makes the caller wait."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from platformdirs import user_state_path

from hoiclip.closing import Closing
from hoiclip.errors import HoistreamError
from hoiclip.hashes import short_hash
from stream.events.schema import PUBLISHER_ID, AlertEvent, Event, EventNumbers, EventsLostEvent
from stream.publish.carrying import Carrier, LossReport, Spooling
from stream.publish.delivery import Delivery
from stream.publish.mqtt_sink import SCHEMES as MQTT
from stream.publish.mqtt_sink import MqttSink
from stream.publish.open_interactions import OpenInteractions
from stream.publish.records import Record
from stream.publish.redis_sink import RedisSink, SinkDownError
from stream.publish.sinks import DirectSink, JsonlSink, is_direct, is_redis, open_direct
from stream.publish.spool import Spool, SpoolFullError, SpoolLimits
from stream.publish.spooled import SpooledDelivery, SpooledSink
from stream.publish.state import Condition, PublisherState
from stream.publish.store_sink import StoreSink
from stream.publish.webhooks import SCHEME as WEBHOOK
from stream.publish.webhooks import WebhookSink
from stream.publish.worker import Worker

logger = logging.getLogger(__name__)

CLOSE_S = 5.0  # how long `close` tries to deliver where no deadline is given
_SYNC_EVERY_S = 0.01  # records within this time share one fdatasync
_RETRY_S = 0.2  # how often a full disk is tried again
_STALLED_S = 4.0  # events that wait for so long although nothing seems wrong: something hangs
_DELETED_S = 60.0  # how long health says that somebody deleted entries


def default_spool_dir() -> Path:
    """Return where events wait when nobody says where: in the user's state folder."""
    return user_state_path("hoistream") / "spool"


def _open_spooled(url: str) -> SpooledSink:
    if url.startswith(MQTT):
        return MqttSink(url)
    return WebhookSink(url) if url.startswith(WEBHOOK) else StoreSink(url)


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
        self._open_lock = threading.Lock()  # of `_open` where there is no spool, whose lock it uses else
        self._closing = False
        self._disk_error = ""  # why the last event could not be stored
        self._sync_error = ""  # why the last sync failed
        self._accepted = 0
        self._open = OpenInteractions()
        self._own_numbers = EventNumbers(short_hash(uuid.uuid4().hex), PUBLISHER_ID)
        self._losses: list[LossReport] = []  # to be published
        self._reported: set[str] = set()
        self._lost = 0
        self._deleted, self._deleted_s, self._deleted_why = 0, 0.0, ""
        self._unsynced = threading.Event()
        self._deliveries: list[Carrier] = []
        self._workers: list[Worker] = []
        self._spool: Spool | None = None
        self._direct: list[DirectSink] = [open_direct(url) for url in sinks if is_direct(url)]
        remote = [RedisSink(url) for url in sinks if is_redis(url)]
        spooled = [_open_spooled(url) for url in sinks if not is_redis(url) and not is_direct(url)]
        if remote or spooled:
            directory = spool_dir or default_spool_dir()
            self._spool = self._open_spool(remote, spooled, directory, limits or SpoolLimits(max_bytes=max_spool_bytes))
        elif files := [sink for sink in self._direct if isinstance(sink, JsonlSink)]:
            self._open.note_all(files[0].last_lines())
        self._left_open = self._open.sources()  # where an earlier process left something open

    def _open_spool(
        self, sinks: list[RedisSink], spooled: Sequence[SpooledSink], directory: Path, limits: SpoolLimits
    ) -> Spool:
        for sink in sinks:
            try:
                sink.probe()
            except SinkDownError as error:
                logger.warning("%s", error)
        spool = Spool(directory, limits, journal=self._open)
        spooling = Spooling(spool, self._changed, partial(self._forget, spool), self._report_loss)
        self._deliveries = [Delivery(spooling, sink) for sink in sinks]
        self._deliveries += [SpooledDelivery(spooling, sink) for sink in spooled]
        syncing = Worker("spool-sync", partial(self._keep_synced, spool), self._notify)
        self._workers = [syncing, *(delivery.worker for delivery in self._deliveries)]
        for worker in self._workers:
            worker.start()
        return spool

    # Publishing

    def publish(self, event: Event, stop: threading.Event | None = None) -> Event:
        """Store `event` and return it with its publish time; waits while the disk is full.

        Raises HoistreamError when the publisher is closed, or `stop` is set, before the event could be stored, and
        BrokenPipeError when the reader of standard output has left.
        """
        if event.published_time is None:
            event = event.model_copy(update={"published_time": datetime.now(UTC)})
        record = Record.of(event)
        for worker in self._workers:
            worker.raise_failure()
        if event.source_id in self._left_open and not isinstance(event, AlertEvent):  # a rule's run is no source's
            self.begin({event.source_id: event.run_id}, among={event.source_id}, stop=stop)
        if self._spool is not None:
            spool = self._spool
            self._wait_for_room(lambda: self._store(spool, record, event), stop)
        else:
            with self._open_lock:
                self._open.note(event)
        for sink in self._direct:
            self._wait_for_room(lambda sink=sink: sink.write(record.json), stop)  # type: ignore[misc]
        with self._changed:
            self._accepted += 1
        return event

    def begin(
        self, runs: Mapping[str, str], among: Collection[str] | None = None, stop: threading.Event | None = None
    ) -> int:
        """Sources begin to run: end what a process that died left open, and return how many interactions that were.

        `runs` are the run ids by source. What is open in one of them is not over: a recording that is processed again
        tells its own end. Everything else ends with the reason `crashed`; of sources in `among` only, where given.
        The first event of a source does the same for that source. Waits, and raises, as `publish` does.
        """
        ends = self._open.crashed(runs, among)
        self._left_open -= self._left_open if among is None else set(among)
        for event in ends:
            self.publish(event, stop)
        if ends:
            logger.warning(
                "%d interactions of an earlier run had no end: published with the reason `crashed`", len(ends)
            )
        return len(ends)

    def _store(self, spool: Spool, record: Record, event: Event) -> None:
        spool.append(record.pack(), partial(self._open.note, event))
        self._unsynced.set()

    def _wait_for_room(self, store: Callable[[], object], stop: threading.Event | None) -> None:
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
                self._make_room()
                with self._changed:
                    if self._closing or (stop is not None and stop.is_set()):
                        raise HoistreamError(f"stopped with an event unpublished: {error}") from error
                    self._changed.wait(_RETRY_S)
            else:
                if self._disk_error:
                    logger.warning("there is room on the disk again")
                    self._disk_error = ""
                return

    # The spool

    def _make_room(self) -> None:
        """Give up the replay window: it is worth less than new events."""
        if self._spool is not None:
            for delivery in self._deliveries:
                delivery.hurry()
            self._spool.forget(self._acknowledged(self._spool), now=True)

    def _forget(self, spool: Spool) -> None:
        spool.forget(self._acknowledged(spool))

    def _acknowledged(self, spool: Spool) -> int:
        return min((delivery.acknowledged for delivery in self._deliveries), default=spool.end.record)

    def _keep_synced(self, spool: Spool) -> None:
        """Sync at once after a quiet time, and then at most every `_SYNC_EVERY_S`."""
        while not self._closing:
            self._publish_losses(spool)
            if not self._unsynced.wait(_RETRY_S):
                continue
            self._unsynced.clear()
            try:
                spool.sync()
                self._sync_error = ""
            except (SpoolFullError, OSError) as error:
                if not self._sync_error:
                    logger.error("%s", error)
                self._sync_error = str(error)
                self._unsynced.set()
                time.sleep(_RETRY_S)
            self._notify()
            time.sleep(_SYNC_EVERY_S)

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # Losses

    def _report_loss(self, report: LossReport) -> bool:
        """Take note of a loss, once; return whether it is on the disk as an event."""
        with self._changed:
            if report.key in self._reported:
                return all(waiting.key != report.key for waiting in list(self._losses))
            self._reported.add(report.key)
            self._losses.append(report)
            if report.reason == "deleted":
                self._deleted += report.count
                self._deleted_s, self._deleted_why = time.monotonic(), report.why
            else:
                self._lost += report.count
        logger.error("%s", report.why)
        self._unsynced.set()
        return False

    def _publish_losses(self, spool: Spool) -> None:
        """Publish what was reported; where the disk is full, later."""
        while self._losses:
            report = self._losses[0]
            numbers = self._own_numbers.next()
            numbers["event_id"] = short_hash(PUBLISHER_ID, report.key)
            event = EventsLostEvent(
                **numbers,
                media_time_s=0.0,
                published_time=datetime.now(UTC),
                count=report.count,
                where=report.where,
                reason=report.reason,
                why=report.why,
            )
            record = Record.of(event)
            try:
                self._store(spool, record, event)
                for sink in self._direct:
                    sink.write(record.json)
            except (SpoolFullError, OSError):
                self._own_numbers.seq -= 1
                return
            del self._losses[0]

    # State and the end

    @property
    def state(self) -> PublisherState:
        """How things stand now."""
        condition, error = self._condition()
        return PublisherState(
            state=condition,
            spooled=self._accepted,
            published=sum(delivery.added for delivery in self._deliveries) if self._deliveries else self._accepted,
            lag=self._lag(),
            spool_bytes=self._spool.num_bytes if self._spool else 0,
            replays=sum(delivery.replays for delivery in self._deliveries),
            damaged=self._spool.damaged if self._spool else 0,
            lost=self._lost,
            deleted=self._deleted,
            dead=sum(delivery.dead for delivery in self._deliveries),
            last_error=error,
        )

    def _lag(self) -> int:
        return self._spool.end.record - self._acknowledged(self._spool) if self._spool else 0

    def _condition(self) -> tuple[Condition, str]:
        """Return the worst of what is wrong, and a line about it."""
        for worker in self._workers:
            if not worker.running and not self._closing:
                return "failed", f"{worker.name} stopped: {worker.failure or 'nobody knows why'}"
        if disk_error := self._disk_error or self._sync_error:
            return "disk_full", disk_error
        for delivery in self._deliveries:
            if delivery.condition != "ok":
                return delivery.condition, delivery.error
        now = time.monotonic()
        for delivery in self._deliveries:
            waiting_s = now - delivery.moved_s
            if self._spool and delivery.acknowledged < self._spool.end.record and waiting_s > _STALLED_S:
                return "stalled", f"{delivery.worker.name}: nothing has moved for {waiting_s:.0f} s"
        if self._deleted and now - self._deleted_s < _DELETED_S:
            return "events_deleted", self._deleted_why
        return "ok", ""

    def flush(self, timeout_s: float) -> bool:
        """Wait until every sink has what was published so far; return whether that was so in time."""
        for sink in self._direct:
            sink.flush()
        if self._spool is None:
            return True
        target = self._spool.end.record
        self._unsynced.set()
        with self._changed:
            return self._changed.wait_for(
                lambda: (
                    all(d.acknowledged >= target for d in self._deliveries)
                    or any(worker.failure for worker in self._workers)
                ),
                max(0.0, timeout_s),
            ) and all(d.acknowledged >= target for d in self._deliveries)

    def close(self, deadline: float | None = None) -> None:
        """Deliver what can be delivered, and be done by `deadline` (monotonic; in `CLOSE_S` when not given).

        The rest waits in the spool for the next start, which a log line says. Safe to call twice. Raises what ended
        a thread, if anything did.
        """
        if self._closing:
            return
        deadline = time.monotonic() + CLOSE_S if deadline is None else deadline
        delivered = self.flush(deadline - time.monotonic())
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._unsynced.set()
        if self._spool is not None:
            for delivery in self._deliveries:
                delivery.stop()
            for delivery in self._deliveries:
                delivery.close(deadline)
            self._workers[0].join(_RETRY_S)
            self._publish_losses(self._spool)  # what was found at the very end: the place behind it is remembered
            if not delivered:
                logger.warning("%d events wait in %s for the next start", self.state.lag, self._spool.directory)
            self._spool.close()
        for sink in self._direct:
            sink.close()
        for worker in self._workers:
            worker.raise_failure()
