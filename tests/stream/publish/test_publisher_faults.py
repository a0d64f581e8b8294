"""Shortages, damage, foreign hands and deadlines: the publisher goes on, or says what is wrong."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from hoiclip.errors import HoistreamError
from stream.events.schema import PUBLISHER_ID, EventNumbers, EventsLostEvent
from stream.publish import publisher as publisher_module
from stream.publish.carrying import LossReport
from stream.publish.publisher import Publisher
from stream.publish.spool import Spool, SpoolLimits
from tests.stream.publish.support import STREAM, in_order_without_holes, stored, wait_until

SMALL = SpoolLimits(segment_bytes=3000)


def test_a_short_shortage_of_file_descriptors_stops_nothing_for_good(server, tmp_path, make_events) -> None:
    events = make_events(300)
    with Publisher([server.url], tmp_path, limits=SMALL) as publisher:
        for event in events[:100]:
            publisher.publish(event)
        assert publisher.flush(10)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        loader = threading.Thread(target=lambda: [publisher.publish(event) for event in events[100:]], daemon=True)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            loader.start()
            wait_until(lambda: not publisher.state.ok)
            assert "Too many open files" in publisher.state.last_error
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        loader.join(10)
        assert publisher.flush(10)
        assert publisher.state.ok
    assert len(stored(server)) == 300
    assert in_order_without_holes(stored(server))


@pytest.mark.parametrize("place", ["sync", "read"])
def test_a_thread_that_dies_is_seen_by_health_and_by_the_next_caller(place, server, tmp_path, make_events, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    publisher = Publisher([server.url], tmp_path)
    monkeypatch.setattr(Spool, place, broken)
    with contextlib.suppress(HoistreamError):
        publisher.publish(make_events(1)[0])
    wait_until(lambda: publisher.state.state == "failed")
    assert not publisher.state.ok
    assert "a bug" in publisher.state.last_error
    with pytest.raises(HoistreamError, match="a bug"):
        publisher.publish(make_events(1)[0])
    began = time.monotonic()
    with pytest.raises(HoistreamError, match="a bug"):
        publisher.close()
    assert time.monotonic() - began < 2  # nothing waits for what can never come


def test_events_that_do_not_move_are_a_fault_although_nothing_reports_one(server, tmp_path, make_events, monkeypatch):
    monkeypatch.setattr(publisher_module, "_STALLED_S", 0.3)
    hang = threading.Event()
    with Publisher([server.url], tmp_path) as publisher:
        monkeypatch.setattr(Spool, "sync", lambda _: hang.wait(10))
        publisher.publish(make_events(1)[0])
        wait_until(lambda: publisher.state.state == "stalled", 3)
        assert "nothing has moved" in publisher.state.last_error
        monkeypatch.undo()
        hang.set()
        assert publisher.flush(10)
        assert publisher.state.ok


def test_health_tells_at_once_that_the_server_was_killed_with_events_waiting(server, tmp_path, make_events) -> None:
    with Publisher([server.url], tmp_path) as publisher:
        numbers = EventNumbers("run", "cam")
        publisher.publish(make_events(1, numbers=numbers)[0])
        assert publisher.flush(10)
        server.kill()
        publisher.publish(make_events(1, numbers=numbers)[0])
        wait_until(lambda: publisher.state.state == "redis_down", 1.0)
        publisher.close(time.monotonic())


def test_health_tells_in_a_quiet_time_that_the_server_was_killed(server, tmp_path) -> None:
    with Publisher([server.url], tmp_path) as publisher:
        server.kill()
        wait_until(lambda: publisher.state.state == "redis_down", 2.0)
        publisher.close(time.monotonic())


def test_damage_in_the_spool_costs_only_what_it_hit_and_is_published(make_server, tmp_path, make_events) -> None:
    server = make_server()
    with Publisher([server.url], tmp_path) as publisher:
        for event in make_events(50):
            publisher.publish(event)
        publisher.close(time.monotonic())
    (path,) = tmp_path.glob("*.spool")
    data = bytearray(path.read_bytes())
    data[data.index(b'"seq":20,') - 30] ^= 1
    path.write_bytes(bytes(data))
    server.start()
    for _ in range(2):  # and is told once
        with Publisher([server.url, server.url + "?stream=copy"], tmp_path) as publisher:
            assert publisher.flush(10)
            wait_until(lambda: any(event.type == "events_lost" for event in stored(server)))
            assert publisher.flush(10)
    for stream in (STREAM, "copy"):
        events = stored(server, stream)
        assert [event.seq for event in events if event.source_id == "cam"] == [*range(1, 20), *range(21, 51)]
        reports = [event for event in events if isinstance(event, EventsLostEvent)]
        assert {(event.count, event.where, event.reason) for event in reports} == {(1, "spool", "damaged")}
        assert len({event.event_id for event in reports}) == 1
        assert reports[0].source_id == PUBLISHER_ID
    assert list(tmp_path.glob("*.damaged"))


def test_damage_in_what_the_sink_has_already_is_no_loss(server, tmp_path, make_events) -> None:
    with Publisher([server.url], tmp_path) as publisher:
        for event in make_events(50):
            publisher.publish(event)
        assert publisher.flush(10)
    (path,) = tmp_path.glob("*.spool")
    data = bytearray(path.read_bytes())
    data[data.index(b'"seq":20,') - 30] ^= 1
    path.write_bytes(bytes(data))
    with Publisher([server.url], tmp_path) as publisher:
        for event in make_events(5, "other"):
            publisher.publish(event)
        assert publisher.flush(10)
        assert (publisher.state.damaged, publisher.state.lost) == (1, 0)
    assert len(stored(server)) == 55


def test_a_full_disk_blinds_nobody_when_everything_is_delivered(server, tmp_path, make_events, monkeypatch) -> None:
    """A disk with room for 60 kB takes 600 kB of events, though no segment ever came to its end."""
    real = os.write

    def write(fd: int, data: bytes) -> int:
        if b"\xf5HS" in data[:3] and sum(path.stat().st_size for path in tmp_path.iterdir()) + len(data) > 60_000:
            raise OSError(28, os.strerror(28))
        return real(fd, data)

    monkeypatch.setattr("stream.publish.publisher.Spool", partial(Spool, write=write))
    with Publisher([server.url], tmp_path) as publisher:
        began = time.monotonic()
        for event in make_events(700):
            publisher.publish(event)
        assert publisher.flush(10)
        assert time.monotonic() - began < 10
        assert publisher.state.ok
    assert in_order_without_holes(stored(server))
    assert len(stored(server)) == 700


def test_deletion_by_others_is_told_in_health_and_in_the_stream(server, tmp_path, make_events, monkeypatch) -> None:
    with Publisher([server.url], tmp_path) as publisher:
        for event in make_events(40):
            publisher.publish(event)
        assert publisher.flush(10)
        wait_until(lambda: server.client.hget("{hoistream:events}:account", "added") == "40")
        server.client.xtrim(STREAM, maxlen=30, approximate=False)
        wait_until(lambda: publisher.state.state == "events_deleted")
        assert publisher.state.deleted == 10
        assert "hoistream replay" in publisher.state.last_error
        wait_until(lambda: stored(server)[-1].type == "events_lost")
        (told,) = (event for event in stored(server) if isinstance(event, EventsLostEvent))
        assert (told.count, told.where, told.reason) == (10, "stream", "deleted")
        monkeypatch.setattr(publisher_module, "_DELETED_S", 0.0)
        assert publisher.state.ok  # what is over is over


def test_deletion_of_what_was_just_sent_again_is_told(server, tmp_path, make_events) -> None:
    with Publisher([server.url], tmp_path / "spool") as publisher:
        for event in make_events(20):
            publisher.publish(event)
        assert publisher.flush(5)
        server.client.flushall()
        wait_until(lambda: publisher.state.replays == 1 and publisher.state.lag == 0)
        server.client.delete(STREAM)  # before anybody has looked at the new stream
        wait_until(lambda: publisher.state.deleted == 20)
        wait_until(lambda: [event.type for event in stored(server)] == ["events_lost"])
        (told,) = stored(server)
        assert (told.count, told.where, told.reason) == (20, "stream", "deleted")


def test_two_equal_deletions_are_both_told(server, tmp_path, make_events) -> None:
    with Publisher([server.url], tmp_path) as publisher:
        for event in make_events(60):
            publisher.publish(event)
        assert publisher.flush(10)
        for expected in (10, 20):
            ids = [identity for identity, _ in server.client.xrange(STREAM, count=10)]
            server.client.xdel(STREAM, *ids)
            wait_until(lambda expected=expected: publisher.state.deleted == expected)
        wait_until(lambda: sum(event.type == "events_lost" for event in stored(server)) == 2)


def swallowing_server() -> tuple[socket.socket, str]:
    """A server that takes connections and never answers."""
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_closing_keeps_its_deadline_though_the_server_hangs(seconds: float, tmp_path, make_events, caplog) -> None:
    listener, url = swallowing_server()
    publisher = Publisher([url, url + "?stream=other"], tmp_path)
    for event in make_events(7):
        publisher.publish(event)
    began = time.monotonic()
    publisher.close(began + seconds)
    assert time.monotonic() - began < seconds + 1.0
    assert "7 events wait in" in caplog.text
    listener.close()
    with Spool(tmp_path) as spool:
        assert spool.end.record == 7


def test_a_loss_that_is_found_while_closing_is_told_by_the_next_start(server, tmp_path, make_events) -> None:
    publisher = Publisher([server.url], tmp_path)
    for event in make_events(3):
        publisher.publish(event)
    delivery = publisher._deliveries[0]
    close = delivery.close

    def find_and_close(deadline: float) -> None:
        publisher._report_loss(LossReport(5, "spool", "removed", "a segment went away", "key"))
        close(deadline)

    delivery.close = find_and_close  # type: ignore[method-assign]
    publisher.close()
    with Publisher([server.url], tmp_path) as again:
        assert again.flush(10)
    assert [event.count for event in stored(server) if event.type == "events_lost"] == [5]


def test_what_was_acknowledged_stays_so_over_a_restart(make_server, tmp_path, make_events) -> None:
    server = make_server()
    server.start()
    with Publisher([server.url], tmp_path) as publisher:
        for event in make_events(100):
            publisher.publish(event)
        assert publisher.flush(10)
    server.kill()
    with Publisher([server.url], tmp_path) as publisher:
        for event in make_events(3, "other"):
            publisher.publish(event)
        assert publisher.state.lag == 3
        server.start()
        lags = []
        while not publisher.flush(0.01):
            lags.append(publisher.state.lag)
        assert max(lags, default=0) <= 3
    assert len(stored(server)) == 103


def test_a_lost_reply_is_no_lost_event(server, tmp_path, make_events) -> None:
    """Connections are cut under load: nothing is doubled, and a server that lost nothing is trusted."""
    with Publisher([server.url], tmp_path) as publisher:
        numbers = EventNumbers("run", "cam")
        for turn in range(30):
            for event in make_events(40, numbers=numbers):
                publisher.publish(event)
            if turn % 3 == 0:
                server.client.client_kill_filter(_type="normal", skipme=True)
        assert publisher.flush(20)
        assert publisher.state.replays == 0
    assert len(stored(server)) == 1200
    assert in_order_without_holes(stored(server))


def test_a_server_that_comes_back_empty_and_has_what_cannot_be_replayed_is_told(server, tmp_path, make_events) -> None:
    limits = SpoolLimits(segment_bytes=3000, replay_window_s=0.0)
    with Publisher([server.url], tmp_path, limits=limits) as publisher:
        numbers = EventNumbers("run", "cam")
        for event in make_events(100, numbers=numbers):
            publisher.publish(event)
            publisher.flush(5)
        wait_until(lambda: len(list(tmp_path.glob("*.spool"))) == 1)
        server.client.flushall()
        wait_until(lambda: any(event.type == "events_lost" for event in stored(server)))
        assert publisher.flush(10)
        events = stored(server)
        (told,) = (event for event in events if isinstance(event, EventsLostEvent))
        assert told.count + len(events) - 1 == 100
        assert (told.where, told.reason) == ("stream", "deleted")


def test_the_pipeline_outlives_garbage_from_the_server(tmp_path, make_events) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def babble() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                client.recv(1000)
                client.sendall(b":12x\r\n*3\r\n$9\r\n" + b"\xff" * 50)
                client.close()

    threading.Thread(target=babble, daemon=True).start()
    url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
    with Publisher([url], tmp_path) as publisher:
        for event in make_events(20):
            publisher.publish(event)
        wait_until(lambda: publisher.state.state == "redis_down")
        time.sleep(0.3)
        assert publisher.state.state == "redis_down"
        publisher.close(time.monotonic() + 0.2)
    listener.close()


def test_a_server_that_evicts_gets_few_appends_more_than_events(make_server, tmp_path, make_events) -> None:
    server = make_server(**{"maxmemory": "6mb", "maxmemory-policy": "allkeys-lru", "appendonly": "no"})
    server.start()
    with Publisher([server.url], tmp_path) as publisher:
        for event in make_events(8000):
            publisher.publish(event)
        wait_until(lambda: publisher.state.state == "redis_full")
        assert "noeviction" in publisher.state.last_error
        appended = server.client.info("commandstats")["cmdstat_xadd"]["calls"]
        assert appended <= 8000
        server.client.config_set("maxmemory", "100mb")
        server.client.config_set("maxmemory-policy", "noeviction")
        assert publisher.flush(20)
        assert server.client.info("commandstats")["cmdstat_xadd"]["calls"] < 8000 + 10
        wait_until(lambda: in_order_without_holes(stored(server)))  # what was evicted comes again after the flush


def test_threads_that_publish_together_lose_and_mix_nothing(server, tmp_path, make_events) -> None:
    with Publisher([server.url], tmp_path, limits=SMALL) as publisher:
        lanes = [make_events(150, f"cam{number}", f"run{number}") for number in range(6)]
        threads = [
            threading.Thread(target=lambda lane=lane: [publisher.publish(event) for event in lane]) for lane in lanes
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert publisher.flush(10)
    assert len(stored(server)) == 900
    assert in_order_without_holes(stored(server))
    assert len(list(Path(tmp_path).glob("*.spool"))) > 5
