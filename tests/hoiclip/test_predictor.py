from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from hoiclip.errors import HoistreamError, InputError
from hoiclip.predictor import PictureError, Predictor, read_picture, resized_size
from hoiclip.weights import TorchModel


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((480, 640), (800, 1066)), ((640, 480), (1066, 800)), ((500, 500), (800, 800)), ((427, 640), (800, 1199)),
     ((100, 400), (333, 1332)), ((1, 1), (800, 800)), ((1, 5000), (32, 1333))],
)  # fmt: skip
def test_pictures_are_resized_as_the_published_evaluation_does(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert resized_size(*size, 800, 1333) == wanted


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (120, 90), (256, 448)])
@pytest.mark.parametrize("enhancement", [False, True])
def test_pictures_of_any_size_give_ranked_rows(
    tiny_loaded: TorchModel, size: tuple[int, int], enhancement: bool
) -> None:
    predictor = Predictor(tiny_loaded.look(), tiny_loaded.classifier(), enhancement=enhancement)
    picture = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    found = predictor.predict(picture, top=50)
    assert 0 < len(found) <= 50
    assert (np.diff(found.scores) <= 0).all()
    assert np.isfinite(found.human_boxes_xyxy).all()
    shown = predictor.probabilities(found)
    assert ((shown >= 0) & (shown <= 1)).all()


def test_a_wrong_picture_is_refused(tiny_loaded: TorchModel) -> None:
    predictor = Predictor(tiny_loaded.look(), tiny_loaded.classifier())
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(InputError, match="RGB uint8"):
            predictor.predict(wrong)


def test_files_are_read_upright_as_eight_bit_rgb(tmp_path: Path) -> None:
    turned = Image.new("RGB", (8, 4), (250, 0, 0))
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    turned.save(tmp_path / "turned.jpg", exif=exif)
    assert read_picture(tmp_path / "turned.jpg").shape == (8, 4, 3)
    deep = np.full((2, 2), 32768, np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert (read_picture(tmp_path / "deep.png") == 127).all()
    Image.new("P", (3, 3)).save(tmp_path / "palette.png")
    assert read_picture(tmp_path / "palette.png").shape == (3, 3, 3)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not a picture")
    stored = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(stored, "PNG")
    (tmp_path / "cut.png").write_bytes(stored.getvalue()[:900])
    (tmp_path / "folder").mkdir()
    for name in ("text.jpg", "cut.png", "missing.jpg", "folder"):
        with pytest.raises(PictureError, match=name.replace(".", r"\.")):
            read_picture(tmp_path / name)


def run_image(*arguments: object) -> tuple[str, str, BaseException | None]:
    import typer

    from stream.commands.image import image

    app = typer.Typer()
    app.command()(image)
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    return result.stdout, result.stderr, result.exception


def test_the_image_command_does_the_good_files_and_reports_the_bad_one(tiny_path: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        noise = np.random.default_rng(1).integers(0, 255, (90, 140, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / name)
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no")
    drawn = tmp_path / "drawn"
    out, err, error = run_image(
        tmp_path / "a.png",
        bad,
        tmp_path / "b.png",
        "--model",
        tiny_path,
        "--json",
        "--annotated",
        drawn,
        "--min-score",
        0,
    )
    assert isinstance(error, HoistreamError)
    assert error.exit_code == 1
    assert err.count("\n") == 1
    assert "bad.png" in err
    document = json.loads(out)
    assert [Path(i["file"]).name for i in document["images"]] == ["a.png", "b.png"]
    row = document["images"][0]["interactions"][0]
    assert set(row) == {
        "interaction", "verb", "object", "score", "ranking_score", "human_box_xyxy_px", "object_box_xyxy_px",
    }  # fmt: skip
    assert sorted(p.name for p in drawn.iterdir()) == ["a.jpg", "b.jpg"]
    assert Image.open(drawn / "a.jpg").size == (140, 90)


def test_an_annotated_picture_never_replaces_its_source(tiny_path: Path, tmp_path: Path) -> None:
    source = tmp_path / "a.jpg"
    Image.new("RGB", (20, 20)).save(source)
    before = source.read_bytes()
    _, _, error = run_image(source, "--model", tiny_path, "--annotated", tmp_path)
    assert isinstance(error, InputError)
    assert source.read_bytes() == before


def test_a_vocabulary_narrows_what_is_found(tiny_path: Path, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (90, 120, 40)).save(tmp_path / "a.png")
    (tmp_path / "v.yaml").write_text("interactions:\n  - ride bicycle\n")
    out, _, error = run_image(
        tmp_path / "a.png", "--model", tiny_path, "--vocabulary", tmp_path / "v.yaml", "--json", "--min-score", 0
    )
    assert error is None
    assert {row["interaction"] for row in json.loads(out)["images"][0]["interactions"]} == {"ride bicycle"}
