from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from hoiclip.errors import InputError
from stream.run.config import TrackerConfig
from stream.run.settings import load_run_config, tracker_settings
from stream.track.settings import TrackerSettings


def write(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "run.yaml"
    path.write_text(text)
    return path


def test_files_are_found_beside_the_configuration_and_then_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write(
        tmp_path / "etc",
        "model: demo\nvocabulary: v.yaml\nsources:\n  - {id: a, url: a.mp4, vocabulary: w.yaml}\n"
        "  - {id: b, url: 'file://b.mp4'}\n  - {id: c, url: 'rtsp://camera/1'}\n",
    )
    for name in ("etc/v.yaml", "etc/a.mp4", "here/w.yaml", "here/b.mp4", "here/a.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    monkeypatch.chdir(tmp_path / "here")
    settings = load_run_config(config)
    assert settings.vocabulary == tmp_path / "etc" / "v.yaml"
    first, second, camera = settings.sources
    assert (first.url, first.vocabulary) == (str(tmp_path / "etc" / "a.mp4"), Path("w.yaml"))
    assert (second.url, camera.url) == ("b.mp4", "rtsp://camera/1")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("sources: [{id: a, url: a.mp4}]", "no model given"),
        ("model: demo\nsources: [{id: a, url: a.mp4}]", r"`sources\.a\.url`: a\.mp4 does not exist"),
        ("model: demo\nvocabulary: v.yaml\nsources: [{id: a, url: 'rtsp://h/1'}]", r"`vocabulary`: v\.yaml does not"),
        (
            "model: demo\nsources: [{id: a, url: 'rtsp://h/1', vocabulary: /no/v.yaml}]",
            r"`sources\.a\.vocabulary`: /no/v\.yaml does not exist",
        ),
    ],
)
def test_what_is_missing_is_named_with_its_key(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_run_config(write(tmp_path, lines))


def test_the_model_of_the_command_line_takes_the_place_of_the_files(tmp_path: Path, tiny_model_path: Path) -> None:
    config = write(tmp_path, "model: gone.safetensors\nsources: [{id: a, url: 'rtsp://h/1'}]")
    assert load_run_config(config, model=str(tiny_model_path)).model == str(tiny_model_path)


def test_a_configuration_can_say_everything_that_a_tracker_takes() -> None:
    assert set(TrackerConfig.model_fields) - {"calibration"} == {item.name for item in fields(TrackerSettings)}


def test_later_tracker_settings_override_where_they_say_something() -> None:
    common = TrackerConfig(enter_score=0.4, gap_s=3.0, thresholds={"a": (0.5, 0.2), "b": (0.6, 0.3)})
    settings = tracker_settings(common, TrackerConfig(enter_score=0.7, thresholds={"b": (0.9, 0.8)}))
    assert (settings.enter_score, settings.gap_s, settings.smoothing_s) == (0.7, 3.0, TrackerSettings().smoothing_s)
    assert settings.thresholds == {"a": (0.5, 0.2), "b": (0.9, 0.8)}
