"""At least once, whatever happens to consumers, connections and the server: groups against a real server."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import redis

from stream.events.redis_pipe import RedisPipe
from stream.events.schema import EventNumbers
from stream.publish.publisher import Publisher
from stream.publish.trimming import trim
from stream.subscribe import reader as reader_module
from stream.subscribe.client import Subscription, SubscriptionError, subscribe, subscribe_async
from stream.subscribe.group_reading import GroupReader
from stream.subscribe.settings import ReadSettings
from stream.subscribe.steps import Call, HandOver, Step, resume
from tests.stream.publish.support import wait_until

STREAM = "hoistream:events"
pytestmark = pytest.mark.timeout(60)  # a `next` that never returns fails soon
REPOSITORY = Path(__file__).resolve().parents[3]


def add(server, events) -> list[str]:
    pipeline = server.client.pipeline(transaction=False)
    for event in events:
        pipeline.xadd(STREAM, {"event": event.model_dump_json()})
    return pipeline.execute()


def pending(server, group: str = "g") -> int:
    return int(server.client.xpending(STREAM, group)["pending"])


def take(subscription, count: int) -> list[int]:
    return [event.seq for event in itertools.islice(subscription, count)]


def dead(server) -> list[str]:
    return [fields["event"] for _, fields in server.client.xrange(STREAM + ":dead")]


# Handing over


def handle_until_death(server, poison: int, seen: list[int], **options) -> bool:
    """Handle events as a process would that dies at event `poison`: nothing is acknowledged on the way out."""
    events = subscribe(server.url, group="g", consumer="c", follow=False, **options)
    for event in events:
        seen.append(event.seq)
        if event.seq == poison:
            events._pipe.drop()
            return True
    events.close()
    return False


@pytest.mark.parametrize("max_tries", [1, 2, 5])
def test_a_poison_event_costs_only_itself_and_is_handed_over_so_often(max_tries, server, make_events) -> None:
    add(server, make_events(300))
    seen: list[int] = []
    deaths = 0
    while handle_until_death(server, 51, seen, max_tries=max_tries):
        deaths += 1
        assert deaths < 10
    assert set(seen) == set(range(1, 301))
    (buried,) = dead(server)
    assert '"seq":51,' in buried
    assert seen.count(51) == deaths == 1 + max_tries  # the first time, with others, is not counted
    assert pending(server) == 0
    assert server.client.hlen("{hoistream:events}:tries:g") == 0


def test_a_consumer_that_is_killed_over_and_over_never_buries_what_no_handler_saw(server, make_events) -> None:
    """A real process, killed with `kill -9` in the middle of every batch."""
    add(server, make_events(400))
    code = """
import sys
from stream.subscribe.client import subscribe
for event in subscribe(sys.argv[1], group="g", consumer="c", max_tries=2, claim_idle_s=0.05):
    print(event.seq, flush=True)
"""
    seen: list[int] = []
    for turn in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", code, server.url], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
        )
        assert child.stdout is not None
        for line in child.stdout:
            seen.append(int(line))
            if len(seen) >= 37 * (turn + 1):
                break
        child.kill()
        seen += [int(line) for line in child.stdout.read().split("\n")[:-1] if line]
        child.wait()
        child.stdout.close()
    with subscribe(server.url, group="g", consumer="c", follow=False) as events:
        seen += [event.seq for event in events]
    buried = [int(event.split('"seq":')[1].split(",")[0]) for event in dead(server)]
    assert set(buried) <= set(seen)
    assert set(seen) == set(range(1, 401))


def test_cut_connections_bury_nothing(server, make_events) -> None:
    add(server, make_events(300))
    stop = threading.Event()

    def cut() -> None:
        while not stop.wait(0.02):
            with contextlib.suppress(redis.RedisError):
                server.client.client_kill_filter(_type="normal", skipme=True)

    cutter = threading.Thread(target=cut)
    cutter.start()
    seen: list[int] = []
    with subscribe(server.url, group="g", consumer="c", max_tries=2) as events:
        for event in events:
            seen.append(event.seq)
            time.sleep(0.001)
            if len(seen) == 300:
                break
        stop.set()
        cutter.join()
        assert events.buried == 0
    assert seen == list(range(1, 301))
    wait_until(lambda: pending(server) == 0)


def test_what_another_consumer_left_is_counted_by_who_handed_it_over(server, make_events) -> None:
    add(server, make_events(3))
    for number in range(5):  # five consumers die at the first event, having been given all three
        events = subscribe(server.url, group="g", consumer=f"c{number}", claim_idle_s=0.02, max_tries=4)
        assert next(events).seq == 1
        events._pipe.drop()
        time.sleep(0.03)
    with subscribe(server.url, group="g", consumer="last", claim_idle_s=0.02, max_tries=4, follow=False) as events:
        assert [event.seq for event in events] == [2, 3]
        assert events.buried == 1
    assert '"seq":1,' in dead(server)[0]


def test_handled_events_of_a_slow_handler_are_acknowledged_while_it_works(server, make_events) -> None:
    add(server, make_events(10))
    events = subscribe(server.url, group="g", consumer="c")
    for _ in range(4):
        next(events)
        time.sleep(0.11)
    assert pending(server) <= 9  # a crash now would bring back less than the batch
    events.close(handled=False)


# A server at its memory cap


@pytest.fixture
def full_server(make_server, make_events):
    server = make_server(maxmemory="4mb", appendonly="no")
    server.start()
    client = server.client
    client.xgroup_create(STREAM, "g", "0", mkstream=True)
    numbers = EventNumbers("run", "cam")
    with contextlib.suppress(redis.exceptions.OutOfMemoryError):
        while True:
            for event in make_events(50, numbers=numbers):
                client.xadd(STREAM, {"event": event.model_dump_json()})
    return server


def test_a_consumer_starts_on_a_full_server_and_frees_it(full_server, tmp_path, make_events) -> None:
    waiting = full_server.client.xlen(STREAM)
    with Publisher([full_server.url], tmp_path) as publisher:
        publisher.publish(make_events(1, "late", "late")[0])
        wait_until(lambda: publisher.state.state == "redis_full")
        with subscribe(full_server.url, group="g") as events:
            for event in events:
                if event.source_id == "late":
                    break
        assert publisher.flush(10)
    assert waiting > 100


def test_a_new_group_can_be_made_on_a_full_server_and_poison_put_away(full_server) -> None:
    with subscribe(full_server.url, group="new", consumer="c", follow=False) as events:
        assert next(events).seq == 1
        events.close(handled=False)
    with subscribe(full_server.url, group="new", consumer="c", max_tries=1, follow=False) as events:
        assert next(events).seq == 1
        events.close(handled=False)
    with subscribe(full_server.url, group="new", consumer="c", max_tries=1, follow=False) as events:
        assert next(events).seq == 2
        assert events.buried == 1


# Entries that something else deleted


def test_unread_entries_that_were_trimmed_are_counted_once_for_the_group(server, make_events, caplog) -> None:
    ids = add(server, make_events(300))
    with subscribe(server.url, group="g", consumer="one") as events:
        assert take(events, 100)[-1] == 100
    server.client.xtrim(STREAM, maxlen=0, approximate=False)  # 200 that nobody was given
    add(server, make_events(5, "later"))
    one = subscribe(server.url, group="g", consumer="one", follow=False)
    two = subscribe(server.url, group="g", consumer="two", follow=False)
    assert len(list(one)) + len(list(two)) == 5
    assert one.lost_ids + two.lost_ids == 200
    assert "200 entries were deleted before they were handled" in caplog.text
    assert len(ids) == 300


def test_every_new_deletion_is_counted_and_none_twice(server, make_events) -> None:
    numbers = EventNumbers("run", "cam")
    add(server, make_events(10, numbers=numbers))
    with subscribe(server.url, group="g", consumer="c", follow=False) as events:
        assert len(list(events)) == 10
    lost = []
    for count, keep in ((20, 15), (20, 20), (30, 1), (10, 0)):
        add(server, make_events(count, numbers=numbers))
        server.client.xtrim(STREAM, maxlen=keep, approximate=False)
        with subscribe(server.url, group="g", consumer="c", follow=False) as events:
            assert len(list(events)) == keep
            lost.append(events.lost_ids)
    assert lost == [5, 0, 29, 10]


def test_single_entries_deleted_before_they_were_read_are_counted(server, make_events) -> None:
    add(server, make_events(10))
    with subscribe(server.url, group="g", consumer="c", follow=False) as events:
        take(events, 10)
    ids = add(server, make_events(20, "other"))
    server.client.xdel(STREAM, *ids[3:7])
    with subscribe(server.url, group="g", consumer="c", follow=False) as events:
        assert len(list(events)) == 16
        assert events.lost_ids == 4


@pytest.mark.parametrize("start", ["beginning", "new"])
def test_what_was_gone_before_a_group_began_is_none_of_its_losses(start, server, make_events) -> None:
    add(server, make_events(50))
    server.client.xtrim(STREAM, maxlen=20, approximate=False)
    with subscribe(server.url, group="g", start=start, follow=False) as events:
        assert len(list(events)) == (20 if start == "beginning" else 0)
        assert events.lost_ids == 0
    add(server, make_events(5, "later"))
    server.client.xtrim(STREAM, maxlen=3, approximate=False)
    with subscribe(server.url, group="g", follow=False) as events:
        assert len(list(events)) == 3
        assert events.lost_ids == 2


def test_our_own_trimming_loses_nothing_for_any_group(server, make_events) -> None:
    numbers = EventNumbers("run", "cam")
    pipe = RedisPipe(server.url)
    server.client.xgroup_create(STREAM, "slow", "0", mkstream=True)
    for _ in range(5):
        add(server, make_events(60, numbers=numbers))
        with subscribe(server.url, group="g", consumer="c") as events:
            take(events, 50)
        time.sleep(0.002)
        trim(pipe, STREAM.encode(), 0.0)
        with subscribe(server.url, group="slow", consumer="c") as events:
            take(events, 20)
            assert events.lost_ids == 0
    with subscribe(server.url, group="g", consumer="c", follow=False) as events:
        assert len(list(events)) == 50
        assert events.lost_ids == 0


# Ends and mistakes


def test_reading_what_waits_and_then_stopping_works_with_a_group(server, make_events) -> None:
    add(server, make_events(250))
    with subscribe(server.url, group="g", follow=False) as events:
        assert len(list(events)) == 250
    with subscribe(server.url, group="g", follow=False) as events:
        assert list(events) == []
    assert pending(server) == 0

    async def read() -> int:
        async with subscribe_async(server.url, group="other", follow=False) as events:
            return len([event async for event in events])

    assert asyncio.run(asyncio.wait_for(read(), 10)) == 250


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"types": {"start"}}, "'start' is not known; expected started"),
        ({"sources": "cam1"}, "expected a set of names, got the text 'cam1'"),
        ({"group": "g", "until": "x"}, "only goes without a group"),
        ({"max_tries": 0}, "max_tries"),
        ({"claim_idle_s": 0}, "claim_idle_s"),
        ({"start": "yesterday"}, "expected 'beginning', 'new'"),
    ],
)
def test_options_that_could_never_work_are_refused_at_once(options, message) -> None:
    for open_subscription in (subscribe, subscribe_async):
        with pytest.raises(SubscriptionError, match=message):
            open_subscription("redis://127.0.0.1:1/0", **options)


def test_a_key_of_another_kind_is_named(server, make_events) -> None:
    add(server, make_events(1))
    server.client.xadd(STREAM, {"event": "no event"})
    server.client.set(STREAM + ":dead", "something else")
    with (
        pytest.raises(SubscriptionError, match="`hoistream:events:dead` is not a stream"),
        subscribe(server.url, group="g", follow=False) as events,
    ):
        list(events)
    server.client.set("{hoistream:events}:tries:g2", "something else")
    for _ in range(2):
        events = subscribe(server.url, group="g2", consumer="c", follow=False)
        with contextlib.suppress(SubscriptionError):
            next(events)
        events.close(handled=False)
    with pytest.raises(SubscriptionError, match="tries:g2` is not a hash"):
        next(subscribe(server.url, group="g2", consumer="c", follow=False))


def test_garbage_from_the_server_is_waited_out(server, make_events, free_tcp_port) -> None:
    """For 30 connections the server babbles; then it answers like a server again."""
    add(server, make_events(5))
    babbles = iter([b":12x\r\n", b"*3\r\n:1\r\n$1\r\na\r\n", b"\xff" * 40, b"+OK\r\n", b"*1\r\n*0\r\n"] * 2)
    listener = socket.create_server(("127.0.0.1", free_tcp_port))

    def serve() -> None:
        for babble in babbles:
            client, _ = listener.accept()
            client.recv(1000)
            client.sendall(babble * 3)
            client.close()
        listener.close()
        server.port = free_tcp_port
        server.start()

    server.client.save()
    server.kill()
    url = f"redis://127.0.0.1:{free_tcp_port}/0"
    threading.Thread(target=serve, daemon=True).start()
    with subscribe(url, group="g") as events:
        assert take(events, 5) == [1, 2, 3, 4, 5]


# The rules alone, driven by hand


class Stage:
    """Drives a reader's steps with scripted replies, and keeps what it asked for."""

    def __init__(self, reader: GroupReader) -> None:
        self.calls: list[tuple] = []
        self._steps = reader.steps()

    def until_event(self, replies: list) -> Step:
        """Answer calls with `replies` until an event is handed over."""
        step = next(self._steps)
        while isinstance(step, Call):
            self.calls.append(step.arguments)
            step = resume(self._steps, replies.pop(0))
        return step


def raw(identity: int, event) -> list:
    return [b"%d-0" % identity, [b"event", event.model_dump_json().encode()]]


def test_an_id_is_acknowledged_once(make_events) -> None:
    first, second, third = make_events(3)
    stage = Stage(GroupReader(ReadSettings(stream="s", group="g", consumer="c", batch=1), "g"))
    nothing_pending, nothing_claimed = [], [b"0-0", [], []]
    for step in (
        stage.until_event([nothing_pending, nothing_claimed, [0, [raw(1, first)]]]),
        stage.until_event([1, [0, [raw(2, second)]]]),
        stage.until_event([1, [0, [raw(3, third)]]]),
    ):
        assert isinstance(step, HandOver)
    acknowledged = [identity for call in stage.calls if call[0] == "XACK" for identity in call[3:]]
    assert acknowledged == [b"1-0", b"2-0"]


def test_the_oldest_id_is_forgotten_not_the_newest(server, make_events, monkeypatch) -> None:
    monkeypatch.setattr(reader_module, "_REMEMBERED", 3)
    events = make_events(5)
    add(server, [*events, *events[2:], events[0]])
    with subscribe(server.url, group="g", follow=False) as subscription:
        assert [event.seq for event in subscription] == [1, 2, 3, 4, 5, 1]
        assert subscription.duplicates == 3


def test_a_subscription_that_was_never_read_closes_quietly() -> None:
    subscription = subscribe("redis://127.0.0.1:1/0", group="g")
    assert isinstance(subscription, Subscription)
    subscription.close()
    subscription.close()
