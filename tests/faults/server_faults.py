"""Faults of the server: it dies, forgets, fills up, hangs, or is another one all of a sudden."""

from __future__ import annotations

import contextlib
import threading

import redis

from tests.faults.fault import Faults
from tests.faults.world import World

FAULTS = Faults("server")


@FAULTS.enter("server killed and started again")
def _(world: World) -> None:
    world.kill_server()
    world.work(world.random.uniform(0, 1))
    world.start_server()


@FAULTS.enter("server killed three times in a row")
def _(world: World) -> None:
    for _ in range(3):
        world.kill_server()
        world.start_server()
        world.work(world.random.uniform(0, 0.3))


@FAULTS.enter("server comes back empty", empties=True)
def _(world: World) -> None:
    world.kill_server(empty=True)
    world.start_server()


@FAULTS.enter("server emptied while it runs (FLUSHALL)", empties=True)
def _(world: World) -> None:
    world.client.flushall()


@FAULTS.enter("server stopped for 3 s (SIGSTOP)")
def _(world: World) -> None:
    with world.stopped(world.server_pid):
        world.work(3.0)


@FAULTS.enter("server at its memory cap, then freed")
def _(world: World) -> None:
    client = world.client
    assert world.consumer is not None
    with world.stopped(world.consumer.pid):  # so that nothing may be trimmed
        client.config_set("maxmemory", str(client.info("memory")["used_memory"] + 100_000))
        world.wait_for_state("redis_full")
        world.work(0.5)
    world.work(1.0)  # its consumer frees it
    client.config_set("maxmemory", "0")


@FAULTS.enter("server forgets its scripts (SCRIPT FLUSH)")
def _(world: World) -> None:
    for _ in range(5):
        world.client.script_flush()
        world.work(0.1)


@FAULTS.enter("server read-only for 1 s (as a demoted primary)")
def _(world: World) -> None:
    world.client.replicaof("127.0.0.1", "1")
    world.work(1.0)
    world.client.replicaof("NO", "ONE")


@FAULTS.enter("server at its cap under a policy that evicts", accounts=True, empties=True)
def _(world: World) -> None:
    client = world.client
    assert world.consumer is not None
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", str(client.info("memory")["used_memory"] + 300_000))
    with world.stopped(world.consumer.pid):
        world.wait_for_state("redis_full")
        world.work(1.0)
    world.work(1.0)
    client.config_set("maxmemory", "0")
    client.config_set("maxmemory-policy", "noeviction")
    world.work(1.5)


@FAULTS.enter("server fails over to an empty replica", empties=True)
def _(world: World) -> None:
    world.fail_over(behind_s=None)
    world.work(1.5)


@FAULTS.enter("server fails over to a replica that misses the last second", empties=True)
def _(world: World) -> None:
    world.fail_over(behind_s=1.0)
    world.work(1.5)


@FAULTS.enter("server busy with somebody's endless script for 2 s")
def _(world: World) -> None:
    world.client.config_set("busy-reply-threshold", "100")
    endless = threading.Thread(target=_endless_script, args=(world.client,))
    endless.start()
    world.work(2.0)
    world.client.script_kill()
    endless.join()


def _endless_script(client: redis.Redis) -> None:
    with contextlib.suppress(redis.RedisError):  # killed, as it must be
        client.eval("while true do end", 0)


@FAULTS.enter("server asks for a password for 1.5 s")
def _(world: World) -> None:
    world.consumer_may_end = world.consumer_died = True  # a password that is not right is an error, not a fault
    client = world.client
    client.config_set("requirepass", "another")
    client.client_kill_filter(_type="normal", skipme=True)
    world.work(1.5)
    client.config_set("requirepass", "")


@FAULTS.enter("server has no connection left for 1.5 s")
def _(world: World) -> None:
    client = world.client
    client.ping()
    client.config_set("maxclients", "1")
    world.proxy.cut()
    world.work(1.5)
    client.config_set("maxclients", "1000")


@FAULTS.enter("server's disk full for 1.5 s", disks={"server": "size=500k"})
def _(world: World) -> None:
    world.wait_for_state("redis_down")
    world.work(1.5)
    world.mount("server", "remount,size=100m")


@FAULTS.enter("the wall clock jumps a day ahead, and back", clock=True)
def _(world: World) -> None:
    assert world.clock is not None
    for seconds in (86_400.0, -86_400.0):
        world.clock.jump(seconds)
        world.work(1.5)


@FAULTS.enter("the wall clock goes back by an hour, then the run is killed", clock=True)
def _(world: World) -> None:
    assert world.clock is not None
    world.clock.jump(-3600.0)
    world.work(1.0)
    world.kill_publisher()
    world.start_publisher()
