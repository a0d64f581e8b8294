"""Faults of the network between a run, its consumers and the server."""

from __future__ import annotations

from tests.faults.fault import Faults
from tests.faults.world import World

FAULTS = Faults("network")


@FAULTS.enter("every connection cut, ten times")
def _(world: World) -> None:
    for _ in range(10):
        world.proxy.cut()
        world.work(world.random.uniform(0, 0.1))


@FAULTS.enter("connections refused for 1 s")
def _(world: World) -> None:
    with world.proxy.refusing():
        world.work(1.0)


@FAULTS.enter("replies swallowed for 3 s")
def _(world: World) -> None:
    with world.proxy.being(swallow_replies=True):
        world.work(3.0)


@FAULTS.enter("requests swallowed for 3 s")
def _(world: World) -> None:
    with world.proxy.being(swallow_requests=True):
        world.work(3.0)


@FAULTS.enter("connections cut in the middle of replies")
def _(world: World) -> None:
    with world.proxy.being(cut_chance=0.3):
        world.work(2.0)


@FAULTS.enter("replies replaced by random bytes")
def _(world: World) -> None:
    with world.proxy.being(babble=0.3):
        world.work(2.0)


@FAULTS.enter("300 ms of delay each way for 3 s")
def _(world: World) -> None:
    with world.proxy.being(delay_s=0.3):
        world.work(3.0)


@FAULTS.enter("a network that drips 200 bytes a millisecond for 3 s")
def _(world: World) -> None:
    with world.proxy.being(drip_bytes=200):
        world.work(3.0)


@FAULTS.enter("a network that fails by halves: delays, cuts and swallowed replies in turn")
def _(world: World) -> None:
    for _ in range(4):
        change = world.random.choice(
            [{"delay_s": 0.2}, {"cut_chance": 0.5}, {"swallow_replies": True}, {"babble": 0.5}]
        )
        with world.proxy.being(**change):
            world.work(0.7)
