"""Fifty starts and stops, by every way in which a watch can end, leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import hoistream

Watching = Callable[..., hoistream.Watch]


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def held(others: set[int]) -> Counter[str]:
    """What this process holds: children but for `others`, threads, open files by kind, mappings of shared memory."""
    gc.collect()
    counts: Counter[str] = Counter()
    counts["processes"] = len(children() - others)
    counts["threads"] = len(threading.enumerate())
    counts["os threads"] = psutil.Process().num_threads()
    for fd in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(fd)  # noqa: PTH115  # the target need not be a path
        except OSError:
            continue
        counts["shared memory" if "memfd" in target else "files"] += 1
    counts["mappings"] = sum("memfd" in line for line in Path("/proc/self/maps").read_text().splitlines())
    return counts


def iterate_and_leave(watch: Watching, source: Any) -> None:
    with watch(source) as events:
        next(events)


def fail_in_the_body(watch: Watching, source: Any) -> None:
    with pytest.raises(ZeroDivisionError), watch(source) as events:
        raise ZeroDivisionError(next(events))


def fail_in_the_callback(watch: Watching, source: Any) -> None:
    def fail(event: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), watch(source, on_event=fail) as running:
        running.wait()


def cancel_a_task(watch: Watching, source: Any) -> None:
    async def consume() -> None:
        async with watch(source) as events:
            async for _ in events:
                await asyncio.sleep(0)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(consume(), 0.3)

    asyncio.run(main())


def forget_it_half_way(watch: Watching, source: Any) -> None:
    for _ in watch(source):
        break


def leave_at_once(watch: Watching, source: Any) -> None:
    with watch(source):
        pass


WAYS = (
    iterate_and_leave, fail_in_the_body, fail_in_the_callback, cancel_a_task, forget_it_half_way, leave_at_once,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_fifty_starts_and_stops_leave_nothing_behind(watch: Watching, long_clip: Path) -> None:
    others = children()  # such as a resource tracker that an earlier test of this worker started
    live = hoistream.Source(id="camera", url=str(long_clip), kind="live", target_fps=25.0)
    for way in WAYS:  # what is made once and kept, such as asyncio's threads
        way(watch, [live, long_clip])
    wait_for(lambda: held(others)["processes"] == 0)
    before = held(others)
    for number in range(50):
        WAYS[number % len(WAYS)](watch, [live, long_clip])
    wait_for(lambda: all(held(others)[kind] <= before[kind] for kind in before))
    after = held(others)
    print({kind: (before[kind], after[kind]) for kind in before})
    assert after["processes"] == 0
    assert after == before


def test_every_way_out_of_a_watch_ends_its_processes_and_threads(watch: Watching, long_clip: Path) -> None:
    others = children()
    iterate_and_leave(watch, long_clip)
    cancel_a_task(watch, long_clip)
    before = held(others)
    for way in WAYS:
        way(watch, long_clip)
        wait_for(lambda: held(others)["processes"] == 0)
    wait_for(lambda: all(held(others)[kind] <= before[kind] for kind in before))
    assert held(others) == before


def wait_for(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Return once `condition` holds; what a forgotten watch leaves ends by itself, in a thread."""
    deadline = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
