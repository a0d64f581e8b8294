"""Foreign hands on the stream: trimmed, deleted, overwritten by something other than hoistream."""

from __future__ import annotations

from tests.faults.checking import trimmed_entries
from tests.faults.fault import Faults
from tests.faults.world import STREAM, World

FAULTS = Faults("stream")


@FAULTS.enter("somebody trims the stream (XTRIM)", accounts=True)
def _(world: World) -> None:
    world.client.xtrim(STREAM, maxlen=world.random.randint(0, 100), approximate=False)
    world.work(1.5)


@FAULTS.enter("somebody deletes entries (XDEL)", accounts=True)
def _(world: World) -> None:
    ids = [identity for identity, _ in world.client.xrange(STREAM)]
    world.client.xdel(STREAM, *world.random.sample(ids, min(20, len(ids))))
    world.work(1.5)


@FAULTS.enter("somebody deletes the stream (DEL)", accounts=True, empties=True)
def _(world: World) -> None:
    world.client.delete(STREAM)
    world.work(1.5)


@FAULTS.enter("somebody deletes the stream after hoistream trimmed it", accounts=True, empties=True)
def _(world: World) -> None:
    client = world.client
    assert world.consumer is not None
    with world.stopped(world.consumer.pid):
        client.config_set("maxmemory", str(client.info("memory")["used_memory"] + 100_000))
        world.wait_for_state("redis_full")
    world.work(1.5)  # its consumer frees it, and the publisher trims
    client.config_set("maxmemory", "0")
    client.delete(STREAM)
    world.work(1.5)


@FAULTS.enter("somebody destroys the group", empties=True)
def _(world: World) -> None:
    world.client.xgroup_destroy(STREAM, "faults")


@FAULTS.enter("somebody puts another value in the stream's place for 1 s", accounts=True, empties=True)
def _(world: World) -> None:
    world.consumer_may_end = True  # a key of another kind is an error, not a fault
    world.client.set(STREAM, "mine")
    world.work(1.0)
    world.client.delete(STREAM)
    world.work(1.5)


@FAULTS.enter("somebody deletes the marks and accounts beside the stream", empties=True)
def _(world: World) -> None:
    client = world.client
    world.trimmed += trimmed_entries(world.direct)  # else nobody would know any more
    for key in client.keys("{" + STREAM + "}*"):
        client.delete(key)
    world.work(1.5)


@FAULTS.enter("somebody adds entries that are no events")
def _(world: World) -> None:
    for fields in ({"event": "no JSON"}, {"other": "field"}, {"event": '{"type": "started"}'}):
        world.client.xadd(STREAM, fields)
