"""Faults of the run's own process."""

from __future__ import annotations

import resource
import signal
from pathlib import Path
from subprocess import DEVNULL, TimeoutExpired

from tests.faults.fault import Faults
from tests.faults.world import PATIENCE_S, World, python

FAULTS = Faults("run")


@FAULTS.enter("the run is killed (kill -9)")
def _(world: World) -> None:
    world.kill_publisher()
    world.start_publisher()


@FAULTS.enter("the run is killed five times while connections are cut")
def _(world: World) -> None:
    for _ in range(5):
        world.proxy.cut()
        world.kill_publisher()
        world.start_publisher()
        world.work(world.random.uniform(0.3, 0.8))


@FAULTS.enter("the run and the server are killed together")
def _(world: World) -> None:
    world.kill_publisher()
    world.kill_server()
    world.start_server()
    world.start_publisher()


@FAULTS.enter("the run is stopped for 2 s (SIGSTOP)")
def _(world: World) -> None:
    assert world.publisher is not None
    with world.stopped(world.publisher.pid):
        world.work(2.0)


@FAULTS.enter("the run has no file descriptor left for 1 s")
def _(world: World) -> None:
    with world.limited(resource.RLIMIT_NOFILE, 3):
        world.proxy.cut()
        world.work(1.0)


@FAULTS.enter("the run ends by SIGTERM and starts again, three times, the server away once")
def _(world: World) -> None:
    for number in range(3):
        if number == 1:
            with world.proxy.refusing():
                world.end_publisher()
        else:
            world.end_publisher()
        world.start_publisher()
        world.work(world.random.uniform(0.3, 0.8))


@FAULTS.enter("the run is killed by SIGQUIT and by SIGHUP")
def _(world: World) -> None:
    for number in (signal.SIGQUIT, signal.SIGHUP):  # this publisher handles neither: it dies at once
        world.end_publisher(number, code=-number)
        world.start_publisher()
        world.work(0.5)


@FAULTS.enter("the run gets no memory for 1 s", alone=True)
def _(world: World) -> None:
    assert world.publisher is not None
    world.may_end = True
    used = int(Path(f"/proc/{world.publisher.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    with world.limited(resource.RLIMIT_AS, used):
        world.work(1.0)
    world.restart_if_ended()
    world.work(0.5)


@FAULTS.enter("two runs share a spool by mistake")
def _(world: World) -> None:
    seed = str(world.random.randrange(10**9))
    second = python(["tests.faults.load", str(world.spool), seed, world.url], stdout=DEVNULL, stderr=DEVNULL)
    try:
        code = second.wait(PATIENCE_S)
    except TimeoutExpired:
        second.kill()
        code = second.wait()
    if code != 1:
        world.failures.append(f"a second run on the same spool was not refused; it ended with {code}")
