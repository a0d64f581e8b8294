from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from hoiclip.errors import InputError
from hoiclip.shipped import shipped_model
from stream.run.models import installed_models, model_path, open_model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model_path: Path) -> Path:
    """A folder with one installed model."""
    monkeypatch.setenv("HOISTREAM_MODELS", str(tmp_path / "models"))
    target = tmp_path / "models" / "hoiclip-hico.bundle"
    target.mkdir(parents=True)
    shutil.copy(tiny_model_path, target / "model.safetensors")
    return tmp_path / "models"


def test_a_model_is_a_choice_and_both_ways_are_named() -> None:
    with pytest.raises(InputError, match=r"hoistream models get hoiclip-hico.*--model demo") as caught:
        model_path(None)
    assert caught.value.exit_code == 2


def test_demo_is_the_shipped_model_and_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    assert model_path("demo") == shipped_model()
    with caplog.at_level(logging.WARNING, logger="stream.run.models"):
        open_model("demo")
    assert "only ever seen drawings" in caplog.text


def test_another_model_is_opened_without_a_warning(tiny_model_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert len(open_model(tiny_model_path).fingerprint) == 16
    assert caplog.text == ""


def test_an_installed_model_is_found_by_its_name(folder: Path) -> None:
    assert list(installed_models()) == ["hoiclip-hico"]
    assert model_path("hoiclip-hico") == folder / "hoiclip-hico.bundle"


def test_a_path_comes_before_an_installed_name_and_beside_a_file_before_the_working_directory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deployment").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hoiclip-hico").mkdir()
    assert model_path("hoiclip-hico") == Path("hoiclip-hico")
    (tmp_path / "deployment" / "hoiclip-hico").mkdir()
    beside = tmp_path / "deployment"
    assert model_path("hoiclip-hico", beside=beside) == beside / "hoiclip-hico"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hoiclip-hioc", "did you mean `hoiclip-hico`"),
        ("yolo", "hoistream models get yolo"),
        ("models/none.safetensors", "no model there"),
        ("none.pth", "no model there"),
    ],
)
def test_an_unknown_model_is_one_line_with_what_to_do(folder: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        model_path(name)
    assert "\n" not in str(caught.value)
