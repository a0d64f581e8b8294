from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hoistream.cli import app
from tests.stream.rules.support import Scene

RULES = """rules:
  - name: long
    severity: critical
    lasts: {what: {verb: hold}, for_s: 10}
  - name: often
    count: {what: {verb: [hold, take]}, at_least: 2, within_s: 60}
    cooldown_s: 1000
"""


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, Path]:
    scene = Scene(live=True)
    for t in range(4):
        scene.say(30.0 * t, "started", "hold box", life=f"a{t}")
        scene.say(30.0 * t + 20, "ended", "hold box", life=f"a{t}")
    rules, events = tmp_path / "rules.yaml", tmp_path / "events.jsonl"
    rules.write_text(RULES)
    events.write_text("".join(f"{event.model_dump_json()}\n" for event in scene.events))
    return rules, events


def test_what_rules_would_have_told_is_printed(stored: tuple[Path, Path]) -> None:
    rules, events = map(str, stored)
    result = CliRunner().invoke(app, ["rules", "test", rules, "--events", events, "--json"])
    assert result.exit_code == 0, result.output
    alerts = [json.loads(line) for line in result.stdout.splitlines()]
    assert [alert["rule"] for alert in alerts] == ["long", "often", "long", "long", "long"]
    assert "long: 4 alerts" in result.stderr
    assert "often: 1 alerts, 1 kept silent by its schedule or cooldown" in result.stderr
    part = ["--from", "2026-11-23T12:00:40+00:00", "--until", "2026-11-23T12:01:25+00:00"]
    result = CliRunner().invoke(app, ["rules", "test", rules, "--events", events, *part])
    assert "critical: long  (hold box for 10 s)" in result.stdout
    assert "long: 1 alerts" in result.stderr
    assert "3 events judged" in result.stderr


def test_what_cannot_be_right_is_one_line(stored: tuple[Path, Path], tmp_path: Path) -> None:
    rules, events = map(str, stored)
    ok = CliRunner().invoke(app, ["rules", "check", rules])
    assert (ok.exit_code, "2 rules: long, often" in ok.stdout) == (0, True)
    config = tmp_path / "run.yaml"
    config.write_text(f"model: demo\nrules: {rules}\nsources:\n  - {{id: gate, url: 'rtsp://h/x'}}\n")
    for arguments, message in (
        (["rules", "check", rules, "--config", str(config)], "rules.yaml:6: rule 'often': no verb 'take'; there are"),
        (["validate", str(config)], "rules.yaml:6: rule 'often': no verb 'take'"),
        (["rules", "test", rules, "--events", events, "--from", "soon"], "--from: expected"),
        (["rules", "test", rules, "--events", str(tmp_path / "none")], "cannot be read"),
    ):
        result = CliRunner().invoke(app, arguments)
        assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
