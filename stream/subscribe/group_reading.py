"""Read as one consumer of a group: share events, acknowledge them, take over what crashed consumers held.

An event is delivered at least once. What comes for the first time is read and acknowledged in batches. What comes
again, because a consumer died, is handed over one by one, and each time is counted on the server first: so an event
that kills its handler is found by how often it was handed over, and costs none of those that were read with it. The
first time, in a batch, is not counted: nobody knows whether the consumer came to it.
"""

from __future__ import annotations

import logging
import time

from redis.exceptions import RedisError, ResponseError

from stream.events.entries import Entry, entries_of, identities_of, stream_entries
from stream.events.lua import load_script
from stream.events.redis_pipe import GarbageError, fields_of
from stream.subscribe.reader import Reader
from stream.subscribe.settings import ReadSettings, SubscriptionError, stream_id
from stream.subscribe.steps import Asking, Call, HandOver, Pause, Steps, run_script

logger = logging.getLogger(__name__)

_JOIN = load_script("stream.subscribe", "join.lua")
_READ = load_script("stream.subscribe", "read.lua")
_HAND_OVER = load_script("stream.subscribe", "hand_over.lua")
_BURY = load_script("stream.subscribe", "bury.lua")
_TRIES_TTL_S = 7 * 86400
_ACKNOWLEDGE_EVERY_S = 0.2  # what a crash makes come again is what was handled in so long, or one batch


class GroupReader(Reader):
    """Yields the events that fall to this consumer."""

    def __init__(self, settings: ReadSettings, group: str) -> None:
        super().__init__(settings)
        self._group = group
        self._start_id = ""  # where the group begins if it has to be made again
        self._handled: list[bytes] = []  # ids to acknowledge
        self._counted: set[bytes] = set()  # ids among them, and the current one, whose tries the server counts
        self._current: Entry | None = None  # what the application has now
        self._refreshed_s = self._acknowledged_s = time.monotonic()
        self._claimed_s: float | None = None

    @property
    def _tries_key(self) -> str:
        return f"{{{self.settings.stream}}}:tries:{self._group}"

    @property
    def _account_key(self) -> str:
        return f"{{{self.settings.stream}}}:group:{self._group}"

    def _read(self) -> Steps:
        s = self.settings
        # What this consumer was given before it was restarted comes first. Reading first also frees a full server.
        try:
            yield from self._own_pending()
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            yield from self._join()
        # From now on a missing group means a server that came back empty: what it gets again must all be read.
        self._start_id = "0"
        while True:
            if self._claimed_s is None or time.monotonic() - self._claimed_s >= s.claim_idle_s / 2:
                yield from self._claim()
            entries = yield from self._read_new()
            if entries:
                yield from self._deliver(entries, again=False)
            elif s.follow:
                read = ("XREADGROUP", "GROUP", self._group, s.consumer, "COUNT", s.batch, "BLOCK", s.block_ms)
                entries = stream_entries((yield Call((*read, "STREAMS", s.stream, ">"))))
                self._refreshed_s = time.monotonic()
                yield from self._deliver(entries, again=False)
            else:
                return

    def _join(self) -> Steps:
        start = self._start_id or stream_id(self.settings.start)
        yield from run_script(_JOIN, (self.settings.stream,), self._group, start)

    def _own_pending(self) -> Steps:
        s = self.settings
        last: bytes = b"0"
        while True:
            read = ("XREADGROUP", "GROUP", self._group, s.consumer, "COUNT", s.batch, "STREAMS", s.stream, last)
            entries = stream_entries((yield Call(read)))
            if not entries:
                return
            last = entries[-1].id
            if gone := [entry.id for entry in entries if not entry.fields]:
                self._count_lost(len(gone), gone)
                self._handled += gone
            yield from self._deliver([entry for entry in entries if entry.fields], again=True)

    def _claim(self) -> Steps:
        """Take over what a crashed consumer left behind."""
        s = self.settings
        at: bytes = b"0-0"
        while True:
            idle_ms = int(s.claim_idle_s * 1000)
            reply = yield Call(("XAUTOCLAIM", s.stream, self._group, s.consumer, idle_ms, at, "COUNT", s.batch))
            at, raw, deleted = fields_of(reply, bytes, list, list)
            if deleted:
                self._count_lost(len(deleted), identities_of(deleted))
            yield from self._deliver(entries_of(raw), again=True)
            if at == b"0-0":
                break
        self._claimed_s = time.monotonic()

    def _read_new(self) -> Asking:
        """Return entries that nobody of the group was given yet, without waiting; count those that were deleted."""
        s = self.settings
        read = run_script(_READ, (s.stream, self._account_key), self._group, s.consumer, s.batch)
        gone, raw = fields_of((yield from self._with_type(read, self._account_key, "hash")), int, list)
        self._refreshed_s = time.monotonic()
        if gone:
            self._count_lost(gone, [])
        return entries_of(raw)

    def _count_lost(self, count: int, identities: list[bytes]) -> None:
        self.lost_ids += count
        shown = f" ({b', '.join(identities[:3]).decode()} …)" if identities else ""
        logger.error(
            "stream %s, group %s: %d entries were deleted before they were handled%s: something else trims it",
            self.settings.stream,
            self._group,
            count,
            shown,
        )

    # Handing over

    def _deliver(self, entries: list[Entry], *, again: bool) -> Steps:
        """Hand over entries; each is handled when the application comes for the next.

        Those that come `again` are counted, one by one, and buried when they failed too often.
        """
        for index, entry in enumerate(entries):
            yield from self._keep(entries, index)
            event = self._event_of(entry)
            if isinstance(event, str):
                yield from self._bury(entry, event)
                continue
            if event is not None:
                if self._is_wanted(event):
                    tries = (yield from self._count_try(entry)) if again else 0
                    if again and tries >= self.settings.max_tries:
                        yield from self._bury(entry, f"handed over {tries} times and never acknowledged")
                        continue
                    self._current = entry
                    yield HandOver(event)
                    self._current = None
                self._remember(event)
            self._handled.append(entry.id)
        yield from self._acknowledge()

    def _count_try(self, entry: Entry) -> Asking:
        """Count on the server that `entry` is handed over, before it is; return how often that was so before."""
        keys = (self.settings.stream, self._tries_key)
        count = run_script(_HAND_OVER, keys, self._group, _TRIES_TTL_S, entry.id, *self._handled)
        tries = yield from self._with_type(count, self._tries_key, "hash")
        if not isinstance(tries, int):
            raise GarbageError("no sound reply: expected a number")
        self._forget_handled()
        self._counted.add(entry.id)
        return tries

    def _bury(self, entry: Entry, reason: str) -> Steps:
        s = self.settings
        logger.error("stream %s, entry %s goes to %s: %s", s.stream, entry.id.decode(), s.dead_letters, reason)
        keys = (s.stream, s.dead_letters, self._tries_key)
        move = run_script(_BURY, keys, self._group, entry.id, entry.fields.get(b"event", b""), reason)
        yield from self._with_type(move, s.dead_letters, "stream")
        self.buried += 1

    def _with_type(self, steps: Asking, key: str, kind: str) -> Asking:
        """Return the reply to `steps`; where `key` holds something else than ours, say so."""
        try:
            return (yield from steps)
        except ResponseError as error:
            if str(error).startswith("WRONGTYPE"):
                raise SubscriptionError(f"`{key}` is not a {kind} on this server: delete or rename it") from None
            raise

    # Acknowledging

    def _keep(self, entries: list[Entry], index: int) -> Steps:
        """Acknowledge now and then, and tell that this consumer is alive: else others take `entries[index:]` over."""
        s, now = self.settings, time.monotonic()
        if now - self._acknowledged_s >= _ACKNOWLEDGE_EVERY_S:
            yield from self._acknowledge()
        if now - self._refreshed_s >= s.claim_idle_s / 3:
            identities = [entry.id for entry in entries[index:]]
            yield Call(("XCLAIM", s.stream, self._group, s.consumer, 0, *identities, "JUSTID"))
            self._refreshed_s = now

    def _acknowledge(self) -> Steps:
        """Tell the server what has been handled."""
        if self._handled:
            yield Call(("XACK", self.settings.stream, self._group, *self._handled))
            if counted := self._counted.intersection(self._handled):
                yield Call(("HDEL", self._tries_key, *counted))
            self._forget_handled()
        self._acknowledged_s = time.monotonic()

    def _forget_handled(self) -> None:
        self._counted.difference_update(self._handled)
        self._handled.clear()
        self._acknowledged_s = time.monotonic()

    def finish(self, steps: Steps, *, handled: bool) -> Steps:
        """Stop `steps`, and return those that acknowledge what was handled, with `handled` the current event too."""
        if handled and self._current is not None:
            self._handled.append(self._current.id)
        self._current = None
        steps.close()
        return self._acknowledge_last()

    def _acknowledge_last(self) -> Steps:
        try:
            yield from self._acknowledge()
        except RedisError:  # the connection may have been lost while the application worked
            yield Pause(0.0, reconnect=True)
            yield from self._acknowledge()
