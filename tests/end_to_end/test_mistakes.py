"""Ordinary mistakes at every entrance: the right exit code, one line that says what to do, no traceback, no secret."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from hoiclip.shipped import shipped
from hoistream.cli import app

SECRET = "hunter2-never-shown"
GOOD_SOURCE = "sources:\n  - {id: a, url: clip.mp4}\n"


class Mistake(NamedTuple):
    """What is typed, and what must come of it."""

    name: str
    arguments: str  # words; {dir} is the folder of `place`
    says: str  # part of the line on stderr
    files: dict[str, str] = {}  # noqa: RUF012  # written into the folder first
    code: int = 2


def config(name: str, text: str, says: str, code: int = 2) -> Mistake:
    """A mistake in a configuration of `hoistream run`; `validate` must say the same."""
    return Mistake(name, "run {dir}/c.yaml", says, {"c.yaml": text}, code)


NESTED = "a: " + "[" * 5000 + "]" * 5000 + "\n"
LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]\n" for i in range(1, 30))

MISTAKES = [
    Mistake("an unknown command", "rnu x", "No such command 'rnu'"),
    Mistake("an unknown option", "run x.yaml --speed 3", "No such option"),
    Mistake("a missing argument", "batch --out {dir}/o", "Missing argument"),
    # configurations
    Mistake("a configuration that does not exist", "run {dir}/none.yaml", "none.yaml"),
    Mistake("a folder as configuration", "run {dir}", "{dir}"),
    config("an empty configuration", "", "c.yaml"),
    config("text that is no YAML", "sources: [", "c.yaml"),
    config("a list instead of keys", "- a\n", "c.yaml"),
    config("an unknown key", "model: demo\nsuorces: []\n", "did you mean `sources`"),
    config("an unknown key of a source", "model: demo\nsources:\n  - {id: a, ulr: clip.mp4}\n", "did you mean `url`"),
    config("YAML that refers to itself", "model: demo\nsources: &s [*s]\n", "c.yaml"),
    config("YAML of 5,000 levels", NESTED, "c.yaml"),
    config("YAML that grows without end", LAUGHS, "c.yaml"),
    config("a variable that is not set", "model: demo\nsources: [{id: a, url: '${NOT_SET_ANYWHERE}'}]\n", "NOT_SET"),
    config("one id twice", "model: demo\nsources: [{id: a, url: clip.mp4}, {id: a, url: clip.mp4}]\n", "used twice"),
    config("an id with a slash", "model: demo\nsources: [{id: a/b, url: clip.mp4}]\n", "letters, digits"),
    config("no sources", "model: demo\nsources: []\n", "sources"),
    config("an unknown engine", "model: demo\nengine: {kind: openvno}\n" + GOOD_SOURCE, "openvino"),
    config("an unknown precision", "model: demo\nengine: {precision: fp17}\n" + GOOD_SOURCE, "fp16"),
    config("leave above enter", "model: demo\ntracker: {enter_score: 0.2, leave_score: 0.4}\n" + GOOD_SOURCE, "leave"),
    config("a score above 1", "model: demo\ntracker: {enter_score: 1.4}\n" + GOOD_SOURCE, "enter_score"),
    config("frames a second of zero", "model: demo\nsources: [{id: a, url: c.mp4, target_fps: 0}]\n", "target_fps"),
    config("a canvas that is none", "model: demo\ncanvases: [big]\n" + GOOD_SOURCE, "HEIGHTxWIDTH"),
    config("an unknown sink", "model: demo\nsinks: ['kafka:x']\n" + GOOD_SOURCE, "redis://"),
    config(
        "a redis sink whose keep_h is no number",
        f"model: demo\nsinks: ['redis://u:{SECRET}@127.0.0.1/0?keep_h=nan']\n" + GOOD_SOURCE,
        "keep_h",
    ),
    config("an infinite spool", "model: demo\nspool_max_mb: .inf\n" + GOOD_SOURCE, "spool_max_mb"),
    config("a spool of a kilobyte", "model: demo\nspool_max_mb: 0.001\n" + GOOD_SOURCE, "spool_max_mb"),
    config("no model", GOOD_SOURCE, "hoistream models get hoiclip-hico"),
    config("an unknown model", "model: hoiclip-hcio\n" + GOOD_SOURCE, "hoiclip-hcio"),
    config("a file that is missing", "model: demo\nsources: [{id: a, url: missing.mp4}]\n", "missing.mp4"),
    config("a camera without a scheme", "model: demo\nsources: [{id: a, url: '192.0.2.7:554/live'}]\n", "rtsp://"),
    config("an unknown scheme", "model: demo\nsources: [{id: a, url: 'rtps://192.0.2.7/live'}]\n", "rtsp"),
    config("a vocabulary that is missing", "model: demo\nvocabulary: v.yaml\n" + GOOD_SOURCE, "v.yaml"),
    config("a port that is none", "model: demo\nmetrics: {port: 99999}\n" + GOOD_SOURCE, "port"),
    Mistake(
        "an unknown verb",
        "run {dir}/c.yaml",
        "juggle",
        {"c.yaml": "model: demo\nvocabulary: v.yaml\n" + GOOD_SOURCE, "v.yaml": "interactions: [{verb: juggle}]\n"},
    ),
    # recordings
    Mistake("no such video", "batch {dir}/none.mp4 --out {dir}/o --model demo", "no such file or folder"),
    Mistake("a folder without videos", "batch {dir}/empty --out {dir}/o --model demo", "no videos"),
    Mistake("no model for a batch", "batch {dir}/clip.mp4 --out {dir}/o", "hoistream models get hoiclip-hico"),
    Mistake("a file as output folder", "batch {dir}/clip.mp4 --out {dir}/picture.png --model demo", "picture.png"),
    Mistake("an unwritable output", "batch {dir}/clip.mp4 --out /proc/o --model demo", "/proc/o", code=2),
    Mistake("a picture as video", "batch {dir}/picture.png --out {dir}/o --model demo", "picture", code=1),
    Mistake("text as video", "batch {dir}/notes.mp4 --out {dir}/o --model demo", "notes.mp4", {"notes.mp4": "x"}, 1),
    Mistake("a pipe as video", "batch {dir}/pipe.mp4 --out {dir}/o --model demo", "pipe.mp4"),
    Mistake(
        "an unknown engine for a batch", "batch {dir}/clip.mp4 --out {dir}/o --model demo --engine openvno", "openvino"
    ),
    Mistake("an unknown precision", "batch {dir}/clip.mp4 --out {dir}/o --model demo --precision fp17", "fp16"),
    Mistake("a bad canvas", "batch {dir}/clip.mp4 --out {dir}/o --model demo --canvas big", "HEIGHTxWIDTH"),
    Mistake("a rate of zero", "batch {dir}/clip.mp4 --out {dir}/o --model demo --fps 0", "--fps"),
    Mistake("a bad sink", "batch {dir}/clip.mp4 --out {dir}/o --model demo --sink http://x", "redis://"),
    # pictures
    Mistake("no such picture", "image {dir}/none.jpg --model demo", "no such file", code=1),
    Mistake("a video as picture", "image {dir}/clip.mp4 --model demo", "hoistream batch", code=1),
    Mistake("text as picture", "image {dir}/a.jpg --model demo", "not a picture", {"a.jpg": "x"}, 1),
    Mistake("no model for a picture", "image {dir}/picture.png", "hoistream models get hoiclip-hico"),
    # learning
    Mistake("nothing to teach", "teach --vocabulary {dir}/v.yaml --model demo", "nothing to teach"),
    Mistake("no examples", "teach 'wave flag' --vocabulary {dir}/v.yaml --model demo", "no examples"),
    Mistake(
        "an example that ends before it begins",
        "teach 'wave flag' --vocabulary {dir}/v.yaml --clip {dir}/clip.mp4 --from 3 --to 2 --model demo",
        "end after it begins",
    ),
    Mistake(
        "an example from a clip that is missing",
        "teach 'wave flag' --vocabulary {dir}/v.yaml --clip {dir}/none.mp4 --from 1 --to 2 --model demo",
        "none.mp4",
    ),
    Mistake(
        "more labels than videos",
        "calibrate --video {dir}/clip.mp4 --labels a.json --labels b.json --model demo",
        "in the same order",
    ),
    Mistake("footage that is missing", "calibrate --video {dir}/none.mp4 --model demo", "none.mp4"),
    Mistake("a training configuration that is missing", "train {dir}/none.yaml", "none.yaml"),
    Mistake("an unknown key of a training", "train {dir}/t.yaml", "t.yaml", {"t.yaml": "speed: 3\n"}),
    Mistake("an unwritable folder to draw into", "synth --videos 1 --seconds 1 --out /proc/x", "/proc/x"),
    Mistake("nothing to draw", "synth --out {dir}/s", "--videos"),
    Mistake("predictions that are missing", "eval hico -p {dir}/p.json -a {dir}/a.json", ".json"),
    Mistake("results that are missing", "eval events -p {dir}/none -a {dir}/empty", "none"),
    # setting up
    Mistake("a checkpoint that is missing", "convert {dir}/none.pth", "no such file"),
    Mistake("a checkpoint that is none", "convert {dir}/c.pth", "c.pth", {"c.pth": "x"}),
    Mistake("an unknown engine to build", "engine build openvno", "openvino"),
    Mistake("an engine verified on no video", "engine verify openvino --video {dir}/none.mp4", "none.mp4"),
    Mistake("a bundle of nothing", "bundle --model {dir}/none --out {dir}/x.bundle", "none"),
    Mistake("an unknown official model", "models get hoiclip-hicodet", "did you mean `hoiclip-hico`"),
    Mistake("a checkpoint to install that is missing", "models get hoiclip-hico --from {dir}/none.pth", "none.pth"),
    # reading events
    Mistake("a server that is no Redis URL", f"subscribe --url http://u:{SECRET}@127.0.0.1/0", "redis://"),
    Mistake("a port that is no number", f"subscribe --url redis://u:{SECRET}@127.0.0.1:x/0", "port"),
    Mistake("an unknown URL option", "subscribe --url redis://127.0.0.1/0?speed=3", "speed"),
    Mistake("a moment that is none", "subscribe --url redis://127.0.0.1/0 --from yesterdayish", "10m"),
    Mistake("an unknown event type", "subscribe --url redis://127.0.0.1/0 --type start", "started"),
    Mistake("a camera without a clip", "camera {dir}/none.mp4", "none.mp4"),
    Mistake("a schema into a file", "schema --out {dir}/picture.png", "picture.png"),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a clip, a picture, an empty folder and a pipe; caches and installed models of its own."""
    (tmp_path / "clip.mp4").symlink_to(shipped("assets/demo.mp4"))
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (32, 24)).save(tmp_path / "picture.png")
    os.mkfifo(tmp_path / "pipe.mp4")
    monkeypatch.setenv("HOISTREAM_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path


@pytest.mark.timeout(60)
@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_ends_in_one_line_that_says_what_to_do(mistake: Mistake, place: Path) -> None:
    for name, text in mistake.files.items():
        (place / name).write_text(text)
    check(mistake.arguments, mistake, place)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "mistake", [m for m in MISTAKES if m.arguments == "run {dir}/c.yaml"], ids=lambda mistake: mistake.name
)
def test_validate_refuses_what_run_refuses(mistake: Mistake, place: Path) -> None:
    for name, text in mistake.files.items():
        (place / name).write_text(text)
    check("validate {dir}/c.yaml", mistake, place)


def check(arguments: str, mistake: Mistake, place: Path) -> None:
    words = [word.strip("'") for word in _split(arguments.replace("{dir}", str(place)))]
    result = CliRunner().invoke(app, words, prog_name="hoistream", env={"COLUMNS": "400", "NO_COLOR": "1"})
    shown = result.stderr
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == mistake.code, shown
    assert mistake.says.replace("{dir}", str(place)) in shown + result.stdout, shown
    assert "Traceback" not in shown
    assert SECRET not in shown + result.stdout
    errors = [line for line in shown.splitlines() if line.startswith("error: ")]
    assert len(errors) <= 1, errors


def _split(text: str) -> list[str]:
    import shlex

    return shlex.split(text)


def test_a_taken_port_is_one_line(place: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = f"model: demo\nengine: {{kind: 'null'}}\nmetrics: {{port: {port}}}\n{GOOD_SOURCE}"
        check("run {dir}/c.yaml", Mistake("", "", "cannot listen on", {}), _with(place, text))


def _with(place: Path, text: str) -> Path:
    (place / "c.yaml").write_text(text)
    return place


def commands() -> list[list[str]]:
    """Every command and sub-command, as typed."""
    group = typer.main.get_command(app)
    found: list[list[str]] = [[]]
    for name, command in sorted(group.commands.items()):  # type: ignore[attr-defined]
        found.append([name])
        found += [[name, inner] for inner in sorted(getattr(command, "commands", {}))]
    return found


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(words) or "hoistream")
def test_every_help_page_can_be_shown_and_teaches(words: list[str]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"], prog_name="hoistream", env={"COLUMNS": "100"})
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == 0
    is_group = not words or words in (["eval"], ["engine"], ["models"], ["rules"])
    assert is_group or "Example" in result.stdout, result.stdout
