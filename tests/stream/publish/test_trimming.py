from __future__ import annotations

import contextlib
import time

import redis

from stream.events.redis_pipe import RedisPipe
from stream.publish.trimming import Trimmed
from stream.publish.trimming import trim as trim_stream

STREAM = "events"


def filled(server, count: int = 100) -> tuple[redis.Redis, list[str]]:
    client = server.client
    return client, [client.xadd(STREAM, {"event": str(number)}) for number in range(count)]


def trim(server, keep_s: float = 0.0, *, only_read: bool = True) -> Trimmed:
    time.sleep(0.002)  # the newest entry is older than now
    pipe = RedisPipe(server.url)
    trimmed = trim_stream(pipe, STREAM.encode(), keep_s, only_read=only_read)
    pipe.drop()
    return trimmed


def test_what_the_slowest_group_has_not_read_stays(server) -> None:
    client, ids = filled(server)
    for group, count in (("fast", 100), ("slow", 30)):
        client.xgroup_create(STREAM, group, "0")
        for identity, _ in client.xreadgroup(group, "c", {STREAM: ">"}, count=count)[0][1]:
            client.xack(STREAM, group, identity)
    trimmed = trim(server)
    assert trimmed.held_by == "slow"
    assert [identity for identity, _ in client.xrange(STREAM)] == ids[29:]  # the last one delivered may stay
    unread = client.xreadgroup("slow", "c", {STREAM: ">"})[0][1]
    assert [identity for identity, _ in unread] == ids[30:]


def test_what_is_pending_stays(server) -> None:
    client, ids = filled(server)
    client.xgroup_create(STREAM, "g", "0")
    client.xreadgroup("g", "crashed", {STREAM: ">"}, count=100)
    client.xack(STREAM, "g", *ids[:10], *ids[11:])
    assert trim(server).removed == 10
    assert client.xrange(STREAM)[0][0] == ids[10]
    assert client.xautoclaim(STREAM, "g", "other", 0)[2] == []


def test_a_group_that_has_read_nothing_keeps_everything(server) -> None:
    client, ids = filled(server)
    client.xgroup_create(STREAM, "g", "0")
    assert trim(server).removed == 0
    assert client.xlen(STREAM) == len(ids)


def test_without_a_group_only_age_trims(server) -> None:
    _, ids = filled(server)
    assert trim(server).removed == 0
    assert trim(server, 3600.0, only_read=False).removed == 0
    assert trim(server, only_read=False).removed == len(ids)


def test_young_entries_stay_though_every_group_has_read_them(server) -> None:
    client, ids = filled(server)
    client.xgroup_create(STREAM, "g", "$")
    assert trim(server, 3600.0, only_read=False).removed == 0
    assert client.xlen(STREAM) == len(ids)


def test_a_stream_that_does_not_exist_is_left_alone(server) -> None:
    assert trim(server).removed == 0
    assert not server.client.exists(STREAM)


def test_groups_are_compared_by_whole_ids_not_by_milliseconds_only(server) -> None:
    """Two groups whose places share a millisecond: the lower sequence number must decide."""
    client = server.client
    ids = [client.xadd(STREAM, {"event": str(number)}, id=f"1000-{number}") for number in range(20)]
    for group, count in (("fast", 15), ("slow", 5)):
        client.xgroup_create(STREAM, group, "0")
        entries = client.xreadgroup(group, "c", {STREAM: ">"}, count=count)[0][1]
        client.xack(STREAM, group, *(identity for identity, _ in entries))
    assert trim(server).held_by == "slow"
    assert client.xrange(STREAM)[0][0] == ids[4]


def test_a_full_server_can_be_trimmed(make_server) -> None:
    server = make_server(maxmemory="3mb", appendonly="no")
    server.start()
    client = server.client
    client.xgroup_create(STREAM, "g", "0", mkstream=True)
    with contextlib.suppress(redis.exceptions.OutOfMemoryError):
        while True:
            client.xadd(STREAM, {"event": "x" * 10_000})
    client.xreadgroup("g", "c", {STREAM: ">"}, noack=True)
    assert trim(server).removed > 10
