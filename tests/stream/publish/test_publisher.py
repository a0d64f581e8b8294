"""The publisher against a real server that is killed, emptied, filled and restarted."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hoiclip.errors import HoistreamError, InputError
from stream.events.schema import Event, EventNumbers, parse_event
from stream.publish.publisher import Publisher
from stream.publish.spool import SpoolLimits
from stream.subscribe.client import subscribe
from tests.stream.publish.support import in_order_without_holes, stored, wait_until

MakeEvents = Callable[..., list[Event]]
REPOSITORY = Path(__file__).resolve().parents[3]


def test_events_arrive_once_and_in_order_and_a_restart_repeats_none(server, tmp_path, make_events) -> None:
    events = make_events(500, "a") + make_events(500, "b")
    with Publisher([server.url], tmp_path / "spool") as publisher:
        for event in events:
            publisher.publish(event)
        assert publisher.flush(10)
        assert publisher.state.ok
        assert publisher.state.lag == 0
        assert publisher.state.published == 1000
    with Publisher([server.url], tmp_path / "spool") as publisher:
        for event in make_events(10, "c"):
            publisher.publish(event)
        assert publisher.flush(10)
    found = stored(server)
    assert len(found) == 1010
    assert in_order_without_holes(found)
    assert all(event.published_time is not None for event in found)


def test_nothing_is_lost_or_doubled_while_the_server_is_killed_five_times_and_emptied_once(
    server, tmp_path, make_events
) -> None:
    sources = {name: EventNumbers("run", name) for name in ("a", "b", "c")}
    published: list[str] = []
    received: list[str] = []
    stop, done = threading.Event(), threading.Event()

    def load(publisher: Publisher) -> None:
        while not stop.is_set():
            for name, numbers in sources.items():
                (event,) = make_events(1, name, numbers=numbers)
                published.append(publisher.publish(event).event_id)
            time.sleep(0.001)

    def consume() -> None:
        with subscribe(server.url, group="g", consumer="one") as events:
            for event in events:
                if event.source_id == "end":
                    break
                received.append(event.event_id)
        done.set()

    threading.Thread(target=consume, daemon=True).start()
    with Publisher([server.url], tmp_path / "spool") as publisher:
        loader = threading.Thread(target=load, args=(publisher,), daemon=True)
        loader.start()
        for turn in range(6):
            before = publisher.state.published
            wait_until(lambda before=before: publisher.state.published > before + 50)
            server.kill()
            wait_until(lambda: publisher.state.state == "redis_down")
            if turn == 3:
                server.empty()
            server.start()
        wait_until(lambda: publisher.state.ok)
        stop.set()
        loader.join()
        assert publisher.flush(20)
        assert publisher.state.replays >= 1
        publisher.publish(make_events(1, "end")[0])
        assert publisher.flush(5)
        assert done.wait(20)
    found = [event for event in stored(server) if event.source_id != "end"]
    assert len(published) > 500
    assert {event.event_id for event in found} == set(published)  # the emptied server was given everything again
    assert len(found) == len(published)
    assert in_order_without_holes(found)
    assert sorted(received) == sorted(published)  # each one once, the emptied server notwithstanding


def test_a_server_emptied_in_a_quiet_time_is_filled_again(server, tmp_path, make_events) -> None:
    with Publisher([server.url], tmp_path / "spool") as publisher:
        for event in make_events(20):
            publisher.publish(event)
        assert publisher.flush(5)
        server.client.flushall()
        wait_until(lambda: publisher.state.replays == 1 and publisher.state.lag == 0)
        assert len(stored(server)) == 20


def test_a_server_that_starts_later_gets_everything(make_server, tmp_path, make_events) -> None:
    server = make_server()
    with Publisher([server.url], tmp_path / "spool") as publisher:
        for event in make_events(100):
            publisher.publish(event)
        assert not publisher.flush(0.3)
        state = publisher.state
        assert (state.state, state.lag, state.spooled) == ("redis_down", 100, 100)
        assert "wait on disk" in state.last_error
        server.start()
        assert publisher.flush(10)
        assert publisher.state.ok
    assert len(stored(server)) == 100


def test_what_could_not_be_delivered_waits_for_the_next_start(make_server, tmp_path, make_events, caplog) -> None:
    server = make_server()
    publisher = Publisher([server.url], tmp_path / "spool")
    for event in make_events(30):
        publisher.publish(event)
    publisher.close(time.monotonic() + 0.1)
    assert "30 events wait" in caplog.text
    server.start()
    with Publisher([server.url], tmp_path / "spool") as publisher:
        assert publisher.flush(10)
    assert len(stored(server)) == 30


def test_a_publisher_killed_with_kill_9_loses_nothing_it_accepted(server, tmp_path, make_events) -> None:
    code = """
import sys, pathlib
from stream.publish.publisher import Publisher
from stream.events.schema import EventNumbers, SourceStateEvent
numbers = EventNumbers("run", "cam")
publisher = Publisher([sys.argv[1]], pathlib.Path(sys.argv[2]))
while True:
    event = publisher.publish(SourceStateEvent(**numbers.next(), media_time_s=0.0, state="up"))
    print(event.seq, flush=True)
"""
    command = [sys.executable, "-c", code, server.url, str(tmp_path / "spool")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) == 700:
            break
    child.kill()
    accepted = [int(line) for line in child.stdout.read().split("\n") if line.strip()]
    child.wait()
    with Publisher([server.url], tmp_path / "spool") as publisher:
        assert publisher.flush(10)
    found = stored(server)
    assert in_order_without_holes(found)
    assert len(found) >= max([700, *accepted[:-1]])  # the last line may be torn


def test_a_full_server_makes_events_wait_on_disk_until_there_is_room(make_server, tmp_path, make_events) -> None:
    server = make_server(maxmemory="4mb", appendonly="no")
    server.start()
    server.client.xgroup_create("hoistream:events", "asleep", "0", mkstream=True)
    with Publisher([server.url], tmp_path / "spool") as publisher:
        events = make_events(6000)
        for event in events:
            publisher.publish(event)
        wait_until(lambda: publisher.state.state == "redis_full")
        assert 0 < publisher.state.lag < 6000
        assert "maxmemory" in publisher.state.last_error
        assert "held back by `asleep`" in publisher.state.last_error
        server.client.config_set("maxmemory", "100mb")
        assert publisher.flush(10)
        assert publisher.state.ok
    found = stored(server)
    assert len(found) == 6000
    assert in_order_without_holes(found)


def test_a_full_server_is_trimmed_of_what_every_group_has_read(make_server, tmp_path, make_events) -> None:
    server = make_server(maxmemory="4mb", appendonly="no")
    server.start()
    received: list[int] = []
    enough = threading.Event()

    def consume() -> None:
        with subscribe(server.url, group="g") as events:
            for event in events:
                received.append(event.seq)
                if event.seq == 12000:
                    break
        enough.set()

    threading.Thread(target=consume, daemon=True).start()
    wait_until(lambda: server.client.exists("hoistream:events"))
    with Publisher([server.url], tmp_path / "spool") as publisher:
        for event in make_events(12000):
            publisher.publish(event)
        assert publisher.flush(20)
        assert enough.wait(10)
    assert received == list(range(1, 12001))
    assert server.client.xlen("hoistream:events") < 12000


def test_a_full_spool_makes_the_caller_wait_and_says_so(make_server, tmp_path, make_events) -> None:
    server = make_server()
    limits = SpoolLimits(max_bytes=20_000)
    events = make_events(200)
    with Publisher([server.url], tmp_path / "spool", limits=limits) as publisher:
        loader = threading.Thread(target=lambda: [publisher.publish(event) for event in events], daemon=True)
        loader.start()
        wait_until(lambda: publisher.state.state == "disk_full")
        assert "budget" in publisher.state.last_error
        assert loader.is_alive()
        server.start()
        loader.join(20)
        assert not loader.is_alive()
        assert publisher.flush(10)
        assert publisher.state.ok
    found = stored(server)
    assert len(found) == 200
    assert in_order_without_holes(found)


@pytest.mark.parametrize("way", ["close", "stop"])
def test_a_caller_that_waits_for_a_full_disk_can_be_freed(way, make_server, tmp_path, make_events) -> None:
    publisher = Publisher([make_server().url], tmp_path / "spool", limits=SpoolLimits(max_bytes=5000))
    failed: list[Exception] = []
    stop = threading.Event()

    def load() -> None:
        try:
            for event in make_events(100):
                publisher.publish(event, stop)
        except HoistreamError as error:
            failed.append(error)

    loader = threading.Thread(target=load, daemon=True)
    loader.start()
    wait_until(lambda: publisher.state.state == "disk_full")
    publisher.close(time.monotonic() + 0.1) if way == "close" else stop.set()
    loader.join(5)
    assert "unpublished" in str(failed[0])
    publisher.close(time.monotonic() + 0.1)


def test_a_wrong_password_is_refused_at_once_and_shown_nowhere(make_server, tmp_path, caplog) -> None:
    server = make_server(requirepass="right-secret")
    server.start()
    wrong = server.url.replace("right-secret", "wrong-secret")
    with pytest.raises(InputError, match="password") as caught:
        Publisher([wrong], tmp_path / "spool")
    assert "secret" not in str(caught.value) + caplog.text
    with Publisher([server.url], tmp_path / "spool") as publisher:
        assert publisher.state.ok
        server.kill()
        wait_until(lambda: publisher.state.state == "redis_down")
        assert "secret" not in publisher.state.last_error + caplog.text
        publisher.close(time.monotonic() + 0.1)


def test_two_streams_of_one_server_each_get_everything(server, tmp_path, make_events) -> None:
    with Publisher([server.url, server.url + "?stream=copy"], tmp_path / "spool") as publisher:
        for event in make_events(50):
            publisher.publish(event)
        assert publisher.flush(10)
    assert stored(server) == stored(server, "copy")
    assert len(stored(server)) == 50


def test_another_run_of_the_same_source_is_not_taken_for_a_repeat(server, tmp_path, make_events) -> None:
    with Publisher([server.url], tmp_path / "spool") as publisher:
        for run in ("monday", "tuesday", "monday"):
            for event in make_events(5, run_id=run):
                publisher.publish(event)
        assert publisher.flush(10)
    assert [event.run_id for event in stored(server)] == ["monday"] * 5 + ["tuesday"] * 5


def test_jsonl_appends_whole_lines_and_cuts_a_half_one_off(tmp_path, make_events) -> None:
    path = tmp_path / "deep" / "events.jsonl"
    for batch in (make_events(2), make_events(3, "other")):
        with Publisher([f"jsonl:{path}"]) as publisher:
            for event in batch:
                publisher.publish(event)
            assert publisher.flush(1)
            assert publisher.state.published == len(batch)
        with path.open("ab") as file:
            file.write(b'{"half": ')
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b'{"half": '
    assert [parse_event(line).source_id for line in lines] == ["cam", "cam", "other", "other", "other"]


def test_stdout_prints_one_document_a_line(capfdbinary, make_events) -> None:
    with Publisher(["stdout:"]) as publisher:
        publisher.publish(make_events(1)[0])
    assert json.loads(capfdbinary.readouterr().out)["interaction"] == "ride bicycle"


@pytest.mark.parametrize(
    "url",
    [
        "kafka://user:secret@host/",
        "jsonl:",
        "redis://",
        "redis://:secret@host?keep_h=-1",
        "redis://:secret/x@host",
        "redis://:secret@host?colour=red",
    ],
)
def test_a_sink_that_cannot_be_right_is_named_without_its_secrets(url: str, tmp_path) -> None:
    with pytest.raises(InputError, match=r"expected|keep_h|%40") as caught:
        Publisher([url], tmp_path)
    assert "secret" not in str(caught.value)
