"""A bundle is whole or refused; what it holds is stored once and says nothing about the machine that made it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from engines.loading import load_model
from hoiclip.bundle import Bundle, check_bundle
from hoiclip.bundling import write_bundle, write_manifest
from hoiclip.classifier import TaughtRow
from hoiclip.errors import InputError
from hoiclip.lessons import Lesson, open_vocabulary, store_lesson
from hoiclip.shared_weights import stored_tensors
from hoiclip.shipped import shipped_model
from hoiclip.types import Canvas
from hoiclip.weights import TorchModel, load_torch_model
from hoistream.cli import app

onnx = pytest.importorskip("onnx")
SHIPPED = Canvas(256, 448)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped_model(), tmp_path / "copied.bundle"))


def test_the_shipped_model_is_a_small_bundle_with_a_licence_and_what_was_measured() -> None:
    loaded = load_model(shipped_model())
    assert isinstance(loaded, Bundle)
    assert loaded.canvases == (SHIPPED,)
    assert loaded.card["license"] == "Apache-2.0" and loaded.card["measured"]["pictures"]["map_full"] > 0.8
    sizes = [file.stat().st_size for file in loaded.path.iterdir()]
    assert sum(sizes) < 20e6


def test_a_bundle_and_its_torch_form_have_one_identity() -> None:
    bundle, torch = load_model(shipped_model()), load_torch_model(shipped_model())
    assert bundle.fingerprint == torch.fingerprint and bundle.config == torch.config
    assert bundle.classifier().fingerprint == torch.classifier().fingerprint
    np.testing.assert_array_equal(bundle.heads.interaction_text, torch.heads.interaction_text)


def test_weights_are_stored_once_in_half_where_that_loses_nothing() -> None:
    folder = shipped_model()
    stored = {tensor.offset: tensor for tensor in stored_tensors(folder / "model.safetensors")}
    module = load_torch_model(folder).module.state_dict()
    referred = 0
    for name in ("256x448.onnx", "text.onnx"):
        graph = onnx.load(str(folder / name), load_external_data=False).graph
        for tensor in graph.initializer:
            place = {entry.key: entry.value for entry in tensor.external_data}
            if place:
                assert place["location"] == "model.safetensors"
                assert stored[int(place["offset"])].length == int(place["length"])
                referred += int(place["length"])
            else:
                assert len(tensor.raw_data) < 300_000, tensor.name
    assert referred > 0.95 * sum(value.numel() for value in module.values()) * 2


def test_graphs_do_not_tell_where_they_were_made() -> None:
    for path in shipped_model().glob("*.onnx"):
        content = path.read_bytes()
        assert not any(word in content for word in (b"/home/", b"/root", b"/work", b"/tmp", b"site-packages", b".py"))


def damage(name: str) -> Callable[[Path], object]:
    def work(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(bytes(data))

    return work


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "text.onnx").unlink(), r"text\.onnx cannot be read \(No such file"),
        (damage("model.safetensors"), r"model\.safetensors is damaged \(its SHA-256 differs\)"),
        (damage("256x448.onnx"), r"256x448\.onnx is damaged"),
        (lambda folder: (folder / "tokenizer.json").write_bytes(b"{"), r"tokenizer\.json has 1 bytes instead of \d+"),
        (lambda folder: (folder / "bundle.json").write_bytes(b"[]"), r"bundle\.json: not a manifest that can be used"),
        (
            lambda folder: rewrite(folder, format="hoistream-bundle-9"),
            r"its format is 'hoistream-bundle-9', this version of hoistream reads 'hoistream-bundle-1'",
        ),
        (lambda folder: rewrite(folder, canvases=["1x1"]), r"expected a canvas as HEIGHTxWIDTH"),
        (lambda folder: rewrite(folder, canvases=["64x64"]), r"it does not list a bundle's files"),
        (
            lambda folder: rewrite(folder, files={**read(folder)["files"], "../x": {"bytes": 1, "sha256": ""}}),
            r"it names files outside the bundle",
        ),
    ],
)
def test_a_damaged_bundle_is_refused_with_one_line(harm: Callable[[Path], object], message: str, copied: Path) -> None:
    harm(copied)
    with pytest.raises(InputError, match=message) as caught:
        load_model(copied)
    assert "\n" not in str(caught.value) and "hoistream bundle" in str(caught.value)


def read(folder: Path) -> dict[str, object]:
    manifest: dict[str, object] = json.loads((folder / "bundle.json").read_text())
    return manifest


def rewrite(folder: Path, **changes: object) -> None:
    (folder / "bundle.json").write_text(json.dumps({**read(folder), **changes}))


@pytest.mark.parametrize(
    ("card", "message"),
    [("[1]", "expected an object such as"), ("{", "cannot be read as JSON"), (None, "No such file")],
)
def test_a_card_that_is_no_json_object_is_refused(card: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    if card is not None:
        path.write_text(card)
    command = ["bundle", "--model", "demo", "--card", str(path), "--out", str(tmp_path / "x.bundle")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2 and message in done.output and done.output.count("\n") == 1


def test_a_missing_canvas_names_those_there_are_and_the_command_that_makes_it() -> None:
    with pytest.raises(InputError, match=r"no graph for canvas 480x640, only for 256x448; .*--canvas 480x640"):
        load_model(shipped_model()).graph(Canvas(480, 640))


def test_words_and_lessons_come_along(tiny_loaded: TorchModel, copied: Path, tmp_path: Path) -> None:
    loaded = load_model(copied)
    vocabulary = tmp_path / "mine.yaml"
    vocabulary.write_text("interactions:\n  - ride bicycle\n")
    rows = np.eye(3, loaded.config.clip.embed_dim, dtype=np.float32)
    store_lesson(
        vocabulary, Lesson(TaughtRow("a wink", rows[0], rows[1], None, rows[2]), loaded.fingerprint, ("a.mp4",))
    )
    shutil.copyfile(vocabulary, copied / "vocabulary.yaml")
    shutil.copytree(tmp_path / "mine.taught", copied / "vocabulary.taught")
    write_manifest(copied, loaded.canvases, {})
    again = load_model(copied)
    assert open_vocabulary(again, None).names == ("ride bicycle", "a wink")
    assert open_vocabulary(again, None).fingerprint == open_vocabulary(loaded, vocabulary).fingerprint
    assert "vocabulary.taught/a-wink" in " ".join(check_bundle(copied)["files"])


def test_a_bundle_is_made_whole_or_not_at_all(
    tiny_loaded: TorchModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"a bundle is a folder called NAME\.bundle"):
        write_bundle(tiny_loaded, tmp_path / "model")
    (tmp_path / "other.bundle").mkdir()
    with pytest.raises(InputError, match="exists and is no bundle"):
        write_bundle(tiny_loaded, tmp_path / "other.bundle")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hoiclip.bundling.write_vision_graph", fail)
    with pytest.raises(OSError, match="No space"):
        write_bundle(tiny_loaded, tmp_path / "new.bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["other.bundle"]


@pytest.mark.slow
def test_the_command_makes_a_bundle_that_runs_and_can_be_made_again(tiny_loaded: TorchModel, tmp_path: Path) -> None:
    out, card, words = tmp_path / "new.bundle", tmp_path / "card.json", tmp_path / "words.yaml"
    card.write_text('{"licence": "mine"}')
    words.write_text("interactions: [ride bicycle]\n")
    command = ["bundle", "--model", str(tiny_loaded.path), "--canvas", "64x96", "--out", str(out)]
    done = CliRunner().invoke(app, [*command, "--card", str(card), "--vocabulary", str(words)])
    assert done.exit_code == 0, done.output
    assert "MB for 64x96" in done.output
    first = load_model(out)
    assert first.canvases == (Canvas(64, 96),) and open_vocabulary(first, None).names == ("ride bicycle",)
    loaded = load_model(write_bundle(load_model(out), out, canvases=[Canvas(64, 64)]))  # from a bundle, over itself
    assert loaded.canvases == (Canvas(64, 64),) and loaded.fingerprint == tiny_loaded.fingerprint
    assert loaded.card["licence"] == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"new.bundle", "card.json", "words.yaml"}
    assert open_vocabulary(loaded, None).names == ("ride bicycle",)
    assert (out / "model.safetensors").read_bytes() == tiny_loaded.path.read_bytes()
