from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hoistream.cli import app
from stream.store.event_store import EventStore
from tests.stream.rules.support import Scene


@pytest.fixture
def store(tmp_path: Path) -> str:
    scene = Scene("gate", live=True)
    for t in range(6):
        scene.say(600.0 * t, "started", ("hold box", "ride bike")[t % 2], life=f"{t}", zones=("door",) if t > 2 else ())
    path = tmp_path / "events.db"
    with EventStore(path) as opened:
        opened.add([event.model_dump_json().encode() for event in scene.events])
        opened.mark(scene.events[0].event_id, label="good")
    return str(path)


def ask(*arguments: str) -> list[str]:
    result = CliRunner().invoke(app, ["events", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_a_store_is_asked_from_the_command_line(store: str) -> None:
    assert len(ask(store)) == 6
    assert "human 1  ride bike in door" in ask(store)[0]
    lines = [json.loads(line) for line in ask(store, "--json", "--interaction", "hold box", "--oldest-first")]
    assert [line["media_time_s"] for line in lines] == [0.0, 1200.0, 2400.0]
    assert len(ask(store, "--zone", "door", "--source", "gate", "--object", "bike")) == 2
    assert len(ask(store, "--from", "2026-11-23T12:15:00+00:00", "--until", "2026-11-23T12:45:00+00:00")) == 3
    assert len(ask(store, "--human", "1", "--limit", "4")) == 4
    assert ask(store, "--human", "2") == []


def test_events_are_starred_and_found_again_in_a_table(store: str) -> None:
    event_id = json.loads(ask(store, "--json", "--label", "good")[0])["event_id"]
    assert ask(store, "--star", event_id) == []
    rows = list(csv.DictReader(io.StringIO("\n".join(ask(store, "--csv", "--starred")))))
    assert [(r["event_id"], r["interaction"], r["starred"], r["label"]) for r in rows] == [
        (event_id, "hold box", "1", "good")
    ]
    ask(store, "--unstar", event_id)
    assert len(ask(store, "--csv", "--starred")) == 1


def test_rules_are_tried_on_the_stored_past(store: str, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n  - name: often\n    count: {what: {verb: hold}, at_least: 2, within_s: 1200}\n")
    result = CliRunner().invoke(app, ["rules", "test", str(rules), "--store", store, "--json"])
    assert result.exit_code == 0, result.output
    assert [json.loads(line)["media_time_s"] for line in result.stdout.splitlines()] == [1200.0]
    assert "6 events judged" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.db"], "does not exist"),
        (["{store}", "--type", "hologram"], "--type: 'hologram' is not known"),
        (["{store}", "--from", "soon"], "--from: expected `beginning`"),
        (["{store}", "--json", "--csv"], "give one of them"),
        (["{store}", "--star", "nothing"], "no event 'nothing'"),
    ],
)
def test_mistakes_are_one_line(store: str, arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["events", *(argument.format(store=store) for argument in arguments)])
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
