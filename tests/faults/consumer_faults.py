"""Faults of consumers: killed, stopped, sharing, and dying of certain events."""

from __future__ import annotations

from stream.events.schema import Event
from tests.faults.checking import stream_events
from tests.faults.consume import is_poison
from tests.faults.fault import Faults
from tests.faults.world import World

FAULTS = Faults("consumer")
POISON = 150  # one event in so many


@FAULTS.enter("the consumer is killed, five times")
def _(world: World) -> None:
    for _ in range(5):
        world.kill_consumer()
        world.start_consumer()
        world.work(world.random.uniform(0.3, 0.8))


@FAULTS.enter("the consumer is away for 3 s")
def _(world: World) -> None:
    world.kill_consumer()
    world.work(3.0)
    world.start_consumer()


@FAULTS.enter("a consumer is stopped for 3 s, and another takes over what it held")
def _(world: World) -> None:
    assert world.consumer is not None
    world.consumer_died = True  # what it had handled, and not acknowledged, comes again
    second = world.another_consumer("two")
    world.work(0.5)
    with world.stopped(world.consumer.pid):
        world.work(3.0)
    world.work(0.5)
    second.terminate()
    second.wait(20)


@FAULTS.enter("two consumers share the work, one of them is killed")
def _(world: World) -> None:
    world.consumer_died = True
    second = world.another_consumer("two")
    world.work(1.0)
    second.kill()
    second.wait()
    world.work(2.5)  # until the first takes over what it held


@FAULTS.enter("a handler that dies of one event in 150", alone=True)
def _(world: World) -> None:
    world.kill_consumer()
    before = set(world.handled_ids())  # some of the poison too: this handler stood it
    world.work(2.0)
    world.end_publisher()
    world.start_consumer(poison=POISON)
    world.wait_for(lambda: _through(world, stream_events(world.direct)), what="the consumer to get past its poison")
    streamed = stream_events(world.direct)
    poison = {event.event_id for event in streamed if is_poison(event, POISON)}
    buried = set(world.buried_ids())
    if not poison - before <= buried <= poison:
        world.failures.append(
            f"buried: {len(buried - poison)} that are no poison; not buried: {len(poison - before - buried)}"
        )
    if (poison - before) & set(world.handled_ids()):
        world.failures.append("poison counts as handled")
    if not poison - before:
        world.failures.append("there was no poison: nothing was tried")
    world.kill_consumer()
    world.start_consumer()
    world.start_publisher()
    world.work(0.5)


def _through(world: World, streamed: list[Event]) -> bool:
    """Start the consumer again where it died; return whether every event was handled or buried."""
    assert world.consumer is not None
    if world.consumer.poll() is not None:
        world.start_consumer(poison=POISON)
    return {event.event_id for event in streamed} <= {*world.handled_ids(), *world.buried_ids()}
