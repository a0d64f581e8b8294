"""The idempotent append against a real server, and against one that sends anything at all."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from stream.events.schema import EventNumbers
from stream.publish.records import Record
from stream.publish.redis_sink import RedisSink, SinkDownError, SinkFullError, SinkLostError
from tests.stream.publish.support import STREAM, in_order_without_holes, stored

DAY_S = 86400


@pytest.fixture
def make_records(make_events):
    def make(count: int, source_id: str = "cam", run_id: str = "run", first: int = 1, **fields) -> list[Record]:
        numbers = EventNumbers(run_id, source_id, first - 1)
        return [Record.of(event) for event in make_events(count, numbers=numbers, **fields)]

    return make


def test_a_batch_of_many_sources_and_runs_arrives_in_its_order(server, make_records) -> None:
    """Live sources have a run id each: their events are still appended in few calls, in the order of the batch."""
    lanes = [make_records(150, f"cam{n}", f"run{n % 3}") for n in range(7)]
    records = [record for together in zip(*lanes, strict=True) for record in together]
    sink = RedisSink(server.url)
    assert sink.append(records) == len(records)
    assert sink.append(records) == 0
    assert [event.model_dump_json().encode() for event in stored(server)] == [record.json for record in records]
    calls = server.client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert calls < 15


def test_a_sink_that_knows_nothing_asks_the_server_and_sends_what_is_missing(server, make_records) -> None:
    records = make_records(700)
    assert RedisSink(server.url).append(records[:450]) == 450
    assert RedisSink(server.url).append(records) == 250
    assert in_order_without_holes(stored(server))
    assert RedisSink(server.url).append(records[:10]) == 0


def test_an_interrupted_batch_is_finished_and_never_doubled(server, make_records) -> None:
    """Parts arrive, their replies do not: the marks move only with a reply, and sending again adds the rest."""
    records = make_records(1000)
    sink = RedisSink(server.url)
    receive = sink._pipe.receive
    left = [2]

    def cut() -> object:
        if not left[0]:
            sink._pipe.drop()
            raise ConnectionError
        left[0] -= 1
        return receive()

    sink._pipe.receive = cut  # type: ignore[method-assign]
    with pytest.raises((SinkDownError, ConnectionError)):
        sink.append(records)
    sink._pipe.receive = receive  # type: ignore[method-assign]
    sink.append(records)  # no SinkLostError: nothing was taken for granted that had no reply
    assert len(stored(server)) == 1000
    assert in_order_without_holes(stored(server))


def test_marks_are_kept_for_a_month(server, make_records) -> None:
    sink = RedisSink(server.url)
    sink.append(make_records(3))
    (key,) = server.client.keys("*:last:*")
    assert 29 * DAY_S < server.client.ttl(key) <= 30 * DAY_S
    server.client.expire(key, 60)
    sink.append(make_records(1, first=4))
    assert server.client.ttl(key) > 29 * DAY_S


def test_a_server_that_forgot_is_noticed_at_the_next_event_and_at_the_next_look(server, make_records) -> None:
    sink = RedisSink(server.url)
    sink.append(make_records(3))
    assert not sink.look()
    server.client.flushall()
    with pytest.raises(SinkLostError):
        sink.append(make_records(1, first=4))
    with pytest.raises(SinkLostError):
        sink.look()
    sink.rewind()
    assert sink.append(make_records(4)) == 4
    assert not sink.look()


@pytest.mark.parametrize("notices", ["append", "look"])
def test_marks_that_went_alone_are_restored_from_the_stream_and_nothing_is_doubled(
    notices: str, server, make_records, caplog
) -> None:
    """Eviction under volatile-lru takes the marks, which have a time to live, and leaves the stream."""
    first = [*make_records(600, "a"), *make_records(700, "b", run_id="other")]
    sink = RedisSink(server.url)
    sink.append(first)
    assert not sink.look()
    server.client.delete(*server.client.keys("{*"))
    foreign = server.client.xadd(STREAM, {"event": "no event"})
    if notices == "look":
        assert not sink.look()
    more = make_records(650, "a")
    assert sink.append([*first, *more]) == 50
    server.client.delete(*server.client.keys("{*"))
    restarted = RedisSink(server.url)
    restarted.meet(first)
    assert restarted.append([*first, *more]) == 0
    server.client.xdel(STREAM, foreign)
    assert in_order_without_holes(stored(server))
    assert "the server lost marks, not events" in caplog.text
    (a,) = server.client.keys("*:last:run")
    assert server.client.ttl(a) > 29 * DAY_S


def test_a_server_that_lost_the_newest_events_with_their_marks_gets_these_and_no_others(server, make_records) -> None:
    sink = RedisSink(server.url)
    sink.append(make_records(900))
    (key,) = server.client.keys("*:last:*")
    server.client.xdel(STREAM, *(entry for entry, _ in server.client.xrevrange(STREAM, count=40)))
    server.client.hset(key, "cam", 860)
    with pytest.raises(SinkLostError):
        sink.append(make_records(5, first=901))
    sink.rewind()
    assert sink.append(make_records(905, first=1)) == 45
    assert in_order_without_holes(stored(server))


def test_what_the_server_lost_and_nobody_keeps_is_counted(server, make_records) -> None:
    sink = RedisSink(server.url)
    sink.append([*make_records(10, "a"), *make_records(5, "b"), *make_records(4, "c")])
    server.client.flushall()
    sink.rewind()
    sink.append([*make_records(4, "a", first=8), *make_records(4, "c")])  # the spool has no older ones, and none of b
    sink.settle()
    assert sink.unrecoverable == 7 + 5


def test_another_sender_of_the_same_run_is_met_without_doubles(server, make_records) -> None:
    one, other = RedisSink(server.url), RedisSink(server.url)
    assert one.append(make_records(10)) == 10
    assert other.append(make_records(20)) == 10
    assert one.append(make_records(20, first=11)) == 10
    assert in_order_without_holes(stored(server))


def test_deletion_by_others_is_counted_once_however_it_was_done(server, make_records) -> None:
    client, sink, second = server.client, RedisSink(server.url), RedisSink(server.url)
    sink.append(make_records(100))
    assert [sink.look().entries, second.look().entries] == [0, 0]

    def told(looking: RedisSink, count: int) -> None:
        gone = looking.look()
        assert gone.entries == count
        assert gone == looking.look() == RedisSink(server.url).look()._replace(key=gone.key), "until it is told"
        looking.look(gone)
        assert [sink.look().entries, second.look().entries] == [0, 0]

    client.xtrim(STREAM, maxlen=80, approximate=False)
    told(sink, 20)
    ids = [identity for identity, _ in client.xrange(STREAM)]
    client.xdel(STREAM, *ids[10:15])
    told(second, 5)
    sink.append(make_records(10, first=101))
    sink.look()
    client.delete(STREAM)
    told(sink, 75 + 10)
    sink.append(make_records(3, first=111))
    assert not sink.look()


def test_what_is_deleted_while_a_loss_is_being_told_is_told_after_it(server, make_records) -> None:
    sink = RedisSink(server.url)
    sink.append(make_records(100))
    sink.look()
    server.client.xtrim(STREAM, maxlen=80, approximate=False)
    first = sink.look()
    server.client.xtrim(STREAM, maxlen=70, approximate=False)
    rest = sink.look(first)
    assert (first.entries, rest.entries) == (20, 10)
    assert rest.key != first.key
    sink.look(rest)
    assert not sink.look()


def test_a_stream_that_was_deleted_and_filled_again_between_two_looks_is_noticed(server, make_records) -> None:
    sink = RedisSink(server.url)
    sink.append(make_records(50))
    sink.look()
    sink.append(make_records(100, first=51))
    server.client.delete(STREAM)
    sink.append(make_records(200, first=151))
    assert sink.look().entries == 150


def test_our_own_trimming_is_no_deletion(server, make_records) -> None:
    sink = RedisSink(server.url + "?keep_h=0")
    sink.append(make_records(50))
    sink.look()
    server.client.xgroup_create(STREAM, "g", "$")
    assert sink.make_room().removed > 0
    sink.append(make_records(50, first=51))
    sink.trim()
    assert server.client.xlen(STREAM) <= 51
    assert not sink.look()


def test_a_server_that_evicts_is_named_and_not_driven_in_circles(make_server, make_records, caplog) -> None:
    server = make_server(**{"maxmemory": "6mb", "maxmemory-policy": "allkeys-lru", "appendonly": "no"})
    server.start()
    sink = RedisSink(server.url)
    sink.probe()
    assert "maxmemory-policy allkeys-lru loses events" in caplog.text
    with pytest.raises(SinkFullError, match="noeviction"):
        for turn in range(20):
            sink.append(make_records(500, first=1 + 500 * turn, why="x" * 150))
    assert in_order_without_holes(stored(server))  # nothing was evicted
    assert server.client.info("stats")["evicted_keys"] == 0


class Liar:
    """A server that answers whatever it is told to."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._socket.getsockname()[1]}/0"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
                client.recv(1 << 16)
                client.sendall(self._answer)
                client.close()
            except OSError:
                return

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def answers() -> Iterator[bytes]:
    yield from (
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b":12x\r\n",
        b"*3\r\n:1\r\n",
        b"$5\r\nab",
        b"*-7\r\n",
        b"\xff" * 99,
    )
    yield from (
        b"+OK\r\n" * 9,
        b":0\r\n" * 9,
        b"$-1\r\n" * 9,
        b"*0\r\n" * 9,
        b"-ERR no\r\n" * 9,
        b"*1\r\n$1\r\n7\r\n" * 9,
    )
    chance = random.Random(7)
    for _ in range(20):
        yield bytes(chance.choice(b"+-:$*0123456789\r\nabc\xff") for _ in range(80))


@pytest.mark.parametrize("answer", list(answers()))
def test_garbage_from_a_server_is_a_sink_that_is_down(answer: bytes, make_records) -> None:
    liar = Liar(answer)
    for act in (
        lambda sink: sink.append(make_records(2)),
        lambda sink: sink.look(),
        lambda sink: sink.trim(),
    ):
        sink = RedisSink(liar.url)
        with suppress(SinkDownError, SinkLostError):
            act(sink)
        sink.close()
    liar.close()
