"""What was deleted from a stream comes back from the spool, and nothing else does."""

from __future__ import annotations

import time

import pytest
import typer
from typer.testing import CliRunner

from hoiclip.errors import HoistreamError, InputError
from stream.commands.replay import replay as command
from stream.events.schema import EventNumbers
from stream.publish.publisher import Publisher
from stream.publish.replay import replay
from stream.publish.spool import SpoolLimits
from tests.stream.publish.support import STREAM, stored, wait_until

LIMITS = SpoolLimits(segment_bytes=3000)


@pytest.fixture
def published(server, tmp_path, make_events):
    """A publisher that has delivered a hundred events, and goes on."""
    numbers = EventNumbers("run", "cam")
    with Publisher([server.url], tmp_path, limits=LIMITS) as publisher:
        for event in make_events(100, numbers=numbers):
            publisher.publish(event)
        assert publisher.flush(10)
        wait_until(lambda: any(int(path.read_text()) == 100 for path in tmp_path.glob("*.cursor")))
        yield publisher


def ids(server) -> list[str]:
    return [event.event_id for event in stored(server) if event.type != "events_lost"]


def test_deleted_entries_come_back_once_while_the_run_goes_on(published, server, tmp_path, make_events) -> None:
    before = ids(server)
    server.client.xtrim(STREAM, maxlen=70, approximate=False)
    server.client.xdel(STREAM, *[identity for identity, _ in server.client.xrange(STREAM)[10:15]])
    assert replay(tmp_path, server.url, send=False).missing == 35
    done = replay(tmp_path, server.url)
    assert (done.kept, done.missing, done.sent) == (100, 35, 35)
    assert sorted(ids(server)) == sorted(before)
    assert ids(server)[-35:] == before[:30] + before[40:45]
    assert replay(tmp_path, server.url).sent == 0
    for event in make_events(3, "later"):
        published.publish(event)
    assert published.flush(10)
    assert len(ids(server)) == 103


def test_a_deleted_stream_comes_back(published, server, tmp_path) -> None:
    before = ids(server)
    server.client.delete(STREAM)
    assert replay(tmp_path, server.url).sent == 100
    assert ids(server) == before


def test_what_hoistream_trimmed_itself_stays_away(published, server, tmp_path) -> None:
    server.client.xgroup_create(STREAM, "g", "$")
    time.sleep(0.002)
    published._deliveries[0].sink.make_room()
    assert server.client.xlen(STREAM) <= 1
    done = replay(tmp_path, server.url)
    assert done.sent == 0
    assert done.left_out == 100
    assert replay(tmp_path, server.url, everything=True).sent >= 99


def test_what_is_not_delivered_yet_is_left_to_the_run(make_server, tmp_path, make_events) -> None:
    server = make_server()
    server.start()
    numbers = EventNumbers("run", "cam")
    with Publisher([server.url], tmp_path) as publisher:
        for event in make_events(5, numbers=numbers):
            publisher.publish(event)
        assert publisher.flush(10)
    server.kill()
    publisher = Publisher([server.url], tmp_path)
    for event in make_events(5, numbers=numbers):
        publisher.publish(event)
    publisher.close(time.monotonic())
    server.start()
    assert replay(tmp_path, server.url).kept == 5
    assert len(stored(server)) == 5


def test_mistakes_are_named_without_secrets(server, tmp_path, free_tcp_port) -> None:
    with pytest.raises(InputError, match="has delivered nothing to"):
        replay(tmp_path, server.url.replace("redis://", "redis://:my-secret@"))
    with pytest.raises(InputError, match="expected redis://") as caught:
        replay(tmp_path, "http://:my-secret@x")
    assert "secret" not in str(caught.value)


def test_a_server_that_is_away_is_an_error_that_says_so(make_server, tmp_path, make_events) -> None:
    server = make_server()
    server.start()
    with Publisher([server.url], tmp_path) as publisher:
        publisher.publish(make_events(1)[0])
        assert publisher.flush(10)
    server.kill()
    with pytest.raises(HoistreamError, match="running this again"):
        replay(tmp_path, server.url)


def test_the_command_says_what_it_did(published, server, tmp_path) -> None:
    app = typer.Typer()
    app.command()(command)
    server.client.xtrim(STREAM, maxlen=90, approximate=False)
    for arguments, outcome in (
        (["--dry-run"], "10 missing from the stream, none sent"),
        ([], "10 sent"),
        ([], "0 sent"),
    ):
        done = CliRunner().invoke(app, ["--url", server.url, "--spool-dir", str(tmp_path), *arguments])
        assert outcome in done.output
        assert "100 events kept" in done.output
