"""Append events to a Redis stream once, in order per source, however often they are sent."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoScriptError,
    OutOfMemoryError,
    RedisError,
    ResponseError,
)

from hoiclip.errors import HoistreamError, InputError
from stream.events.lua import load_script
from stream.events.redis_connection import parse_redis_url
from stream.events.redis_pipe import GarbageError, RedisPipe, fields_of, info_of, number_of, pack_argument
from stream.publish.mark_recovery import newest_in_stream, raise_marks
from stream.publish.records import Record, split_source
from stream.publish.trimming import Trimmed, account_key, trim

logger = logging.getLogger(__name__)

_MARK_TTL_S = 30 * 86400  # how long the last seq of a finished run is remembered
_APPEND = load_script("stream.publish", "append.lua")
_LOOK = load_script("stream.publish", "look.lua")
_PART = 200  # events a script call: more is no faster, and blocks other clients longer
_LOOKED_AT = 16  # newest sources whose marks are compared in each look
_MAX_ROUNDS = 5  # another process may append events of the same run at the same time
_REMEDY = "run it with `maxmemory-policy noeviction`"
_NEARLY_FULL = 0.9  # of maxmemory: where a server that evicts is not sent more


class SinkDownError(HoistreamError):
    """The server cannot be reached or refuses for now; the same records may be sent again."""


class SinkFullError(HoistreamError):
    """The server is at its memory cap; the same records may be sent again once there is room."""


class SinkLostError(HoistreamError):
    """The server came back without events it had acknowledged; `RedisSink.rewind` and send them again."""


class Gone(NamedTuple):
    """Entries of the stream that somebody else deleted."""

    entries: int
    key: str  # names this loss, also for another process that finds it

    def __bool__(self) -> bool:
        return self.entries > 0


@dataclass
class _Part:
    """Events of one script call. `heads`: by source, the seq that the server must have, and then has."""

    heads: dict[bytes, list[int]] = field(default_factory=dict)
    events: list[bytes] = field(default_factory=list)  # packed


class RedisSink:
    """One stream of one server; used from one thread, but for `abort`.

    Remembers what the server has acknowledged of each source and run ("marks"), so that a server that lost some of it
    is noticed. Raises InputError for a URL that cannot be right.
    """

    def __init__(self, url: str) -> None:
        try:
            self._target = parse_redis_url(url)
            self._pipe = RedisPipe(self._target.url)
        except ValueError as error:
            raise InputError(f"sink redis: {error}") from None  # the cause may show the password
        self.label = self._target.label
        self.evicts = False  # the server may throw events away by itself
        self.unrecoverable = 0  # acknowledged events that the server lost and that nobody can send again
        self._stream = self._target.stream.encode()
        self._marks: dict[bytes, int] = {}  # by `Record.source`, the one used last at the end
        self._lost_marks: dict[bytes, int] = {}  # as they were before the server lost some
        self._era, self._added = -1, 0  # of the stream's account, see look.lua
        self._rewound = False  # the account begins a new era at the next look

    def probe(self) -> None:
        """Connect once. Raises InputError for a wrong password or too old a server, SinkDownError without an answer."""
        try:
            version = info_of(self._pipe.call("INFO", "server")).get("redis_version", "")
            self._look_at_memory()
        except (AuthenticationError, AuthorizationError) as error:
            raise InputError(f"sink {self.label}: {error}; check the user and password in the URL") from None
        except RedisError as error:
            raise self._translate(error) from error
        if (number_of(version.partition(".")[0]) or 7) < 7:
            raise InputError(f"sink {self.label}: the server is {version}; hoistream needs Redis 7.0 or Valkey")

    def meet(self, records: Sequence[Record]) -> None:
        """Learn how far the server is with the sources of `records`, which an earlier process knew it to have.

        Raises SinkDownError.
        """
        newest = {source: seq for source, seq, _ in records if source not in self._marks}
        try:
            have_of = {source: _mark_of(self._pipe.call("HGET", *self._mark(source))) for source in newest}
            self._marks |= have_of | self._restored(newest, have_of)
        except RedisError as error:
            raise self._translate(error) from error

    def append(self, records: Sequence[Record]) -> int:
        """Send `records` in order; return how many the server did not have yet.

        Raises SinkDownError, SinkFullError, SinkLostError; any part may have arrived: send the same records again.
        """
        added = 0
        try:
            if self.evicts and self._look_at_memory() > _NEARLY_FULL:
                raise SinkFullError(f"{self.label}: the server would throw events away at its memory cap; {_REMEDY}")
            for _ in range(_MAX_ROUNDS):
                now, agreed = self._append_once(records)
                added += now
                if agreed:
                    return added
        except RedisError as error:
            raise self._translate(error) from error
        raise SinkDownError(f"{self.label}: another process appends events of the same run; tried again later")

    def _append_once(self, records: Sequence[Record]) -> tuple[int, bool]:
        """Send what the server is not known to have; return how many were new, and whether it stood as expected.

        Where it did not, `_marks` says now how it stands. Raises the first error among the replies.
        """
        parts = []
        for part in self._parts(records):  # the server works on one while the next is packed
            self._pipe.send(self._packed(part))
            parts.append(part)
        replies = [self._pipe.receive() for _ in parts]
        if any(isinstance(reply, NoScriptError) for reply in replies):
            self._pipe.call("SCRIPT", "LOAD", _APPEND.text)
            return 0, False
        added = 0
        # Later parts of a source are refused when an earlier one was, so the first refusal tells what happened.
        for part, reply in zip(parts, replies, strict=True):
            if isinstance(reply, ResponseError):
                raise reply
            if reply != len(part.events):
                self._learn(part.heads, reply)
                return added, False
            added += len(part.events)
            self._added += len(part.events)
            for source, (_, newest) in part.heads.items():
                self._marks.pop(source, None)
                self._marks[source] = newest
                self._lost_marks.pop(source, None)
        return added, True

    def _parts(self, records: Sequence[Record]) -> Iterator[_Part]:
        """Yield the records that the server is not known to have, in parts, as if each part arrives."""
        ahead: dict[bytes, int] = {}
        part = _Part()
        for source, seq, json in records:
            head = part.heads.get(source)
            if head is None:
                known = ahead.get(source, self._marks.get(source))
                if known is None:
                    known = seq - 1  # a guess: the server says if it is wrong
                elif seq <= known:
                    continue
                part.heads[source] = [known, seq]
            elif seq <= head[1]:
                continue
            else:
                head[1] = seq
            part.events.append(b"$%d\r\n%b\r\n" % (len(json), json))
            if len(part.events) == _PART:
                yield part
                ahead.update((source, newest) for source, (_, newest) in part.heads.items())
                part = _Part()
        if part.events:
            yield part

    def _packed(self, part: _Part) -> bytes:
        keys: dict[bytes, int] = {self._stream: 1}
        heads: list[bytes | int] = []
        for source, (expected, newest) in part.heads.items():
            key, source_id = self._mark(source)
            heads += (keys.setdefault(key, len(keys) + 1), source_id, expected, newest)
        head = ("EVALSHA", _APPEND.sha, len(keys), *keys, _MARK_TTL_S, len(part.heads), *heads)
        return b"*%d\r\n%b%b" % (
            len(head) + len(part.events),
            b"".join(map(pack_argument, head)),
            b"".join(part.events),
        )

    def _learn(self, heads: Mapping[bytes, list[int]], stored: object) -> None:
        """Take over the server's own account of `heads`. Raises SinkLostError where it knows less than it did."""
        have_of = dict(zip(heads, _numbers(stored, len(heads)), strict=True))
        have_of |= self._restored({source: head[0] for source, head in heads.items()}, have_of)
        for source, (expected, _) in heads.items():
            have = have_of[source]
            if have < self._marks.get(source, 0):
                raise SinkLostError(f"{self.label}: the server forgot events it had acknowledged; sending them again")
            if (before := self._lost_marks.pop(source, None)) is not None:
                self.unrecoverable += max(0, min(before, expected) - have)
            self._marks[source] = have

    def _restored(self, expected: Mapping[bytes, int], have_of: Mapping[bytes, int]) -> dict[bytes, int]:
        """Return, by source, marks lower than expected although the stream has more; the server gets them back.

        Marks can go alone: a policy such as volatile-lru takes what has a time to live, the stream has none.
        Raises redis.RedisError.
        """
        behind = {source for source, seq in expected.items() if have_of[source] < seq}
        if not behind:
            return {}
        found = newest_in_stream(self._pipe, self._stream, behind)
        restored = {source: seq for source, seq in found.items() if seq > have_of[source]}
        if restored:
            logger.warning("%s: the server lost marks, not events: %d are restored", self.label, len(restored))
            raise_marks(self._pipe, {self._mark(source): seq for source, seq in restored.items()}, _MARK_TTL_S)
        return restored

    def look(self, told: Gone | None = None) -> Gone:
        """Compare the server with what it acknowledged; return the entries that others deleted and nobody told.

        They come again at each look until they are given back as `told`: once their loss is on the disk.
        Raises SinkDownError, SinkLostError.
        """
        recent = list(self._marks.items())[-_LOOKED_AT:]
        keys: dict[bytes, int] = {self._stream: 1, account_key(self._stream): 2}
        fields: list[bytes | int] = []
        for source, _ in recent:
            key, source_id = self._mark(source)
            fields += (keys.setdefault(key, len(keys) + 1), source_id)
        try:
            settled = -1 if self._rewound else told.entries if told else 0
            arguments = [self._era, self._added, settled, *fields]
            reply = self._pipe.run(_LOOK, list(keys), arguments)
            gone, self._era, self._added, missing, marks = fields_of(reply, int, int, int, int, list)
            stored = fields_of(marks, *[int] * len(recent))
            self._rewound = False
            have_of = dict(zip(dict(recent), stored, strict=True))
            have_of |= self._restored(dict(recent), have_of)
            self._look_at_memory()
        except RedisError as error:
            raise self._translate(error) from error
        for source, seq in recent:
            if have_of[source] < seq:
                raise SinkLostError(f"{self.label}: the server lost events it had acknowledged; sending them again")
        return Gone(gone, f"{self._target.stream} {self._era} {missing}")

    def rewind(self) -> None:
        """Expect nothing of the server any more: what follows starts with a look, and from the oldest record kept.

        Without that look, what others delete before the next one would be in nobody's account.
        """
        self._lost_marks = self._marks | {
            source: max(seq, self._marks.get(source, 0)) for source, seq in self._lost_marks.items()
        }
        self._marks = {}
        self._rewound = True

    def settle(self) -> None:
        """Count what cannot come back: everything kept was sent again, and of other runs nothing is kept.

        Raises SinkDownError.
        """
        try:
            for source, before in list(self._lost_marks.items()):
                have = _mark_of(self._pipe.call("HGET", *self._mark(source)))
                self.unrecoverable += max(0, before - have)
                del self._lost_marks[source]
        except RedisError as error:
            raise self._translate(error) from error

    def trim(self) -> Trimmed:
        """Remove entries past the URL's ``keep_h`` that every group has finished. Raises SinkDownError."""
        return self._trim(self._target.keep_s, only_read=False)

    def make_room(self) -> Trimmed:
        """Remove all that every group has finished, however young; nothing when there is no group."""
        return self._trim(0.0, only_read=True)

    def _trim(self, keep_s: float, *, only_read: bool) -> Trimmed:
        try:
            return trim(self._pipe, self._stream, keep_s, only_read=only_read)
        except RedisError as error:
            raise self._translate(error) from error

    def abort(self) -> None:
        """Make whatever the sink's thread waits for fail at once; from any thread."""
        self._pipe.abort()

    def close(self) -> None:
        """Drop the connection."""
        self._pipe.drop()

    def _look_at_memory(self) -> float:
        """Note whether the server evicts; return how much of its memory it uses, 0 where it has no cap."""
        info = info_of(self._pipe.call("INFO", "memory"))
        cap, policy = number_of(info.get("maxmemory")) or 0, info.get("maxmemory_policy", "noeviction")
        evicts = cap > 0 and policy != "noeviction"
        if evicts and not self.evicts:
            logger.warning("%s: maxmemory-policy %s loses events at the memory cap; %s", self.label, policy, _REMEDY)
        self.evicts = evicts
        return (number_of(info.get("used_memory")) or 0) / cap if cap else 0.0

    def _mark(self, source: bytes) -> tuple[bytes, bytes]:
        """Return the hash and the field that hold the last seq of a source's run."""
        run_id, source_id = split_source(source)
        return b"{%b}:last:%b" % (self._stream, run_id), source_id

    def _translate(self, error: RedisError) -> HoistreamError:
        if isinstance(error, OutOfMemoryError):  # before the script wrote anything: servers check at its start
            return SinkFullError(
                f"{self.label}: the server is at its memory cap; events wait on disk. Raise maxmemory, or let the "
                f"slowest consumer group catch up"
            )
        return SinkDownError(f"{self.label}: {error}; events wait on disk and are sent again")


def _mark_of(reply: object) -> int:
    """Return the number that a hash holds, 0 for none. Raises GarbageError."""
    return _numbers([reply or b"0"], 1)[0]


def _numbers(reply: object, count: int) -> list[int]:
    """Return `count` numbers that a script read from a hash. Raises GarbageError."""
    numbers = [number for text in reply if (number := number_of(text)) is not None] if isinstance(reply, list) else []
    if not isinstance(reply, list) or not len(numbers) == len(reply) == count:
        raise GarbageError("no sound reply: unexpected elements")
    return numbers
