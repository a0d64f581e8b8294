"""How fast an event store takes events and answers, at a given size.

python -m benchmarks.store --events 10000000 --seconds 300
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.machine import print_machine
from stream.store.event_store import EventStore
from stream.store.queries import StoreQuery

START = datetime(2026, 10, 1, tzinfo=UTC)
CAMERAS = [f"camera-{number:02d}" for number in range(16)]
WORDS = [
    f"{verb} {thing}" for verb in ("hold", "carry", "ride", "push") for thing in ("phone", "box", "bicycle", "cart")
]
ZONES = ["door", "dock", "yard", "press"]
BATCH = 2000  # documents a transaction

TEMPLATE = (
    '{"schema_version":1,"event_id":"%s","run_id":"run-%s-%d","source_id":"%s","seq":%d,"media_time_s":%.3f,'
    '"capture_time":"%s","published_time":"%s","interaction_id":"%020x","pair_id":%d,"human_id":%d,"object_id":%d,'
    '"verb":"%s","object":"%s","interaction":"%s","prompt":"a photo of a person who does %s","score":0.%04d,'
    '"peak_score":0.%04d,"human_box_xyxy_px":[%d.1,200.5,412.0,700.2],"object_box_xyxy_px":[380.3,%d.7,520.1,640.9],'
    '"frame_width_px":1920,"frame_height_px":1080,"started_media_s":%.3f,"duration_s":2.0,"reason":"interval",'
    '"why":"still 0.71 \\u2265 leave 0.33","model_fingerprint":"6d0c1f2a9b3e4d5f6a7b",'
    '"vocabulary_fingerprint":"aa11bb22cc33dd44ee55","zones":%s,"dwell_s":{},"type":"%s"}'
)


def documents(count: int) -> Iterator[bytes]:
    """Yield events of 16 cameras over a month: 16 interactions of falling frequency, four zones, many people."""
    chance = random.Random(7)
    step_s = 30 * 86400 / count
    weights = list(itertools.accumulate(1 / (rank + 1) for rank in range(len(WORDS))))
    for number in range(count):
        moment = (START + timedelta(seconds=number * step_s)).isoformat()
        camera = chance.choice(CAMERAS)
        (word,) = chance.choices(WORDS, cum_weights=weights)
        verb, thing = word.split()
        human = number // 200 % 5000 + chance.randrange(10)
        zones = f'["{chance.choice(ZONES)}"]' if chance.random() < 0.3 else "[]"
        score, left = chance.randrange(3000, 9999), chance.randrange(300)
        event_id, day = f"{chance.getrandbits(80):020x}", int(number * step_s // 86400)
        kind = ("started", "updated", "updated", "ended")[number % 4]
        yield (
            TEMPLATE
            % (
                event_id, camera, day, camera, number + 1, number * step_s, moment, moment, number // 4, human, human,
                human + 1, verb, thing, word, word, score, score, left, left, number * step_s, zones, kind,
            )
        ).encode()  # fmt: skip


def queries(end: datetime, count: int) -> dict[str, StoreQuery]:
    """Return the five queries that are timed, each for one page of 100; `count` events lie up to `end`."""
    day = end - timedelta(days=1)
    return {
        "a camera, newest": StoreQuery(sources=("camera-03",)),
        "an interaction, one day three days ago": StoreQuery(
            interactions=("push cart",), since=end - timedelta(days=4), until=end - timedelta(days=3)
        ),
        "a human of a camera's run": StoreQuery(
            sources=("camera-05",), runs=("run-camera-05-1",), humans=(count // 20 // 200 % 5000 + 5,)
        ),
        "a zone on a camera since yesterday": StoreQuery(sources=("camera-07",), zones=("press",), since=day),
        "an object on a camera, oldest first": StoreQuery(
            sources=("camera-11",), objects=("bicycle",), since=end - timedelta(days=15), newest_first=False
        ),
    }


def main() -> None:
    """Fill a store for at most `--seconds`, then time the queries."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    print_machine(f"benchmarks.store --events {arguments.events} --seconds {arguments.seconds:g}")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder, "events.db")
        spent_s, added, began_s = 0.0, 0, time.monotonic()
        with EventStore(path) as store:
            made = documents(arguments.events)
            while (batch := list(itertools.islice(made, BATCH))) and time.monotonic() - began_s < arguments.seconds:
                started = time.perf_counter()
                added += store.add(batch)
                spent_s += time.perf_counter() - started
            end = START + timedelta(days=30 * added / arguments.events)
        size = path.stat().st_size
        print(
            f"{added:,} events in {spent_s:.0f} s: {added / spent_s:,.0f} a second, {size / added:.0f} bytes an event"
        )
        with EventStore(path, read_only=True) as store:
            for name, query in queries(end, arguments.events).items():
                times = []
                for _ in range(5):
                    started = time.perf_counter()
                    found = store.find(query)
                    times.append((time.perf_counter() - started) * 1000)
                print(
                    f"{name}: first {times[0]:.1f} ms, then {statistics.median(times[1:]):.1f} ms, {len(found)} events"
                )


if __name__ == "__main__":
    main()
