"""`hoistream eval events` on a drawn video, from the real batch job to the report."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hoiclip.synthetic.video import write_video
from stream.commands.batch import batch
from stream.commands.evaluate import app


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of a drawn video and that of its events."""
    world = tmp_path_factory.mktemp("world")
    write_video(world / "v.mp4", 77, 6.0, fps=8, height=256, width=448)
    out = tmp_path_factory.mktemp("results")
    command = typer.Typer()
    command.command()(batch)
    done = CliRunner().invoke(command, [str(world), "--out", str(out), "--model", "demo"])
    assert done.exit_code == 0, done.output
    return world, out


def test_a_rerun_gives_the_events_of_batch_and_a_report_that_needs_nothing_beside_it(results, tmp_path):
    world, out = results
    options = ["events", "-p", str(out), "-a", str(world), "--rerun", "--model", "demo", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, [*options, "--json"])
    assert done.exit_code == 0, done.output
    measures = json.loads(done.stdout)
    assert measures["num_true"] >= 2
    as_detected = measures["true_parts"]["as detected"]
    assert (as_detected["f1"], as_detected["num_false"]) == (measures["f1"], measures["false_alarms"]["count"])
    assert as_detected["identity_switches"] == measures["identity_switches"]
    assert measures["true_parts"]["everything true"]["num_false"] == 0
    low, high = measures["f1_interval"]
    assert low <= measures["f1"] <= high
    assert measures["false_alarms"]["per_day"] == pytest.approx(24 * measures["false_alarms"]["per_hour"])

    report = (tmp_path / "report.html").read_text()
    assert str(tmp_path) not in report and str(world) not in report and "file:" not in report
    assert not re.findall(r"(?:src|href)=['\"](?!data:)", report) and "<script" not in report
    errors = measures["false_alarms"]["count"] + measures["num_true"] - measures["num_matched"]
    assert report.count("<figure class='error'>") == min(errors, 12)
    assert report.count("data:image/jpeg") == min(errors, 12)
    assert (tmp_path / "det.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((tmp_path / "det.csv").open()))
    assert {row["curve"] for row in rows} == {"by peak score", "by enter score"}
    assert json.loads((tmp_path / "measures.json").read_text()) == measures


def test_without_the_model_the_report_charts_the_lines_of_events(results, tmp_path):
    world, out = results
    done = CliRunner().invoke(app, ["events", "-p", str(out), "-a", str(world), "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    report = (tmp_path / "report.html").read_text()
    assert "What the tracker is worth" not in report and "Why events are wrong" in report
    assert any(line.split()[0] == "edit_score" for line in done.stdout.splitlines())


def test_mistakes_are_named(results, tmp_path):
    world, out = results
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "v.json").write_bytes((world / "v.json").read_bytes())
    options = ["events", "-p", str(out), "-a", str(alone)]
    assert "no video beside" in str(CliRunner().invoke(app, [*options, "--rerun", "--model", "demo"]).exception)
    assert "no model given" in str(CliRunner().invoke(app, [*options[:-1], str(world), "--rerun"]).exception)
    assert "a file is in the way" in str(CliRunner().invoke(app, [*options, "--out", str(alone / "v.json")]).exception)
    assert CliRunner().invoke(app, [*options, "--out", str(tmp_path / "out")]).exit_code == 0  # pictures need videos
