from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hoiclip.errors import InputError
from stream.events.schema import Event
from stream.publish.publisher import Publisher
from stream.publish.store_sink import parse_store_url
from stream.run.checking import check_sink
from stream.store.event_store import EventStore, StoreLimits
from stream.store.queries import StoreQuery
from tests.stream.publish.support import wait_until

MakeEvents = Callable[..., list[Event]]


def stored(path: Path) -> list[str]:
    with EventStore(path, read_only=True) as store:
        return [s.event.event_id for s in store.all(StoreQuery(newest_first=False, limit=None))]


def test_published_events_are_in_the_store_beside_other_sinks(tmp_path: Path, make_events: MakeEvents) -> None:
    path, events = tmp_path / "events.db", make_events(50)
    sinks = [f"store:{path}?keep_days=30", f"jsonl:{tmp_path / 'events.jsonl'}"]
    with Publisher(sinks, tmp_path / "spool") as publisher:
        for event in events:
            publisher.publish(event)
        assert publisher.flush(10.0)
        assert publisher.state.published == 50
        assert publisher.state.ok
        assert stored(path) == [event.event_id for event in events]
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 50


def test_a_store_that_another_writer_holds_is_waited_for_and_said(
    tmp_path: Path, make_events: MakeEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.store.event_store.BUSY_S", 0.1)
    path = tmp_path / "events.db"
    with Publisher([f"store:{path}"], tmp_path / "spool") as publisher:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for event in make_events(5):
            publisher.publish(event)
        wait_until(lambda: publisher.state.state == "sink_down")
        assert "locked" in publisher.state.last_error
        assert publisher.state.lag == 5
        other.execute("COMMIT")
        wait_until(lambda: publisher.state.ok and publisher.state.lag == 0)
    assert len(stored(path)) == 5


def test_a_restart_goes_on_where_it_was(tmp_path: Path, make_events: MakeEvents) -> None:
    path, events = tmp_path / "events.db", make_events(30)
    for part in (events[:10], events[10:]):
        with Publisher([f"store:{path}"], tmp_path / "spool") as publisher:
            for event in part:
                publisher.publish(event)
            assert publisher.flush(10.0)
            assert publisher.state.published == len(part)
    assert stored(path) == [event.event_id for event in events]


PUBLISH = """
import sys
from pathlib import Path
from stream.events.schema import EventNumbers, SourceStateEvent
from stream.publish.publisher import Publisher
folder, run = Path(sys.argv[1]), sys.argv[2]
numbers = EventNumbers(run, "cam")
with Publisher([f"store:{folder / 'events.db'}"], folder / "spool") as publisher:
    while True:
        event = SourceStateEvent(**numbers.next(), media_time_s=0.0, state="up")
        publisher.publish(event)
        print(event.event_id, flush=True)
"""


def test_kill_9_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Every event whose `publish` had returned is in the store once, after the next start has delivered the rest."""
    published: list[str] = []
    for run, at_least in enumerate((50, 400, 1500, 3000)):
        child = subprocess.Popen(
            [sys.executable, "-c", PUBLISH, str(tmp_path), f"run {run}"], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for number, line in enumerate(child.stdout):
            if line.endswith("\n"):
                published.append(line.strip())
            if number == at_least:
                child.send_signal(signal.SIGKILL)
        child.stdout.close()
        assert child.wait(20) == -signal.SIGKILL
        with EventStore(tmp_path / "events.db") as store:
            assert store._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with Publisher([f"store:{tmp_path / 'events.db'}"], tmp_path / "spool") as publisher:
        assert publisher.flush(20.0)
    found = stored(tmp_path / "events.db")
    assert len(found) == len(set(found))
    assert set(published) <= set(found)
    assert len(found) - len(published) <= 4 * 2  # stored, but killed before it could say so
    assert len(published) > 5000 - 100


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("store:", "expected store:PATH"),
        ("store:a.db?keep=3", "option 'keep' is not known; expected keep_days, max_rows, max_mb"),
        ("store:a.db?keep_days=soon", "keep_days: expected a number above 0"),
        ("store:a.db?max_mb=0", "max_mb: expected a number above 0"),
    ],
)
def test_a_url_that_cannot_be_right_is_refused_without_opening_anything(url: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        check_sink(url)
    assert message in str(caught.value)


def test_a_url_says_what_is_kept(tmp_path: Path) -> None:
    path, limits = parse_store_url(f"store:{tmp_path}/a.db?keep_days=0.5&max_rows=10&max_mb=2")
    assert (path, limits) == (tmp_path / "a.db", StoreLimits(days=0.5, rows=10, max_bytes=2 << 20))
