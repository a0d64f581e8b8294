"""The faults, each as code: what is done to a run, and what may come of it beside nothing at all.

Run: python -m tests.faults.matrix [--repeats N] [--only TEXT]  writes docs/reliability.md's table to standard output.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.checking import Findings
from tests.faults.world import STREAM, World

LONGEST_LIE_S = 5.0  # the publisher notices a hang after four


@dataclass(frozen=True)
class Fault:
    """Something that happens to a run. `accounts`: it may cost events, all of which must be told."""

    name: str
    act: Callable[[World], None]
    accounts: bool = False
    empties: bool = False  # the server gets events again that a consumer may have handled


FAULTS: list[Fault] = []


def fault(
    name: str, *, accounts: bool = False, empties: bool = False
) -> Callable[[Callable[[World], None]], Callable[[World], None]]:
    """Enter the function below into the matrix."""

    def enter(act: Callable[[World], None]) -> Callable[[World], None]:
        FAULTS.append(Fault(name, act, accounts, empties))
        return act

    return enter


# The server


@fault("server killed and started again")
def _(world: World) -> None:
    world.kill_server()
    world.work(world.random.uniform(0, 1))
    world.start_server()


@fault("server killed three times in a row")
def _(world: World) -> None:
    for _ in range(3):
        world.kill_server()
        world.start_server()
        world.work(world.random.uniform(0, 0.3))


@fault("server comes back empty", empties=True)
def _(world: World) -> None:
    world.kill_server(empty=True)
    world.start_server()


@fault("server emptied while it runs (FLUSHALL)", empties=True)
def _(world: World) -> None:
    world.client.flushall()


@fault("server stopped for 3 s (SIGSTOP)")
def _(world: World) -> None:
    with world.stopped(world.server_pid):
        world.work(3.0)


@fault("server at its memory cap, then freed")
def _(world: World) -> None:
    client = world.client
    assert world.consumer is not None
    with world.stopped(world.consumer.pid):  # so that nothing may be trimmed
        client.config_set("maxmemory", str(client.info("memory")["used_memory"] + 200_000))
        world.wait_for_state("redis_full")
        world.work(0.5)
    world.work(1.0)  # its consumer frees it
    client.config_set("maxmemory", "0")


@fault("server forgets its scripts (SCRIPT FLUSH)")
def _(world: World) -> None:
    for _ in range(5):
        world.client.script_flush()
        world.work(0.1)


@fault("server read-only for 1 s (as a demoted primary)")
def _(world: World) -> None:
    world.client.replicaof("127.0.0.1", "1")
    world.work(1.0)
    world.client.replicaof("NO", "ONE")


# Foreign hands on the stream


@fault("somebody trims the stream (XTRIM)", accounts=True)
def _(world: World) -> None:
    world.client.xtrim(STREAM, maxlen=world.random.randint(0, 100), approximate=False)
    world.work(1.5)


@fault("somebody deletes entries (XDEL)", accounts=True)
def _(world: World) -> None:
    ids = [identity for identity, _ in world.client.xrange(STREAM)]
    world.client.xdel(STREAM, *world.random.sample(ids, min(20, len(ids))))
    world.work(1.5)


@fault("somebody deletes the stream (DEL)", accounts=True, empties=True)
def _(world: World) -> None:
    world.client.delete(STREAM)
    world.work(1.5)


@fault("somebody deletes the stream after hoistream trimmed it", accounts=True, empties=True)
def _(world: World) -> None:
    client = world.client
    assert world.consumer is not None
    with world.stopped(world.consumer.pid):
        client.config_set("maxmemory", str(client.info("memory")["used_memory"] + 200_000))
        world.wait_for_state("redis_full")
    world.work(1.5)  # its consumer frees it, and the publisher trims
    client.config_set("maxmemory", "0")
    client.delete(STREAM)
    world.work(1.5)


@fault("somebody destroys the group", empties=True)
def _(world: World) -> None:
    world.client.xgroup_destroy(STREAM, "faults")


# The network


@fault("every connection cut, ten times")
def _(world: World) -> None:
    for _ in range(10):
        world.proxy.cut()
        world.work(world.random.uniform(0, 0.1))


@fault("connections refused for 1 s")
def _(world: World) -> None:
    with world.proxy.refusing():
        world.work(1.0)


@fault("replies swallowed for 3 s")
def _(world: World) -> None:
    with world.proxy.being(swallow_replies=True):
        world.work(3.0)


@fault("requests swallowed for 3 s")
def _(world: World) -> None:
    with world.proxy.being(swallow_requests=True):
        world.work(3.0)


@fault("connections cut in the middle of replies")
def _(world: World) -> None:
    with world.proxy.being(cut_chance=0.3):
        world.work(2.0)


@fault("replies replaced by random bytes")
def _(world: World) -> None:
    with world.proxy.being(babble=0.3):
        world.work(2.0)


@fault("300 ms of delay each way for 3 s")
def _(world: World) -> None:
    with world.proxy.being(delay_s=0.3):
        world.work(3.0)


@fault("a network that drips 200 bytes a millisecond for 3 s")
def _(world: World) -> None:
    with world.proxy.being(drip_bytes=200):
        world.work(3.0)


# The disk


@fault("disk full for 1.5 s (files may not grow)")
def _(world: World) -> None:
    with world.limited(resource.RLIMIT_FSIZE, 1000):
        world.wait_for_state("disk_full")
        world.work(1.0)


@fault("disk full while the server is away")
def _(world: World) -> None:
    with world.proxy.refusing(), world.limited(resource.RLIMIT_FSIZE, 1000):
        world.work(1.5)


@fault("a byte of the spool flips while the server is away", accounts=True)
def _(world: World) -> None:
    with world.proxy.refusing():
        world.work(1.0)
        path = world.random.choice(world.segments())
        _flip(world, path)


@fault("bytes flip in every segment, then the run is killed", accounts=True)
def _(world: World) -> None:
    with world.proxy.refusing():
        world.work(1.0)
        world.kill_publisher()
        for path in world.segments():
            _flip(world, path)
        world.start_publisher()
        world.work(0.5)


@fault("the newest segment ends in zero bytes after a power cut")
def _(world: World) -> None:
    with world.proxy.refusing():
        world.work(0.5)
        world.kill_publisher()
        with world.segments()[-1].open("ab") as file:
            file.write(bytes(world.random.randint(1, 5000)))
        world.start_publisher()
        world.work(0.3)


@fault("the newest record is torn")
def _(world: World) -> None:
    with world.proxy.refusing():
        world.kill_publisher()
        with world.segments()[-1].open("ab") as file:
            file.write(b"\xf5HSR\x99")
        world.start_publisher()
        world.work(0.3)


@fault("the segment that is being written is removed")
def _(world: World) -> None:
    world.segments()[-1].unlink(missing_ok=True)
    world.work(0.5)


@fault("the segment that is being written is cut while the server is away", accounts=True)
def _(world: World) -> None:
    with world.proxy.refusing():
        world.work(0.5)
        path = world.segments()[-1]
        os.truncate(path, path.stat().st_size // 2)
        world.work(0.5)


@fault("an old segment is removed while the server is away", accounts=True)
def _(world: World) -> None:
    with world.proxy.refusing():
        world.work(3.0)
        world.segments()[0].unlink()


@fault("the JSON Lines file is removed")
def _(world: World) -> None:
    world.jsonl.unlink()


# The processes


@fault("the run is killed (kill -9)")
def _(world: World) -> None:
    world.kill_publisher()
    world.start_publisher()


@fault("the run is killed five times while connections are cut")
def _(world: World) -> None:
    for _ in range(5):
        world.proxy.cut()
        world.kill_publisher()
        world.start_publisher()
        world.work(world.random.uniform(0.3, 0.8))


@fault("the run and the server are killed together")
def _(world: World) -> None:
    world.kill_publisher()
    world.kill_server()
    world.start_server()
    world.start_publisher()


@fault("the run is stopped for 2 s (SIGSTOP)")
def _(world: World) -> None:
    assert world.publisher is not None
    with world.stopped(world.publisher.pid):
        world.work(2.0)


@fault("the run has no file descriptor left for 1 s")
def _(world: World) -> None:
    with world.limited(resource.RLIMIT_NOFILE, 3):
        world.proxy.cut()
        world.work(1.0)


@fault("the consumer is killed, five times")
def _(world: World) -> None:
    for _ in range(5):
        world.kill_consumer()
        world.start_consumer()
        world.work(world.random.uniform(0.3, 0.8))


@fault("the consumer is away for 3 s")
def _(world: World) -> None:
    world.kill_consumer()
    world.work(3.0)
    world.start_consumer()


def _flip(world: World, path: Path) -> None:
    with path.open("r+b") as file:
        place = world.random.randrange(path.stat().st_size)
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 1 << world.random.randrange(8)]))


def run(one: Fault, seed: int, folder: Path) -> tuple[Findings, list[str]]:
    """Let `one` happen to a run; return what is wrong with what is left, and what went wrong on the way."""
    world = World(folder, seed)
    try:
        world.wait_for_state("ok")
        world.work(0.5 + world.random.random() / 2)
        one.act(world)
        world.work(0.5)
        findings = world.finish()
        return findings, [*world.failures, *complaints(world, findings, accounts=one.accounts, empties=one.empties)]
    finally:
        world.close()


def longest_lie(states: list[dict[str, Any]]) -> float:
    """Return for how long the publisher said ok, at a stretch, although events waited and none of them moved."""
    longest, since, published = 0.0, 0.0, -1
    for said in states:
        if said["state"] != "ok" or not said["lag"] or said["published"] != published:
            since, published = said["at"], said["published"]
        longest = max(longest, said["at"] - since)
    return longest


def complaints(world: World, findings: Findings, *, accounts: bool, empties: bool) -> list[str]:
    """Return what the findings themselves do not show."""
    said = []
    if findings.accounted and not accounts:
        said.append(f"{findings.accounted} events were told as lost, though none had to be")
    handled = world.handled_ids()
    if len(set(handled)) < len(handled) and not (world.consumer_died or empties):
        said.append(f"the consumer handled {len(handled) - len(set(handled))} events twice")
    if (lie := longest_lie(world.states)) > LONGEST_LIE_S:
        said.append(f"health said ok for {lie:.1f} s while events waited and none moved")
    if findings.events < 200:
        said.append(f"only {findings.events} events: nothing was tried")
    return said


def rows(repeats: int, only: str) -> Iterator[str]:
    """Yield the table's lines, one a fault."""
    yield "| fault | runs | events | lost | doubled | out of order | unended | untold | accounted | other |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for one in FAULTS:
        if only not in one.name:
            continue
        found, other = [], 0
        for number in range(repeats):
            seed = time.time_ns() % 1_000_000_007 + number
            with tempfile.TemporaryDirectory() as folder:
                findings, failures = run(one, seed, Path(folder))
            found.append(findings)
            other += len(failures)
            if failures or not findings.faultless:
                print(f"{one.name}, seed {seed}: {findings}; {'; '.join(failures)}", flush=True)
        names = ("events", "lost", "doubled", "out_of_order", "unended", "untold", "accounted")
        sums = [sum(getattr(findings, name) for findings in found) for name in names]
        yield f"| {one.name} | {repeats} | {' | '.join(map(str, sums))} | {other} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    for row in rows(options.repeats, options.only):
        print(row, flush=True)


if __name__ == "__main__":
    main()
