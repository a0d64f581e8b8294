from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoiclip.errors import HoistreamError, InputError
from stream.events.schema import Event, EventNumbers, SourceStateEvent
from stream.store import migrations
from stream.store.bodies import pack_body, unpack_body
from stream.store.event_store import EventStore, StoredEvent, StoreLimits
from stream.store.queries import StoreQuery

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MakeEvents = Callable[..., list[Event]]


def at(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


def json_of(*events: Event) -> list[bytes]:
    return [event.model_dump_json().encode() for event in events]


def ids(found: list[StoredEvent]) -> list[str]:
    return [stored.event.event_id for stored in found]


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with EventStore(tmp_path / "events.db") as opened:
        yield opened


def test_events_come_back_as_they_were_and_each_once(store: EventStore, make_events: MakeEvents) -> None:
    events = make_events(5, capture_time=NOON, zones=("door",), dwell_s={"door": 1.5}, why="score 0.71 ≥ enter 0.50")
    state = SourceStateEvent(**EventNumbers("r", "gate").next(), media_time_s=0.0, capture_time=at(1), state="lost")
    assert store.add(json_of(*events, state)) == 6
    assert store.add(json_of(*events, state)) == 0
    assert [stored.event for stored in store.find()] == [state, *reversed(events)]
    assert store.count() == 6


def test_every_question_is_answered(store: EventStore, make_events: MakeEvents) -> None:
    """Every filter by itself and all together, against a plain search through the list."""
    numbers = {camera: EventNumbers(f"run {camera}", camera) for camera in ("gate", "dock")}
    made: list[Any] = []
    for hour in range(48):
        camera = ("gate", "dock")[hour % 2]
        verb, thing = (("ride", "bicycle"), ("hold", "phone"), ("hold", "box"))[hour % 3]
        made += make_events(
            1, numbers=numbers[camera], source_id=camera, capture_time=at(hour), verb=verb, object=thing,
            interaction=f"{verb} {thing}", human_id=hour % 5, zones=(("door",), ("yard", "door"), ())[hour % 7 % 3],
            type=("started", "updated", "ended")[hour // 3 % 3],
        )  # fmt: skip
    store.add(json_of(*made))
    for event in made[::6]:
        store.mark(event.event_id, starred=True)
    for event in made[::4]:
        store.mark(event.event_id, label="good")
    marks = {event.event_id: (i % 6 == 0, "good" if i % 4 == 0 else None) for i, event in enumerate(made)}
    filters: dict[str, tuple[Any, Callable[[Any], bool]]] = {
        "sources": (("gate",), lambda e: e.source_id == "gate"),
        "runs": (("run dock", "run other"), lambda e: e.run_id == "run dock"),
        "types": (("started", "ended"), lambda e: e.type in ("started", "ended")),
        "interactions": (("hold phone",), lambda e: e.interaction == "hold phone"),
        "verbs": (("hold",), lambda e: e.verb == "hold"),
        "objects": (("box", "bicycle"), lambda e: e.object in ("box", "bicycle")),
        "humans": ((0, 3), lambda e: e.human_id in (0, 3)),
        "zones": (("yard", "door"), lambda e: bool({"yard", "door"} & set(e.zones))),
        "labels": (("good",), lambda e: marks[e.event_id][1] == "good"),
        "starred": (True, lambda e: marks[e.event_id][0]),
        "since": (at(10), lambda e: e.capture_time >= at(10)),
        "until": (at(40), lambda e: e.capture_time < at(40)),
    }
    names = list(filters)
    groups = [[name] for name in names] + [[a, b] for a in names for b in names if a < b] + [names]
    groups += [["sources", "zones", "since", "until"], ["humans", "sources", "runs"]]
    some = 0
    for group in groups:
        query = StoreQuery(**{name: filters[name][0] for name in group}, limit=None)
        expected = [e.event_id for e in made if all(filters[name][1](e) for name in group)]
        assert ids(store.find(query))[::-1] == expected, group
        some += bool(expected)
    assert some > 60
    assert store.find(StoreQuery(zones=("nowhere",))) == []
    assert {(s.event.event_id, s.starred, s.label) for s in store.find(StoreQuery(limit=None))} == {
        (key, *value) for key, value in marks.items()
    }


def test_pages_follow_each_other_also_where_times_are_equal(store: EventStore, make_events: MakeEvents) -> None:
    events = make_events(2500, capture_time=NOON)
    store.add(json_of(*events))
    assert ids(list(store.all(StoreQuery(limit=None, newest_first=False)))) == [e.event_id for e in events]
    first = store.find(StoreQuery(limit=10))
    second = store.find(StoreQuery(limit=10, after=first[-1].place))
    assert ids(first + second) == [e.event_id for e in events[:-21:-1]]
    assert len(list(store.all(StoreQuery(limit=1001)))) == 1001


def test_what_is_no_event_and_what_is_newer_does_no_harm(
    store: EventStore, make_events: MakeEvents, caplog: pytest.LogCaptureFixture
) -> None:
    (event,) = make_events(1, capture_time=NOON)
    newer = event.model_dump_json().replace('"started"', '"hologram"').replace(event.event_id, "x").encode()
    assert store.add([b"", b"[]", b"{}", b"\xff", newer, *json_of(event)]) == 2
    assert caplog.text.count("no event") == 4
    assert ids(store.find()) == [event.event_id]


@given(st.binary(max_size=3000))
def test_bodies_come_back_byte_for_byte(document: bytes) -> None:
    assert unpack_body(pack_body(document)) == document


@pytest.mark.parametrize(
    ("limits", "newest"),
    [(StoreLimits(days=1.02), 24), (StoreLimits(rows=10), 9), (StoreLimits(max_bytes=1), 0), (StoreLimits(), 99)],
)
def test_the_oldest_go_by_age_number_and_size_and_what_is_starred_stays(
    tmp_path: Path, make_events: MakeEvents, limits: StoreLimits, newest: int
) -> None:
    now, numbers = datetime.now(UTC), EventNumbers("run", "cam")
    events = [
        make_events(1, numbers=numbers, capture_time=now - timedelta(hours=hours), zones=("door",))[0]
        for hours in range(100, 0, -1)
    ]
    with EventStore(tmp_path / "events.db", limits) as store:
        store.add(json_of(*events))
        store.mark(events[0].event_id, starred=True)
        while store.forget_old(most=7):
            pass
        expected = [events[0], *events[100 - newest :]]
        assert ids(store.find(StoreQuery(limit=None)))[::-1] == [event.event_id for event in expected]
        assert len(store.find(StoreQuery(zones=("door",), limit=None))) == len(expected)
        store.mark(events[0].event_id, starred=False)
        assert store.add(json_of(events[0], events[99])) == (newest == 0)
        store.forget_old()
        is_kept = events[0].event_id in ids(store.find(StoreQuery(limit=None)))
        assert is_kept == (limits.days is None and limits.max_bytes is None)


def test_an_older_file_becomes_a_newer_one_and_keeps_its_events(
    tmp_path: Path, make_events: MakeEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.db"
    events = make_events(3, capture_time=NOON)
    with EventStore(path) as store:
        store.add(json_of(*events))
    connection = sqlite3.connect(path)  # as version 1 left it
    connection.execute("DROP TABLE marks")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    with EventStore(path) as store:
        assert store.mark(events[1].event_id, starred=True, label="good")
        assert [(s.starred, s.label) for s in store.find()] == [(False, None), (True, "good"), (False, None)]
        assert not store.mark("nothing", starred=True)
    monkeypatch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:1])
    with pytest.raises(InputError, match="version 2, this release knows 1"):
        EventStore(path)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.db"
    EventStore(path).close()
    broken = (*migrations.MIGRATIONS, "CREATE TABLE more (id INTEGER); CREATE TABLE names (id INTEGER);")
    monkeypatch.setattr(migrations, "MIGRATIONS", broken)
    with pytest.raises(InputError, match="cannot be opened"):
        EventStore(path)
    monkeypatch.undo()
    with EventStore(path) as store:
        assert store.count() == 0
    assert "more" not in {row[0] for row in sqlite3.connect(path).execute("SELECT name FROM sqlite_schema")}


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    other, text = tmp_path / "other.db", tmp_path / "text.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE photos (id INTEGER)")
    connection.close()
    text.write_text("not a database, but long enough to be read as one" * 100)
    for path, message in ((other, "something else"), (text, "cannot be opened"), (tmp_path, "cannot be opened")):
        with pytest.raises(InputError, match=message):
            EventStore(path)
    with pytest.raises(InputError, match="does not exist"):
        EventStore(tmp_path / "none.db", read_only=True)


def test_readers_never_wait_and_never_write(tmp_path: Path, make_events: MakeEvents) -> None:
    path, events = tmp_path / "events.db", make_events(600, capture_time=NOON)
    with EventStore(path) as store:
        seen: list[int] = []
        writer = threading.Thread(target=lambda: [store.add(json_of(event)) for event in events])
        writer.start()
        with EventStore(path, read_only=True) as reader:
            while writer.is_alive() or not seen or seen[-1] < 600:
                seen.append(len(reader.find(StoreQuery(limit=None))))
            with pytest.raises(HoistreamError, match=r"readonly"):
                reader.add(json_of(*make_events(1, run_id="x")))
        writer.join()
        assert seen == sorted(seen)


def test_a_batch_that_fails_leaves_nothing_and_the_next_one_works(
    store: EventStore, make_events: MakeEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = make_events(4, capture_time=NOON, interaction="ride unicorn")
    insert, calls = store._insert, []

    def failing(row: Any) -> bool:
        calls.append(row)
        if len(calls) == 3:
            raise sqlite3.OperationalError("database or disk is full")
        return insert(row)

    monkeypatch.setattr(store, "_insert", failing)
    with pytest.raises(HoistreamError, match="disk is full"):
        store.add(json_of(*events))
    assert store.count() == 0
    assert store.add(json_of(*events)) == 4
    assert len(store.find(StoreQuery(interactions=("ride unicorn",)))) == 4
