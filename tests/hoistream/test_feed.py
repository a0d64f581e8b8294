from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

import pytest

from hoistream import feed as feed_module
from hoistream.feed import EventFeed
from stream.events.schema import Event


def in_a_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_full_feed_holds_its_producer_up_until_an_event_is_taken(make_events: Callable[..., list[Event]]) -> None:
    feed, events = EventFeed(2), make_events(3)
    producer = in_a_thread(lambda: [feed.put(event) for event in events])
    producer.join(0.2)
    assert producer.is_alive()
    assert feed.get() == events[0]
    producer.join(5)
    assert not producer.is_alive()
    assert [feed.get(), feed.get()] == events[1:]


def test_nobody_who_takes_events_is_told_so(
    make_events: Callable[..., list[Event]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(feed_module, "_WARN_AFTER_S", 0.05)
    feed, events = EventFeed(1), make_events(2)
    feed.put(events[0])
    warned = threading.Event()
    monkeypatch.setattr(feed_module.logger, "warning", lambda *message: (logging.warning(*message), warned.set()))
    producer = in_a_thread(lambda: feed.put(events[1]))
    assert warned.wait(5)
    assert "nobody takes the events: 1 wait" in caplog.text
    feed.release()
    producer.join(5)
    assert not producer.is_alive()


def test_what_was_put_before_the_end_is_taken_and_then_the_error_is_raised_once(
    make_events: Callable[..., list[Event]],
) -> None:
    feed, (event,) = EventFeed(5), make_events(1)
    feed.put(event)
    feed.finish(RuntimeError("it broke"))
    assert feed.get() == event
    with pytest.raises(RuntimeError, match="it broke"):
        feed.get()
    assert feed.get() is None


def test_after_discard_nothing_is_kept_and_nobody_waits(make_events: Callable[..., list[Event]]) -> None:
    feed, events = EventFeed(1), make_events(3)
    feed.put(events[0])
    producer = in_a_thread(lambda: [feed.put(event) for event in events[1:]])
    feed.discard()
    producer.join(5)
    assert not producer.is_alive()
    feed.finish(None)
    assert feed.get() is None


def test_tasks_wait_without_blocking_their_loop(make_events: Callable[..., list[Event]]) -> None:
    feed, events = EventFeed(5), make_events(3)

    async def main() -> list[Event | None]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while ticks < 5:
                await asyncio.sleep(0.01)
                ticks += 1

        async def produce() -> None:
            await asyncio.sleep(0.1)
            for event in events:
                await asyncio.to_thread(feed.put, event)
            feed.finish(None)

        async with asyncio.TaskGroup() as group:
            group.create_task(tick())
            group.create_task(produce())
            taken = [await feed.get_async() for _ in range(4)]
        assert ticks == 5
        return taken

    assert asyncio.run(asyncio.wait_for(main(), 10)) == [*events, None]


def test_a_task_that_is_cancelled_while_it_waits_loses_no_event(make_events: Callable[..., list[Event]]) -> None:
    feed, (event,) = EventFeed(5), make_events(1)

    async def main() -> Event | None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(feed.get_async(), 0.05)
        feed.put(event)
        return await feed.get_async()

    assert asyncio.run(main()) == event


def test_an_event_loop_that_is_gone_does_not_trouble_the_producer(make_events: Callable[..., list[Event]]) -> None:
    feed, (event,) = EventFeed(5), make_events(1)

    async def leave() -> None:
        asyncio.get_running_loop().create_task(feed.get_async())
        await asyncio.sleep(0.01)

    asyncio.run(leave())
    feed.put(event)
    assert feed.get() == event


def test_waiting_for_the_end_forgets_events_and_raises_what_ended_it(make_events: Callable[..., list[Event]]) -> None:
    feed, events = EventFeed(1), make_events(5)
    assert not feed.wait_finished(0.01)

    def work() -> None:
        for event in events:
            feed.put(event)
        feed.finish(RuntimeError("it broke"))

    in_a_thread(work)
    with pytest.raises(RuntimeError, match="it broke"):
        feed.wait_finished(5)
    assert feed.wait_finished(0)
