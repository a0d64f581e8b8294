from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest
import typer
from typer.testing import CliRunner

from hoiclip.errors import HoistreamError, InputError
from stream.commands.schema import schema
from stream.commands.subscribe import subscribe
from tests.stream.publish.support import wait_until

STREAM = "hoistream:events"
app = typer.Typer()
app.command()(subscribe)
app.command()(schema)


def run(*arguments: str, **options):
    result = CliRunner().invoke(app, arguments, **options)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def add(server, events) -> None:
    for event in events:
        server.client.xadd(STREAM, {"event": event.model_dump_json()})


def test_subscribe_prints_a_line_an_event(server, make_events) -> None:
    add(server, make_events(2) + make_events(1, "other", verb="hold", interaction="hold cup"))
    lines = run("subscribe", "--url", server.url, "--from", "beginning", "--no-follow").splitlines()
    assert len(lines) == 3
    assert "started" in lines[0]
    assert "ride bicycle" in lines[0]
    assert "hold cup" in run("subscribe", "--from", "1h", "--no-follow", "--verb", "hold", "--url", server.url)


def test_subscribe_prints_json_and_takes_the_url_from_the_environment(server, make_events) -> None:
    add(server, make_events(3))
    environment = {"HOISTREAM_REDIS_URL": server.url}
    out = run("subscribe", "--group", "g", "--json", "--count", "2", env=environment)
    assert [json.loads(line)["seq"] for line in out.splitlines()] == [1, 2]
    assert json.loads(run("subscribe", "--group", "g", "--json", "--count", "1", env=environment))["seq"] == 3
    assert server.client.xpending(STREAM, "g")["pending"] == 0


def test_subscribe_shows_only_what_is_new_unless_told_otherwise(server, make_events) -> None:
    def add_once_somebody_waits() -> None:
        wait_until(lambda: any(client["cmd"] == "xread" for client in server.client.client_list()))
        add(server, make_events(1, "fresh"))

    add(server, make_events(1, "old"))
    adding = threading.Thread(target=add_once_somebody_waits)
    adding.start()
    assert "fresh" in run("subscribe", "--url", server.url, "--count", "1")
    adding.join()


def test_subscribe_reads_what_waits_for_its_group_and_stops(server, make_events) -> None:
    add(server, make_events(5))
    for expected in (5, 0):
        out = run("subscribe", "--url", server.url, "--group", "g", "--no-follow", "--json")
        assert len(out.splitlines()) == expected


def test_subscribe_ends_quietly_when_its_reader_leaves(server, make_events) -> None:
    add(server, make_events(2000))
    command = f"{sys.executable} -m hoistream subscribe --url {server.url} --from beginning --json"
    done = subprocess.run(f"{command} | head -1", shell=True, capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["seq"] == 1
    assert done.stderr == ""
    closed = subprocess.run(f"{command} >&-", shell=True, capture_output=True, text=True, timeout=60)
    assert closed.returncode == 2
    assert closed.stderr.strip() == "error: standard output is closed; send it somewhere"


def test_subscribe_stops_at_a_time(server, make_events) -> None:
    for number, event in enumerate(make_events(3)):
        server.client.xadd(STREAM, {"event": event.model_dump_json()}, id=f"{1_795_435_200_000 + number * 1000}-0")
    out = run("subscribe", "--url", server.url, "--from", "1795435200", "--until", "1795435202", "--json")
    assert [json.loads(line)["seq"] for line in out.splitlines()] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "yesterday"], "--from"),
        (["--until", "soon"], "--until"),
        (["--from", "10m", "--until", "soon"], "--until"),
        (["--group", "g", "--until", "5m"], "--group"),
        (["--type", "vanished"], "started"),
    ],
)
def test_subscribe_refuses_what_cannot_be_right(arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run("subscribe", *arguments)


def test_subscribe_says_what_is_wrong_with_a_password(make_server) -> None:
    server = make_server(requirepass="right-secret")
    server.start()
    with pytest.raises(HoistreamError, match="password") as caught:
        run("subscribe", "--url", server.url.replace("right-secret", "wrong-secret"))
    assert "secret" not in str(caught.value)


def test_schema_prints_json_schema_and_writes_both_documents(tmp_path) -> None:
    assert "InteractionEvent" in json.loads(run("schema"))["$defs"]
    assert run("schema", "--asyncapi").startswith("asyncapi: 3.0.0")
    run("schema", "--out", str(tmp_path / "schema"))
    assert {path.name for path in (tmp_path / "schema").iterdir()} == {"event.schema.json", "asyncapi.yaml"}
