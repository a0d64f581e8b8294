from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner

from hoiclip.errors import InputError
from hoistream.cli import app
from hoistream.official.catalogue import official_model
from hoistream.official.install import install
from tests.hoistream.official.conftest import Drive

MANIFEST = Path(__file__).resolve().parents[2] / "golden" / "manifest_hico.json.gz"


def checkpoint(path: Path, rows: int = 600, zero_shot: bool = False) -> Path:
    """Write a file of the official layout in which every tensor repeats one value, so that it is small."""
    with gzip.open(MANIFEST, "rt") as file:
        entries = json.load(file)
    state: dict[str, Tensor] = {}
    for entry in entries:
        shape = [rows if n == 600 and "projection" in entry["key"] else n for n in entry["shape"]]
        state[entry["key"]] = torch.full((1,), 0.01).expand(shape) if shape else torch.tensor(0.01)
    if zero_shot:
        state["eval_visual_projection.weight"] = torch.full((1,), 0.01).expand(600, 512)
        state["verb2hoi_proj_eval"] = torch.ones(1).expand(117, 600)
    torch.save({"model": state}, path)
    return path


@pytest.fixture(autouse=True)
def _models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOISTREAM_MODELS", str(tmp_path / "models"))


def test_a_checkpoint_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"not hoiclip-uv: expected HICO-DET, zero-shot trained on 516 .*got HICO-DET"):
        install(official_model("hoiclip-uv"), path)
    unseen = checkpoint(tmp_path / "b.pth", rows=480, zero_shot=True)
    with pytest.raises(InputError, match=r"not hoiclip-uo: .*trained on 500 .*trained on 480"):
        install(official_model("hoiclip-uo"), unseen)
    assert not list((tmp_path / "models").glob("*.bundle"))


def test_another_file_than_the_one_recorded_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    known = {"hoiclip-hico": {"sha256": "0" * 64, "date": "2026-01-31"}}
    (folder / "downloads.json").write_text(json.dumps(known))
    with pytest.raises(InputError, match=r"another file than the one recorded on 2026-01-31 .*--accept-changed"):
        install(official_model("hoiclip-hico"), checkpoint(tmp_path / "a.pth"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_model_is_downloaded_checked_converted_bundled_and_found_by_its_name(drive: Drive, tmp_path: Path) -> None:
    model = official_model("hoiclip-hico")
    drive.files[model.drive_id] = checkpoint(tmp_path / "served.pth").read_bytes()

    def hoistream(*words: str) -> Any:
        result = CliRunner().invoke(app, list(words), prog_name="hoistream")
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        assert result.exit_code == 0, result.stderr
        return result

    done = hoistream("models", "get", "hoiclip-hico", "--canvas", "64x96")
    assert "ready; use it with --model hoiclip-hico" in done.stdout
    folder = tmp_path / "models"
    assert sorted(path.name for path in folder.iterdir()) == ["downloads.json", "hoiclip-hico.bundle"]
    card = json.loads((folder / "hoiclip-hico.bundle" / "card.json").read_text())
    assert card["license"] == "none stated by the authors"
    assert card["source_sha256"] == json.loads((folder / "downloads.json").read_text())["hoiclip-hico"]["sha256"]
    listed = json.loads(hoistream("models", "--json").stdout)
    assert [m["installed"] for m in listed["official"] if m["name"] == "hoiclip-hico"] == [True]

    Image.new("RGB", (96, 64), (90, 120, 60)).save(tmp_path / "a.png")
    found = hoistream("image", str(tmp_path / "a.png"), "--model", "hoiclip-hico", "--json")
    assert json.loads(found.stdout)["images"][0]["width"] == 96
