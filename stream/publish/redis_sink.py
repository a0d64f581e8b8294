"""Append events to a Redis stream once, in order per source, however often they are sent."""

from __future__ import annotations

import hashlib
import logging
from collections import ChainMap
from collections.abc import Iterable, MutableMapping, Sequence
from itertools import chain, groupby, islice
from typing import Any

import redis
from redis.exceptions import AuthenticationError, AuthorizationError, NoScriptError, OutOfMemoryError, RedisError

from hoiclip.errors import HoistreamError, InputError
from stream.events.redis_connection import connect, parse_redis_url
from stream.publish.records import Record
from stream.publish.trimming import Trimmed, Trimmer

logger = logging.getLogger(__name__)

FIELD = b"event"  # the one field of an entry: the event as JSON
_MARK_TTL_S = 30 * 86400  # how long the last seq of a finished run is remembered

# KEYS: stream, hash of the last seq by source. ARGV: time to live, m, m times (source, seq the server must know),
# then (source, seq, event) for each event. Returns how many were new, or -1 with nothing done when the server has
# forgotten events it once acknowledged.
_APPEND = """
local last = {}
local m = tonumber(ARGV[2])
for i = 3, 2 + 2 * m, 2 do
  local stored = tonumber(redis.call('HGET', KEYS[2], ARGV[i]) or '0')
  if stored < tonumber(ARGV[i + 1]) then return -1 end
  last[ARGV[i]] = stored
end
local added = 0
for i = 3 + 2 * m, #ARGV, 3 do
  local source, seq = ARGV[i], tonumber(ARGV[i + 1])
  if seq > last[source] then
    redis.call('XADD', KEYS[1], '*', 'event', ARGV[i + 2])
    last[source] = seq
    added = added + 1
  end
end
if added > 0 then
  for source, seq in pairs(last) do redis.call('HSET', KEYS[2], source, string.format('%.0f', seq)) end
  redis.call('EXPIRE', KEYS[2], ARGV[1])
end
return added
"""


_APPEND_SHA = hashlib.sha1(_APPEND.encode(), usedforsecurity=False).hexdigest()
_PART = 100  # events a script call: more is no faster, and blocks other clients longer


class SinkDownError(HoistreamError):
    """The server cannot be reached or refuses for now; the same records may be sent again."""


class SinkFullError(HoistreamError):
    """The server is at its memory cap; the same records may be sent again once there is room."""


class SinkLostError(HoistreamError):
    """The server came back without events it had acknowledged; `RedisSink.rewind` and send them again."""


class RedisSink:
    """One stream of one server; used from one thread.

    Remembers the last seq it sent for each source and run, so that the script notices a server that lost some.
    Raises InputError for a URL that cannot be right.
    """

    def __init__(self, url: str) -> None:
        try:
            self._target = parse_redis_url(url)
            self._client = connect(self._target.url)
        except ValueError as error:
            raise InputError(f"sink redis: {error}") from None  # the cause may show the password
        self.label = self._target.label
        self._trimmer = Trimmer(self._client, self._target.stream)
        self._sent: dict[tuple[bytes, bytes], int] = {}

    def probe(self) -> None:
        """Connect once. Raises InputError for a wrong password or too old a server, SinkDownError without an answer."""
        try:
            version = str(self._client.info("server")["redis_version"])
        except (AuthenticationError, AuthorizationError) as error:
            raise InputError(f"sink {self.label}: {error}; check the user and password in the URL") from None
        except RedisError as error:
            raise self._translate(error) from error
        if int(version.split(".")[0]) < 7:
            raise InputError(f"sink {self.label}: the server is {version}; hoistream needs Redis 7.0 or Valkey")

    def append(self, records: Sequence[Record]) -> int:
        """Send `records` in order; return how many the server did not have yet.

        Raises SinkDownError, SinkFullError, SinkLostError; any part may have arrived: send the same records again.
        """
        try:
            replies = self._send(records)
            if any(isinstance(reply, NoScriptError) for reply in replies):
                self._client.script_load(_APPEND)
                replies = self._send(records)
        except RedisError as error:
            raise self._translate(error) from error
        # Later parts of a source are refused when an earlier one failed, so the first failure tells what happened.
        for reply in replies:
            if isinstance(reply, RedisError):
                raise self._translate(reply) from reply
            if reply < 0:
                raise SinkLostError(f"{self.label}: the server forgot events it had acknowledged; sending them again")
        self._sent |= {(record.run_id, record.source_id): record.seq for record in records}
        return sum(replies)

    def _send(self, records: Sequence[Record]) -> list[Any]:
        """Return the reply, or the error in its place, for each part of `records`."""
        sent = ChainMap({}, self._sent)  # as it will be when every part has arrived
        pipeline = self._client.pipeline(transaction=False)
        for run_id, group in groupby(records, key=lambda record: record.run_id):
            mark = self._marks(run_id)
            while part := list(islice(group, _PART)):
                pipeline.evalsha(_APPEND_SHA, 2, self._target.stream, mark, *_arguments(part, sent))
        return pipeline.execute(raise_on_error=False)

    def verify(self) -> None:
        """Ask whether the server still has what was sent, for quiet times. Raises SinkDownError, SinkLostError."""
        try:
            for (run_id, source), seq in self._sent.items():
                if int(self._client.hget(self._marks(run_id), source) or 0) < seq:
                    raise SinkLostError(f"{self.label}: the server lost events it had acknowledged; sending them again")
            self._client.ping()
        except RedisError as error:
            raise self._translate(error) from error

    def rewind(self) -> None:
        """Expect nothing of the server any more: what follows starts from the oldest record kept."""
        self._sent.clear()

    def trim(self) -> Trimmed:
        """Remove entries past the URL's ``keep_h`` that every group has finished. Raises SinkDownError."""
        return self._trim(self._target.keep_s, only_read=False)

    def make_room(self) -> Trimmed:
        """Remove all that every group has finished, however young; nothing when there is no group."""
        return self._trim(0.0, only_read=True)

    def _trim(self, keep_s: float, *, only_read: bool) -> Trimmed:
        try:
            return self._trimmer.trim(keep_s, only_read=only_read)
        except RedisError as error:
            raise self._translate(error) from error

    def close(self) -> None:
        """Drop the connection."""
        self._client.close()

    def _marks(self, run_id: bytes) -> bytes:
        # The braces put the key into the stream's slot of a cluster.
        return b"{%s}:last:%s" % (self._target.stream.encode(), run_id)

    def _translate(self, error: redis.RedisError) -> HoistreamError:
        if isinstance(error, OutOfMemoryError):  # before the script wrote anything: servers check at its start
            return SinkFullError(
                f"{self.label}: the server is at its memory cap; events wait on disk. Raise maxmemory, or let the "
                f"slowest consumer group catch up"
            )
        return SinkDownError(f"{self.label}: {error}; events wait on disk and are sent again")


def _arguments(records: list[Record], sent: MutableMapping[tuple[bytes, bytes], int]) -> Iterable[bytes | int]:
    """Return the script's ARGV for records of one run, and note in `sent` what the server has afterwards."""
    heads: dict[bytes, int] = {}
    tail: list[bytes | int] = []
    for run_id, source, seq, json in records:
        if source not in heads:
            heads[source] = sent.get((run_id, source), 0)
        tail += (source, seq, json)
        sent[run_id, source] = seq
    return chain((_MARK_TTL_S, len(heads)), chain.from_iterable(heads.items()), tail)
