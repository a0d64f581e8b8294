"""Faults of the disk: full, read-only, damaged, torn."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from tests.faults.fault import Faults
from tests.faults.world import World

FAULTS = Faults("disk")


@FAULTS.enter("disk full for 1.5 s (files may not grow)")
def _(world: World) -> None:
    with world.limited(resource.RLIMIT_FSIZE, 1000):
        world.wait_for_state("disk_full")
        world.work(1.0)


@FAULTS.enter("disk full while the server is away")
def _(world: World) -> None:
    with world.proxy.refusing(), world.limited(resource.RLIMIT_FSIZE, 1000):
        world.work(1.5)


@FAULTS.enter("a byte of the spool flips while the server is away", accounts=True)
def _(world: World) -> None:
    with world.proxy.refusing():
        world.work(1.0)
        path = world.random.choice(world.segments())
        _flip(world, path)


@FAULTS.enter("bytes flip in every segment, then the run is killed", accounts=True)
def _(world: World) -> None:
    with world.proxy.refusing():
        world.work(1.0)
        world.kill_publisher()
        for path in world.segments():
            _flip(world, path)
        world.start_publisher()
        world.work(0.5)


@FAULTS.enter("the newest segment ends in zero bytes after a power cut")
def _(world: World) -> None:
    with world.proxy.refusing():
        world.work(0.5)
        world.kill_publisher()
        with world.segments()[-1].open("ab") as file:
            file.write(bytes(world.random.randint(1, 5000)))
        world.start_publisher()
        world.work(0.3)


@FAULTS.enter("the newest record is torn")
def _(world: World) -> None:
    with world.proxy.refusing():
        world.kill_publisher()
        with world.segments()[-1].open("ab") as file:
            file.write(b"\xf5HSR\x99")
        world.start_publisher()
        world.work(0.3)


@FAULTS.enter("the segment that is being written is removed")
def _(world: World) -> None:
    world.segments()[-1].unlink(missing_ok=True)
    world.work(0.5)


@FAULTS.enter("the segment that is being written is cut while the server is away", accounts=True)
def _(world: World) -> None:
    with world.proxy.refusing():
        world.work(0.5)
        path = world.segments()[-1]
        os.truncate(path, path.stat().st_size // 2)
        world.work(0.5)


@FAULTS.enter("an old segment is removed while the server is away", accounts=True)
def _(world: World) -> None:
    with world.proxy.refusing():
        world.work(3.0)
        world.segments()[-2].unlink()


@FAULTS.enter("the JSON Lines file is removed")
def _(world: World) -> None:
    world.jsonl.unlink(missing_ok=True)


@FAULTS.enter("the spool's file system full while the server is away", disks={"spool": "size=500k"})
def _(world: World) -> None:
    with world.proxy.refusing():
        world.wait_for_state("disk_full")
        world.work(1.0)


@FAULTS.enter("the spool's file system out of inodes", disks={"spool": "size=10m,nr_inodes=4"})
def _(world: World) -> None:
    with world.proxy.refusing():
        world.wait_for_state("disk_full")
        world.work(0.5)


@FAULTS.enter("the run is killed, and the spool's file system is read-only for 1.5 s", disks={"spool": "size=20m"})
def _(world: World) -> None:
    world.kill_publisher()
    world.mount("spool", "remount,ro")  # what a kernel does with a disk that it found damaged
    world.may_end = True
    world.start_publisher()
    world.work(1.5)
    world.mount("spool", "remount,rw")
    world.restart_if_ended()
    world.work(0.5)


@FAULTS.enter("the run is killed while the spool's file system is full", disks={"spool": "size=500k"})
def _(world: World) -> None:
    with world.proxy.refusing():
        world.wait_for_state("disk_full")
        world.kill_publisher()
        world.start_publisher()
        world.work(1.0)
    world.wait_for_state("ok")


@FAULTS.enter("strange files lie in the spool's folder")
def _(world: World) -> None:
    (world.spool / "notes.txt").write_text("not ours")
    (world.spool / "x.spool").write_bytes(world.random.randbytes(100))
    (world.spool / "00000000000000000000.spool.d").mkdir(exist_ok=True)
    world.kill_publisher()
    world.start_publisher()
    world.work(0.5)


def _flip(world: World, path: Path) -> None:
    if not path.stat().st_size:  # it has only just begun
        return
    with path.open("r+b") as file:
        place = world.random.randrange(path.stat().st_size)
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 1 << world.random.randrange(8)]))
