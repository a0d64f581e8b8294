from __future__ import annotations

from pathlib import Path

import pytest

from hoiclip.yaml_lines import ConfigError, load_config
from stream.run.config import RunConfig
from stream.zones.layout import Layout, Line, Zone

ROOT = Path(__file__).resolve().parents[3]


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["cameras.yaml", "batch.yaml"])
def test_the_shipped_examples_are_valid(name: str) -> None:
    assert load_config(ROOT / "configs" / name, RunConfig).sources


def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_key(tmp_path: Path) -> None:
    path = write(tmp_path, "sources:\n  - id: gate\n    url: a.mp4\n    target_fsp: 5\n")
    with pytest.raises(
        ConfigError, match=r"run\.yaml:4: unknown key `sources\.0\.target_fsp`; did you mean `target_fps`\?"
    ):
        load_config(path, RunConfig)


def test_a_wrong_value_names_the_line_and_never_shows_the_value(tmp_path: Path) -> None:
    path = write(tmp_path, "sources:\n  - id: gate\n    url: rtsp://user:hunter2@host/\n    timeout_s: -1\n")
    with pytest.raises(ConfigError, match=r"run\.yaml:4: `sources\.0\.timeout_s`") as caught:
        load_config(path, RunConfig)
    assert "hunter2" not in str(caught.value)


def test_environment_variables_fill_secrets_and_a_missing_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "sources:\n  - id: gate\n    url: rtsp://u:${CAM_PASSWORD}@host/${CAM_PATH:-main}\n")
    monkeypatch.setenv("CAM_PASSWORD", "s3cret")
    assert load_config(path, RunConfig).sources[0].url == "rtsp://u:s3cret@host/main"
    monkeypatch.delenv("CAM_PASSWORD")
    with pytest.raises(ConfigError, match=r"run\.yaml:3: environment variable CAM_PASSWORD is not set"):
        load_config(path, RunConfig)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected `key: value` lines"),
        ("sources: [", "not valid YAML"),
        ("sources: []", "`sources`"),
        ("sources:\n  - {id: a, url: x}\n  - {id: a, url: y}\n", "used twice"),
        ("sources:\n  - {id: a, url: x}\nsources: []\n", "given twice"),
        ("canvases: [big]\nsources:\n  - {id: a, url: x}\n", "HEIGHTxWIDTH"),
        ("tracker: {enter_score: 0.2, leave_score: 0.5}\nsources:\n  - {id: a, url: x}\n", "must not be above"),
        ("sources:\n  - {id: 'a b', url: x}\n", "letters, digits"),
    ],
)
def test_mistakes_get_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text), RunConfig)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_source_is_live_by_its_url_unless_said_otherwise(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "sources:\n  - {id: a, url: 'rtsp://h/x'}\n  - {id: b, url: x.mp4}\n  - {id: c, url: x.mp4, kind: live}\n",
    )
    assert [s.live for s in load_config(path, RunConfig).sources] == [True, False, True]


CAMERA = "sources:\n  - id: gate\n    url: rtsp://h/x\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "    zones:\n      door:\n        polygon: [[0, 0], [1, 1], [1, 0], [0, 1]]\n",
            "run.yaml:6: `sources.0.zones.door.polygon`: crosses or touches itself: the edge from corner 1 meets",
        ),
        (
            "    zones:\n      door: {polygon: [[0, 0], [1.2, 0], [1, 1]]}\n",
            "run.yaml:5: `sources.0.zones.door.polygon.1.0`",
        ),
        ("    zones:\n      door: {polygon: [[0, 0], [1, 0]]}\n", "run.yaml:5: `sources.0.zones.door.polygon`"),
        ("    zones:\n      door: {polygons: []}\n", "did you mean `polygon`?"),
        ("    lines:\n      exit: {start: [0.5, 0.5], end: [0.5, 0.5]}\n", "`sources.0.lines.exit`: `start` and `end`"),
        ("    masks:\n      - [[0, 0], [1, 0], [-0.1, 1]]\n", "run.yaml:5: `sources.0.masks.0.2.0`"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, CAMERA + text), RunConfig)
    assert message in str(caught.value)


def test_a_layout_is_what_the_file_says(tmp_path: Path) -> None:
    text = """    zones:
      door: {polygon: [[0, 0], [1, 0], [1, 1], [0, 0]], by: both, settle_s: 1}
    lines: {exit: {start: [0, 0.5], end: [1, 0.5], by: object}}
    masks: [[[0, 0], [0.5, 0], [0.5, 0.5]]]
"""
    layout = load_config(write(tmp_path, CAMERA + text), RunConfig).sources[0].layout()
    assert layout == Layout(
        (Zone("door", ((0, 0), (1, 0), (1, 1)), "both", 1.0),),
        (Line("exit", (0, 0.5), (1, 0.5), "object"),),
        (((0, 0), (0.5, 0), (0.5, 0.5)),),
    )
