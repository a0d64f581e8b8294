"""Send again what somebody deleted from a stream, as far as the spool still keeps it."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from redis.exceptions import RedisError, ResponseError

from hoiclip.errors import HoistreamError, InputError
from hoiclip.hashes import short_hash
from stream.events.entries import entries_of, identities_of
from stream.events.redis_connection import parse_redis_url
from stream.events.redis_pipe import RedisPipe, pack_command
from stream.publish.cursor import cursor_path
from stream.publish.records import Record
from stream.publish.segments import read_folder
from stream.publish.trimming import account_key

logger = logging.getLogger(__name__)

_PAGE = 500  # entries read or sent at once
_SKEW = timedelta(hours=1)  # the server's clock may differ from ours by so much
_EVENT_ID = re.compile(rb'"event_id":"([^"]+)"')
_PUBLISHED = re.compile(rb'"published_time":"([^"]+)"')


@dataclass(frozen=True)
class Replayed:
    """What `replay` found and did."""

    kept: int  # events in the spool that the sink had acknowledged
    left_out: int  # of these, published before the stream was last trimmed: they may have gone rightly
    missing: int  # of the others, not in the stream
    sent: int


@dataclass(frozen=True)
class _Kept:
    event_id: bytes
    published: datetime
    json: bytes


def replay(spool_dir: Path, url: str, *, send: bool = True, everything: bool = False) -> Replayed:
    """Append the events that the spool keeps, that the sink at `url` had acknowledged and that are not in its stream.

    Another process may be publishing from the same spool meanwhile: what it has not sent yet is left to it. What was
    published before hoistream itself trimmed the stream last is left out, but with `everything`.
    Raises InputError where the spool never delivered there, HoistreamError where the server does not take it.
    """
    try:
        target = parse_redis_url(url)
    except ValueError as error:
        raise InputError(f"redis URL: {error}") from None
    path = cursor_path(spool_dir, short_hash(target.label))
    try:
        acknowledged = int(path.read_text())
    except (OSError, ValueError):
        raise InputError(
            f"spool {spool_dir}: has delivered nothing to {target.label}; give the `spool_dir` and the sink of the run"
        ) from None
    kept = list(_kept(spool_dir, acknowledged))
    pipe = RedisPipe(target.url)
    stream = target.stream.encode()
    try:
        floor_s = 0.0 if everything else max(_floor_s(pipe, stream), time.time() - target.keep_s)
        wanted = [event for event in kept if event.published.timestamp() > floor_s]
        present = _present(pipe, stream, wanted[0].published - _SKEW) if wanted else set()
        missing = [event.json for event in wanted if event.event_id not in present]
        if send:
            _send(pipe, stream, missing)
    except RedisError as error:
        raise HoistreamError(f"{target.label}: {error}; nothing is lost by running this again") from error
    finally:
        pipe.drop()
    return Replayed(len(kept), len(kept) - len(wanted), len(missing), len(missing) if send else 0)


def _kept(spool_dir: Path, acknowledged: int) -> Iterator[_Kept]:
    for number, payload in read_folder(spool_dir):
        if number >= acknowledged:
            return
        try:
            json = Record.unpack(payload).json
            event_id, published = _EVENT_ID.search(json), _PUBLISHED.search(json)
            if event_id and published:
                yield _Kept(event_id[1], datetime.fromisoformat(published[1].decode()), json)
        except ValueError as error:
            logger.warning("record %d of spool %s is none of ours: %s", number, spool_dir, error)


def _floor_s(pipe: RedisPipe, stream: bytes) -> float:
    """Return the time up to which our own trimming has removed entries."""
    floor = pipe.call("HGET", account_key(stream), "floor")
    (identity,) = identities_of([floor or b"0-0"])
    return int(identity.split(b"-")[0]) / 1000


def _present(pipe: RedisPipe, stream: bytes, start: datetime) -> set[bytes]:
    """Return the ids of the events in the stream since `start`."""
    found: set[bytes] = set()
    position = b"%d-0" % max(0, int(start.timestamp() * 1000))
    while entries := entries_of(pipe.call("XRANGE", stream, position, "+", "COUNT", _PAGE)):
        ids = (_EVENT_ID.search(entry.fields.get(b"event", b"")) for entry in entries)
        found |= {event_id[1] for event_id in ids if event_id}
        position = b"(" + entries[-1].id
    return found


def _send(pipe: RedisPipe, stream: bytes, events: list[bytes]) -> None:
    for at in range(0, len(events), _PAGE):
        part = events[at : at + _PAGE]
        pipe.send(*(pack_command("XADD", stream, "*", "event", event) for event in part))
        for reply in [pipe.receive() for _ in part]:
            if isinstance(reply, ResponseError):
                raise reply
