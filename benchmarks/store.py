"""How fast an event store takes events and answers, at a given size.

python -m benchmarks.store --below 10000000 --seconds 60
"""

from __future__ import annotations

import argparse
import itertools
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.machine import print_machine
from stream.store.bodies import pack_body
from stream.store.event_store import EventStore
from stream.store.queries import StoreQuery, milliseconds

START = datetime(2026, 10, 1, tzinfo=UTC)
CAMERAS = [f"camera-{number:02d}" for number in range(16)]
VERBS, THINGS = ("hold", "carry", "ride", "push"), ("phone", "box", "bicycle", "cart")
WORDS = [f"{verb} {thing}" for verb in VERBS for thing in THINGS]
KINDS = ["started", "updated", "ended"]
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


def documents(count: int, chance: random.Random | None = None) -> Iterator[bytes]:
    """Yield events of 16 cameras over a month: 16 interactions of falling frequency, four zones, many people."""
    chance = chance or random.Random(7)
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
        kind = KINDS[number % 3]
        yield (
            TEMPLATE
            % (
                event_id, camera, day, camera, number + 1, number * step_s, moment, moment, number // 4, human, human,
                human + 1, verb, thing, word, word, score, score, left, left, number * step_s, zones, kind,
            )
        ).encode()  # fmt: skip


def fill(path: Path, count: int) -> None:
    """Put `count` events of the same make below those that are timed: by SQL, indexes last, all in one transaction."""
    (body,) = (pack_body(document) for document in documents(1))
    names = [*CAMERAS, *KINDS, *WORDS, *VERBS, *THINGS, *ZONES]
    names += [f"run-{camera}-{day}" for day in range(30) for camera in CAMERAS]
    number = {name: place for place, name in enumerate(names, start=1)}
    start_ms, step_ms = milliseconds(START), 30 * 86_400_000 / count
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("synchronous = OFF", "cache_size = -400000", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    indexes = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql > ''")]
    connection.execute("BEGIN")
    for sql in indexes:
        connection.execute(f"DROP INDEX {sql.split(' ON ')[0].split()[-1]}")
    connection.executemany(
        "INSERT INTO names (id, name) VALUES (?, ?)", [(place, name) for name, place in number.items()]
    )
    connection.execute(
        f"""
        WITH RECURSIVE made(i, r) AS (SELECT 0, random() >> 1 & {2**62 - 1}
          UNION ALL SELECT i + 1, random() >> 1 & {2**62 - 1} FROM made WHERE i < ?1 - 1),
        drawn AS (
          SELECT i, r % 16 AS camera, ((r >> 8) % 16) * ((r >> 16) % 16) / 16 AS word, (r >> 24) % 10 AS extra
          FROM made)
        INSERT INTO events (event_id, time_ms, source, run, type, interaction, verb, object, human, body)
        SELECT randomblob(10), {start_ms} + cast(i * {step_ms} AS INTEGER), 1 + camera,
          {number["run-camera-00-0"]} + cast(i * 30.0 / ?1 AS INTEGER) * 16 + camera, {number[KINDS[0]]} + i % 3,
          {number[WORDS[0]]} + word, {number[VERBS[0]]} + word / 4, {number[THINGS[0]]} + word % 4,
          i / 200 % 5000 + extra, ?2 FROM drawn
        """,
        (count, body),
    )
    for place, zone in enumerate(ZONES):
        connection.execute(
            "INSERT INTO event_zones SELECT ?, time_ms, id FROM events WHERE id % 13 = ?", (number[zone], place)
        )
    for sql in indexes:
        connection.execute(sql)
    connection.execute("COMMIT")
    connection.close()


def queries(end: datetime, count: int) -> dict[str, StoreQuery]:
    """Return the five queries that are timed, each for one page of 100; `count` events lie up to `end`."""
    day = end - timedelta(days=1)
    return {
        "a camera, newest": StoreQuery(sources=("camera-03",)),
        "an interaction, one day three days ago": StoreQuery(
            interactions=("ride cart",), since=end - timedelta(days=4), until=end - timedelta(days=3)
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
    """Fill a store, time what it takes in for `--seconds`, then five queries."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--below", type=int, default=1_000_000, help="events that are there before")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long events are added")
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    print_machine(f"benchmarks.store --below {arguments.below} --seconds {arguments.seconds:g}")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder, "events.db")
        EventStore(path).close()
        started = time.perf_counter()
        fill(path, arguments.below)
        print(f"{arguments.below:,} events below, made in {time.perf_counter() - started:.0f} s", flush=True)
        spent_s, cpu_s, added, began_s = 0.0, 0.0, 0, time.monotonic()
        with EventStore(path) as store:
            made = documents(arguments.below, random.Random(8))
            while time.monotonic() - began_s < arguments.seconds:
                batch = list(itertools.islice(made, BATCH))
                started, cpu_started = time.perf_counter(), time.thread_time()
                added += store.add(batch)
                spent_s += time.perf_counter() - started
                cpu_s += time.thread_time() - cpu_started
            count = store.count()
        size = path.stat().st_size
        print(
            f"{added:,} more in {spent_s:.0f} s: {added / spent_s:,.0f} a second, {added / cpu_s:,.0f} a second of the "
            f"processor; {count:,} events, {size / count:.0f} bytes each",
            flush=True,
        )
        with EventStore(path, read_only=True) as store:
            for name, query in queries(START + timedelta(days=30), arguments.below).items():
                times = []
                for _ in range(5):
                    started = time.perf_counter()
                    found = store.find(query)
                    times.append((time.perf_counter() - started) * 1000)
                then = statistics.median(times[1:])
                print(f"{name}: first {times[0]:.1f} ms, then {then:.1f} ms, {len(found)} events")


if __name__ == "__main__":
    main()
