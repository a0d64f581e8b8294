"""The rules of reading events from a stream, without any input or output of its own.

`reading` is a generator: it yields what to do (a Redis command, a pause) or an event, and is sent the reply. The
synchronous and the asyncio client drive the same generator, so they cannot differ.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import OrderedDict
from collections.abc import Collection, Generator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError
from redis.exceptions import AuthenticationError, AuthorizationError, RedisError, ResponseError

from stream.events.schema import Event, InteractionEvent, UnknownEventTypeError, parse_event

logger = logging.getLogger(__name__)

Start = Literal["beginning", "new"] | datetime | timedelta
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.05, 2.0
_REMEMBERED = 20_000  # event ids kept for deduplication

# KEYS: stream, dead-letter stream. ARGV: group, id, event, reason. Together, so that no entry is lost or kept twice.
BURY = """
redis.call('XADD', KEYS[2], '*', 'event', ARGV[3], 'reason', ARGV[4], 'id', ARGV[2])
return redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
"""


class SubscriptionError(Exception):
    """A subscription that cannot go on, such as for a wrong password; lost connections are mended instead."""


@dataclass(frozen=True, kw_only=True)
class EventFilter:
    """Which events to yield; an empty set lets everything pass.

    `verbs`, `objects` and `interactions` select among interaction events, and leave no other kind.
    """

    sources: Collection[str] = ()
    types: Collection[str] = ()
    verbs: Collection[str] = ()
    objects: Collection[str] = ()
    interactions: Collection[str] = ()

    def passes(self, event: Event) -> bool:
        """Whether `event` is wanted."""
        if (self.sources and event.source_id not in self.sources) or (self.types and event.type not in self.types):
            return False
        if not (self.verbs or self.objects or self.interactions):
            return True
        return (
            isinstance(event, InteractionEvent)
            and (not self.verbs or event.verb in self.verbs)
            and (not self.objects or event.object in self.objects)
            and (not self.interactions or event.interaction in self.interactions)
        )


@dataclass(frozen=True, kw_only=True)
class ReadSettings:
    """How to read. Without a `group` the stream is only looked at: nothing is acknowledged or redelivered."""

    stream: str
    group: str | None = None
    consumer: str = field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    start: Start = "beginning"  # with a group: where it begins when it is made; it keeps its place afterwards
    until: datetime | None = None  # without a group: stop at this time
    follow: bool = True  # without a group: wait for more at the end
    filter: EventFilter = field(default_factory=EventFilter)
    batch: int = 100
    block_ms: int = 1000  # must be shorter than the socket's timeout
    claim_idle_s: float = 30.0  # entries another consumer has held for so long are taken over
    max_tries: int = 5  # deliveries of one entry; the next one goes to the dead-letter stream
    deduplicate: bool = True  # leave out event ids this subscription has acknowledged already


class Call(NamedTuple):
    """Send a Redis command and send me its reply, or throw the error in."""

    arguments: tuple[str | bytes | int, ...]


class Pause(NamedTuple):
    """Wait, then go on."""

    seconds: float


class Delivery(NamedTuple):
    """An event for the application; resume once it is handled."""

    event: Event


Steps = Generator[Call | Pause | Delivery, Any, None]
Entry = tuple[bytes, dict[bytes, bytes]]


class Reader:
    """The state of one subscription. `steps` runs for ever; counters may be read at any time."""

    def __init__(self, settings: ReadSettings) -> None:
        self.settings = settings
        self.lost_ids = 0  # entries that were trimmed or deleted while they were pending: an alarm
        self.buried = 0  # entries moved to the dead-letter stream
        self.duplicates = 0  # events left out because their id was acknowledged before
        self._handled: list[bytes] = []  # ids to acknowledge with the next command
        self._current: bytes | None = None  # id of the event the application has now
        self._refreshed_at = time.monotonic()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._claimed_at = 0.0
        self._position = ""  # without a group: the last id seen

    @property
    def dead_letters(self) -> str:
        """Name of the stream for entries that could not be handled."""
        return f"{self.settings.stream}:dead"

    def steps(self) -> Steps:
        """Yield steps for ever, or to the end where `follow` is off. Raises SubscriptionError."""
        wait_s = _FIRST_WAIT_S
        work = self._consume if self.settings.group is not None else self._look
        while True:
            began = time.monotonic()
            try:
                yield from work()
                return
            except (AuthenticationError, AuthorizationError) as error:
                raise SubscriptionError(f"{error}; check the user and password in the URL") from None
            except RedisError as error:
                if str(error).startswith("WRONGTYPE"):
                    raise SubscriptionError(f"`{self.settings.stream}` is not a stream on this server") from None
                if time.monotonic() - began > 2 * _LONGEST_WAIT_S:
                    wait_s = _FIRST_WAIT_S
                if wait_s == _FIRST_WAIT_S:
                    logger.warning("stream %s: %s; trying again until it works", self.settings.stream, error)
            # An acknowledgement may have been lost with the connection: its event comes again and is recognised.
            yield Pause(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    # With a group

    def _consume(self) -> Steps:
        s = self.settings
        assert s.group is not None
        yield from self._make_group()
        # What this consumer was given before it was restarted comes first.
        yield from self._own_pending()
        while True:
            if time.monotonic() - self._claimed_at >= s.claim_idle_s / 2:
                yield from self._claim()
            block = ("BLOCK", s.block_ms)
            read = ("XREADGROUP", "GROUP", s.group, s.consumer, "COUNT", s.batch, *block, "STREAMS", s.stream, ">")
            reply = yield Call(read)
            self._refreshed_at = time.monotonic()
            yield from self._deliver(_entries(reply))

    def _make_group(self) -> Steps:
        s = self.settings
        assert s.group is not None
        try:
            yield Call(("XGROUP", "CREATE", s.stream, s.group, self._start_id(), "MKSTREAM"))
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        # From now on a missing group means a server that came back empty: what it gets again must all be read.
        self._position = "0"

    def _start_id(self) -> str:
        start = self.settings.start
        return self._position or ("$" if start == "new" else stream_id(start))

    def _own_pending(self) -> Steps:
        s = self.settings
        assert s.group is not None
        last: bytes = b"0"
        while True:
            read = ("XREADGROUP", "GROUP", s.group, s.consumer, "COUNT", s.batch, "STREAMS", s.stream, last)
            reply = yield Call(read)
            entries = _entries(reply)
            if not entries:
                return
            last = entries[-1][0]
            alive = [entry for entry in entries if entry[1]]
            gone = [identity for identity, fields in entries if not fields]
            if gone:
                self._alarm(gone)
                self._handled += gone
            yield from self._deliver_again(alive)

    def _claim(self) -> Steps:
        """Take over what a crashed consumer left behind."""
        s = self.settings
        assert s.group is not None
        at: bytes = b"0-0"
        while True:
            idle_ms = int(s.claim_idle_s * 1000)
            reply = yield Call(("XAUTOCLAIM", s.stream, s.group, s.consumer, idle_ms, at, "COUNT", s.batch))
            at, entries, deleted = reply
            if deleted:
                self._alarm(deleted)
            yield from self._deliver_again([_entry(entry) for entry in entries])
            if at == b"0-0":
                break
        self._claimed_at = time.monotonic()

    def _alarm(self, identities: list[bytes]) -> None:
        self.lost_ids += len(identities)
        shown = b", ".join(identities[:3]).decode()
        logger.error(
            "stream %s, group %s: %d entries were deleted before they were handled (%s …): something else trims it",
            self.settings.stream,
            self.settings.group,
            len(identities),
            shown,
        )

    def _deliver_again(self, entries: list[Entry]) -> Steps:
        """Deliver entries that were delivered before, but not those that failed too often."""
        s = self.settings
        assert s.group is not None
        for identity, fields in entries:
            pending = yield Call(("XPENDING", s.stream, s.group, identity, identity, 1))
            tries = int(pending[0][3]) if pending else 1
            if tries > s.max_tries:
                yield from self._bury(identity, fields, f"delivered {tries - 1} times without being acknowledged")
            else:
                yield from self._deliver([(identity, fields)])

    def _deliver(self, entries: list[Entry]) -> Steps:
        """Yield the events of `entries`; each counts as handled when the application comes for the next one."""
        for index, (identity, fields) in enumerate(entries):
            yield from self._keep(entries[index:])
            try:
                event = parse_event(fields[b"event"])
            except (KeyError, ValidationError) as error:
                reason = "no field `event`" if isinstance(error, KeyError) else _first_line(error)
                yield from self._bury(identity, fields, f"not an event of schema version 1: {reason}")
                continue
            except UnknownEventTypeError as error:
                logger.debug("stream %s, entry %s passed over: %s", self.settings.stream, identity.decode(), error)
                self._handled.append(identity)
                continue
            known = self.settings.deduplicate and event.event_id in self._known
            self.duplicates += known
            if not known and self.settings.filter.passes(event):
                self._current = identity
                yield Delivery(event)
                self._current = None
            self._known[event.event_id] = None
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
            self._handled.append(identity)
        yield from self.acknowledge()

    def _keep(self, entries: list[Entry]) -> Steps:
        """Tell the server that this consumer, though slow, is alive: otherwise others would take `entries` over."""
        s = self.settings
        if s.group is None or time.monotonic() - self._refreshed_at < s.claim_idle_s / 3:
            return
        yield from self.acknowledge()
        identities = [identity for identity, _ in entries]
        yield Call(("XCLAIM", s.stream, s.group, s.consumer, 0, *identities, "JUSTID"))
        self._refreshed_at = time.monotonic()

    def finish(self, steps: Steps, *, handled: bool) -> Steps:
        """Stop `steps`, and return those that acknowledge what was handled, with `handled` the current event too."""
        if handled and self._current is not None:
            self._handled.append(self._current)
        self._current = None
        steps.close()
        return self.acknowledge()

    def acknowledge(self) -> Steps:
        """Tell the server what has been handled."""
        s = self.settings
        if s.group is None:
            self._handled.clear()
        if self._handled:
            yield Call(("XACK", s.stream, s.group or "", *self._handled))
            self._handled.clear()

    def _bury(self, identity: bytes, fields: dict[bytes, bytes], reason: str) -> Steps:
        s = self.settings
        if s.group is None:
            logger.warning("stream %s, entry %s left out: %s", s.stream, identity.decode(), reason)
            return
        logger.error("stream %s, entry %s goes to %s: %s", s.stream, identity.decode(), self.dead_letters, reason)
        event = fields.get(b"event", b"")
        yield Call(("EVAL", BURY, 2, s.stream, self.dead_letters, s.group, identity, event, reason))
        self.buried += 1

    # Without a group

    def _look(self) -> Steps:
        s = self.settings
        if not self._position:
            if s.start == "new":
                newest = yield Call(("XREVRANGE", s.stream, "+", "-", "COUNT", 1))
                self._position = newest[0][0].decode() if newest else "0"
            else:
                self._position = stream_id(s.start)
        while True:
            block = ("BLOCK", s.block_ms) if s.follow else ()
            reply = yield Call(("XREAD", "COUNT", s.batch, *block, "STREAMS", s.stream, self._position))
            entries = _entries(reply)
            if not entries and not s.follow:
                return
            for identity, fields in entries:
                if s.until is not None and int(identity.split(b"-")[0]) >= s.until.timestamp() * 1000:
                    return
                yield from self._deliver([(identity, fields)])
                self._position = identity.decode()


def resume(steps: Steps, outcome: Any) -> Call | Pause | Delivery:
    """Continue `steps` with the reply to a call, or with the RedisError it ended in."""
    return steps.throw(outcome) if isinstance(outcome, RedisError) else steps.send(outcome)


def stream_id(start: Start) -> str:
    """Return the id just before the entries of `start`: a time, a time before now, or the beginning."""
    if start == "beginning":
        return "0"
    if isinstance(start, timedelta):
        return f"{max(1, int((time.time() - start.total_seconds()) * 1000)) - 1}-18446744073709551615"
    if isinstance(start, datetime):
        return f"{max(1, int(start.timestamp() * 1000)) - 1}-18446744073709551615"
    raise ValueError(f"expected 'beginning', 'new', a datetime or a timedelta, got {start!r}")


def _entries(reply: Any) -> list[Entry]:
    """Return the entries of the one stream in a raw XREAD or XREADGROUP reply."""
    return [_entry(entry) for entry in reply[0][1]] if reply else []


def _entry(raw: Any) -> Entry:
    """Return id and fields of a raw entry; one that was deleted has no fields."""
    identity, fields = raw
    return identity, dict(zip(fields[::2], fields[1::2], strict=True)) if fields else {}


def _first_line(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
