"""Subscriptions against a real server."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stream.events.schema import CoverageGapEvent, EventNumbers
from stream.subscribe.client import SubscriptionError, subscribe, subscribe_async

STREAM = "hoistream:events"
pytestmark = pytest.mark.timeout(60)  # a `next` that never returns fails soon


def add(server, events) -> list[str]:
    return [server.client.xadd(STREAM, {"event": event.model_dump_json()}) for event in events]


def pending(server, group: str = "g") -> int:
    return int(server.client.xpending(STREAM, group)["pending"])


def take(subscription, count: int) -> list[int]:
    return [event.seq for event in itertools.islice(subscription, count)]


def test_consumers_of_a_group_share_the_events_and_acknowledge_them(server, make_events) -> None:
    add(server, make_events(250))
    with subscribe(server.url, group="g", consumer="one") as one:
        first = take(one, 120)
    with subscribe(server.url, group="g", consumer="two", claim_idle_s=60) as two:
        second = take(two, 50)
    assert first == list(range(1, 121))
    assert second == list(range(201, 251))  # what the first one was handed and did not take is still its own
    assert pending(server) == 80
    with subscribe(server.url, group="g", consumer="one") as again:
        assert take(again, 80) == list(range(121, 201))
    assert pending(server) == 0


def test_what_a_crashed_consumer_held_goes_to_another_one(server, make_events) -> None:
    add(server, make_events(10))
    crashed = subscribe(server.url, group="g", consumer="crashed")
    assert take(crashed, 4) == [1, 2, 3, 4]  # and then nothing more is heard of it
    time.sleep(0.25)
    with subscribe(server.url, group="g", consumer="other", claim_idle_s=0.2) as other:
        assert take(other, 10) == list(range(1, 11))
    assert pending(server) == 0


def test_a_body_that_raises_leaves_its_event_unacknowledged(server, make_events) -> None:
    add(server, make_events(5))
    with pytest.raises(RuntimeError), subscribe(server.url, group="g", consumer="c") as events:
        for event in events:
            if event.seq == 3:
                raise RuntimeError
    with subscribe(server.url, group="g", consumer="c") as events:
        assert take(events, 3) == [3, 4, 5]


def test_what_is_no_event_goes_to_the_dead_letters_at_once(server, make_events) -> None:
    server.client.xadd(STREAM, {"event": '{"schema_version": 2}'})
    server.client.xadd(STREAM, {"other": "field"})
    add(server, make_events(1))
    with subscribe(server.url, group="g") as events:
        assert next(events).seq == 1
        assert events.buried == 2
    assert server.client.xlen(STREAM + ":dead") == 2
    assert pending(server) == 0


def test_what_a_newer_producer_adds_is_passed_over_and_never_buried(server, make_events) -> None:
    (event,) = make_events(1)
    newer = json.dumps(event.model_dump(mode="json") | {"weather": "rain"})
    alert = json.dumps(event.model_dump(mode="json") | {"type": "hologram", "event_id": "a", "seq": 2})
    for text in (alert, newer, alert):
        server.client.xadd(STREAM, {"event": text})
    with subscribe(server.url, group="g") as events:
        assert next(events) == event
        add(server, make_events(1, "last"))
        assert next(events).source_id == "last"
        assert events.buried == 0
    assert pending(server) == 0


def test_entries_deleted_while_pending_raise_an_alarm(server, make_events, caplog) -> None:
    ids = add(server, make_events(5))
    take(subscribe(server.url, group="g", consumer="crashed"), 1)
    server.client.xdel(STREAM, ids[1], ids[2])
    time.sleep(0.06)
    with subscribe(server.url, group="g", consumer="other", claim_idle_s=0.05) as events:
        assert take(events, 3) == [1, 4, 5]
        assert events.lost_ids == 2
    assert "2 entries were deleted" in caplog.text


def test_a_consumer_that_finds_its_own_entries_deleted_raises_the_alarm_too(server, make_events) -> None:
    ids = add(server, make_events(3))
    take(subscribe(server.url, group="g", consumer="same"), 1)
    server.client.xdel(STREAM, ids[1])
    with subscribe(server.url, group="g", consumer="same") as events:
        assert take(events, 2) == [1, 3]
        assert events.lost_ids == 1
    assert pending(server) == 0


def test_a_slow_consumer_keeps_what_it_was_handed(server, make_events) -> None:
    add(server, make_events(6))
    slow = subscribe(server.url, group="g", consumer="slow", claim_idle_s=0.3)
    stolen: list[int] = []

    def steal() -> None:
        with subscribe(server.url, group="g", consumer="thief", claim_idle_s=0.3) as thief:
            stolen.extend(event.seq for event in itertools.islice(thief, 1))

    assert next(slow).seq == 1
    thread = threading.Thread(target=steal, daemon=True)
    thread.start()
    for expected in range(2, 7):
        time.sleep(0.15)
        assert next(slow).seq == expected
    slow.close()
    assert stolen == []
    add(server, make_events(1, "end"))  # frees the thief
    thread.join(5)


def test_a_server_that_came_back_empty_is_read_from_its_beginning(server, make_events) -> None:
    events = make_events(8)
    add(server, events[:4])
    with subscribe(server.url, group="g", start="new") as subscription:
        waiter = threading.Timer(0.2, lambda: add(server, events[4:5]))
        waiter.start()
        assert next(subscription).seq == 5
        server.client.flushall()
        add(server, events)
        assert take(subscription, 7) == [1, 2, 3, 4, 6, 7, 8]  # 5 was handled before
        assert subscription.duplicates == 1


def test_a_lost_connection_is_mended(server, make_events) -> None:
    add(server, make_events(3))
    with subscribe(server.url, group="g") as events:
        assert take(events, 3) == [1, 2, 3]
        server.kill()
        threading.Timer(0.3, lambda: (server.start(), add(server, make_events(1, "later")))).start()
        assert next(events).source_id == "later"


def test_filters_select_and_what_they_leave_out_is_acknowledged(server, make_events) -> None:
    rides = make_events(2, "a") + make_events(2, "b", type="ended")
    holds = make_events(2, "c", verb="hold", object="cup", interaction="hold cup")
    gap = CoverageGapEvent(
        **EventNumbers("run", "d").next(), media_time_s=1, from_media_s=0, to_media_s=1, blind_s=1, reason="stalled"
    )
    add(server, [*rides, *holds, gap])

    def found(**filters) -> list[str]:
        return [event.source_id for event in subscribe(server.url, follow=False, **filters)]

    assert found() == ["a", "a", "b", "b", "c", "c", "d"]
    assert found(sources={"a", "d"}) == ["a", "a", "d"]
    assert found(verbs={"ride"}) == ["a", "a", "b", "b"]
    assert found(objects={"cup"}) == ["c", "c"]
    assert found(interactions={"hold cup"}, types={"ended"}) == []
    assert found(types={"coverage_gap"}) == ["d"]
    with subscribe(server.url, group="g", objects={"cup"}) as events:
        assert [next(events).source_id for _ in range(2)] == ["c", "c"]
    assert pending(server) <= 1  # the gap, which was not looked at yet


def test_a_replay_starts_and_stops_at_given_times(server, make_events) -> None:
    base = 1_795_435_200_000
    for number, event in enumerate(make_events(10)):
        server.client.xadd(STREAM, {"event": event.model_dump_json()}, id=f"{base + 1000 * number}-0")
    start, until = (datetime.fromtimestamp(base / 1000 + s, UTC) for s in (3, 6))
    assert take(subscribe(server.url, start=start, until=until, follow=False), 99) == [4, 5, 6]
    with subscribe(server.url, group="late", start=start) as events:
        assert take(events, 2) == [4, 5]
    recent = subscribe(server.url, start=timedelta(days=36500), follow=False)
    assert len(list(recent)) == 10


def test_looking_without_a_group_starts_with_what_is_new(server, make_events) -> None:
    events = make_events(4)
    add(server, events[:2])
    threading.Timer(0.2, lambda: add(server, events[2:])).start()
    assert take(subscribe(server.url, start="new"), 2) == [3, 4]


def test_asyncio_subscribers_get_the_same(server, make_events) -> None:
    add(server, make_events(120))

    async def read() -> list[int]:
        found = []
        async with subscribe_async(server.url, group="g", consumer="a") as events:
            async for event in events:
                found.append(event.seq)
                if event.seq == 100:
                    server.kill()
                    server.start()
                if event.seq == 120:
                    break
        return found

    assert asyncio.run(asyncio.wait_for(read(), 20)) == list(range(1, 121))
    assert pending(server) == 0


def test_waiting_leaves_an_event_loop_free(server, make_events) -> None:
    async def read() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticker = asyncio.create_task(tick())
        async with subscribe_async(server.url, group="g") as events:
            asyncio.get_running_loop().call_later(0.4, lambda: add(server, make_events(1)))
            await anext(events)
        ticker.cancel()
        return ticks

    assert asyncio.run(read()) > 10


def test_what_waiting_does_not_mend_is_an_error_without_secrets(make_server) -> None:
    server = make_server(requirepass="right-secret")
    server.start()
    with pytest.raises(SubscriptionError, match="password") as caught:
        next(subscribe(server.url.replace("right-secret", "wrong-secret"), group="g"))
    assert "secret" not in str(caught.value)
    server.client.set("plain", 1)
    with pytest.raises(SubscriptionError, match="not a stream"):
        next(subscribe(server.url + "?stream=plain", group="g"))
    with pytest.raises(SubscriptionError, match="expected redis://"):
        subscribe("http://user:secret@host/")


def test_the_example_says_who_started_what(server, make_events) -> None:
    add(server, make_events(1, "gate"))
    command = [sys.executable, "examples/subscribe.py", server.url]
    root = Path(__file__).resolve().parents[3]
    example = subprocess.Popen(
        command, cwd=root, env=os.environ | {"PYTHONPATH": "."}, stdout=subprocess.PIPE, text=True
    )
    assert example.stdout is not None
    assert example.stdout.readline().startswith("gate: human 3, ride bicycle, since 1.0 s: score 0.71")
    example.kill()
    example.wait()


@pytest.mark.parametrize("group", ["g", None])
def test_closing_from_another_thread_ends_the_iteration_quietly(
    server, make_events, group, monkeypatch, caplog
) -> None:
    add(server, make_events(1))
    failures: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failures.append)
    events = subscribe(server.url, group=group, start="beginning")
    seen: list[int] = []
    thread = threading.Thread(target=lambda: [seen.append(event.seq) for event in events])
    thread.start()
    deadline = time.monotonic() + 10
    while not (seen or time.monotonic() > deadline):
        time.sleep(0.01)
    time.sleep(0.1)  # the thread waits for the next event now
    events.close()
    thread.join(5)
    assert not thread.is_alive()
    assert not failures
    assert seen == [1]
    assert not caplog.messages, "no complaint about a connection that was closed on purpose"
