"""The commands on a drawn video and a model with random weights: everything but the numbers is real."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
import yaml
from typer.testing import CliRunner

from hoiclip.classifier import TrainedHeads
from hoiclip.config import tiny
from hoiclip.errors import InputError
from hoiclip.evaluation.event_files import read_folders
from hoiclip.evaluation.events import evaluate_events
from hoiclip.model import HoiClip
from hoiclip.synthetic.video import write_video
from hoiclip.types import Canvas
from hoiclip.vocabulary import load_builtin
from hoiclip.weights import save_model
from stream.commands.batch import batch
from stream.commands.calibrate import calibrate
from stream.commands.teach import teach
from stream.recordings.clip_frames import read_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    write_video(path, 3, 6.0, fps=10, height=256, width=448)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    world = load_builtin("world")
    config = tiny(len(world.objects), len(world.interactions), len(world.verbs))
    rng = np.random.default_rng(0)
    k, a, e = len(world.interactions), len(world.verbs), config.clip.embed_dim
    text, verbs = rng.normal(size=(k, e)).astype(np.float32), rng.normal(size=(a, e)).astype(np.float32)
    mapping = np.zeros((a, k), np.float32)
    mapping[[i.verb for i in world.interactions], np.arange(k)] = 1
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    net = HoiClip(config)
    with torch.no_grad():
        net.object_head.classifier.bias[-1] = -1.0  # random queries would all be "no object"
    save_model(path, net, TrainedHeads(text, np.zeros(k, np.float32), verbs, mapping, 2.0, 0.5, text), {})
    return path


def run(command: object, *arguments: object) -> tuple[str, str, BaseException | None]:
    app = typer.Typer()
    app.command()(command)  # type: ignore[arg-type]
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    return result.stdout, result.stderr, result.exception


def test_frames_come_from_the_stretch_on_the_canvas(clip: Path) -> None:
    frames = list(read_clip(clip, Canvas(64, 112), fps=5.0, start_s=2.5, end_s=4.0))
    assert [round(f.t_s, 2) for f in frames] == pytest.approx([2.5, 2.7, 2.9, 3.1, 3.3, 3.5, 3.7, 3.9], abs=0.11)
    assert all(f.pixels.shape == (64, 112, 3) and f.size_hw == (256, 448) for f in frames)
    whole = [f.t_s for f in read_clip(clip, Canvas(64, 112), fps=None)]
    assert len(whole) == 60


def test_a_stretch_beyond_the_end_and_a_file_that_is_no_video_are_named(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.mp4: no frame from 90 s to 91 s"):
        list(read_clip(clip, Canvas(64, 112), start_s=90, end_s=91))
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    with pytest.raises(InputError, match=r"bad\.mp4"):
        list(read_clip(bad, Canvas(64, 112)))


def test_teaching_adds_a_line_lists_it_and_takes_it_away(clip: Path, model: Path, tmp_path: Path) -> None:
    vocabulary = tmp_path / "my.yaml"
    vocabulary.write_text("interactions:\n  - ride bicycle\n")
    options = ("--vocabulary", vocabulary)
    example = ("--clip", clip, "--from", 1, "--to", 2, "--from", 3, "--to", 4.5)
    out, _, error = run(
        teach, "a person tapping a badge reader", *options, *example, "--model", model, "--engine", "torch"
    )
    assert error is None, error
    assert "from 2 examples" in out and "2 examples: too few to say what to expect" in out
    assert {"taught": "a person tapping a badge reader"} in yaml.safe_load(vocabulary.read_text())["interactions"]
    out, _, _ = run(teach, *options, "--list")
    assert "a person tapping a badge reader: v1" in out
    assert "a.mp4 1-2 s" in out
    _, _, error = run(teach, *options, "--remove", "a person tapping a badge reader")
    assert error is None
    assert vocabulary.read_text() == "interactions:\n  - ride bicycle\n"


@pytest.mark.parametrize(
    "options",
    [(), ("x",), ("x", "--clip", "a.mp4", "--from", 2, "--to", 1), ("x", "--clip", "a.mp4", "--from", 1)],
)
def test_options_that_do_not_fit_together_are_refused(options: tuple[object, ...], tmp_path: Path) -> None:
    _, _, error = run(teach, "--vocabulary", tmp_path / "my.yaml", *options)
    assert isinstance(error, InputError)


@pytest.fixture(scope="module")
def skater(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody rides a skateboard, somebody holds a cup, somebody reads a phone."""
    path = tmp_path_factory.mktemp("skater") / "s.mp4"
    write_video(path, 4, 6.0, fps=10, height=256, width=448)
    return path


def test_what_calibration_measures_is_what_batch_finds_with_its_file(skater: Path, tmp_path: Path) -> None:
    thresholds, options = tmp_path / "c.yaml", ("--model", "demo", "--fps", 5, "--engine", "torch")
    labelled = ("--labels", skater.with_suffix(".json"))
    out, err, error = run(calibrate, "--video", skater, *labelled, *options, "--out", thresholds, "--json")
    assert error is None, error
    assert "s.mp4 30/30 frames" in err  # progress, since there is no terminal
    measured = json.loads(out)["measured"]["suggested"]
    assert measured["by_interaction"]["ride skateboard"] == {"matched": 1, "missed": 0, "false": 0}
    _, _, error = run(batch, skater, "--out", tmp_path / "found", *options, "--calibration", thresholds)
    assert error is None, error
    result = evaluate_events(*read_folders(tmp_path / "found", skater.parent))
    assert result.precision == pytest.approx(measured["precision"], abs=1e-4)
    assert result.recall == pytest.approx(measured["recall"], abs=1e-4)
    assert result.by_interaction() == measured["by_interaction"]
    written = yaml.safe_load(thresholds.read_text())
    assert written["thresholds"]["ride bicycle"] == [0.5, 0.33]  # not seen: the tracker's own, rounded
    assert "# with the suggested thresholds: precision" in thresholds.read_text()


def test_calibration_takes_words_head_and_smoothing_from_a_deployment(skater: Path, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(
        "interactions: [{text: a person riding a skateboard, object: skateboard}, hold cup]\n"
    )
    config = tmp_path / "run.yaml"
    config.write_text(
        "model: demo\nenhancement: true\ntracker: {smoothing_s: 0.2, enter_score: 0.8, leave_score: 0.7}\n"
        "engine: {kind: torch}\n"
        "sources: [{id: door, url: rtsp://127.0.0.1/x, vocabulary: my.yaml}]\n"
    )
    options = ("--config", config, "--source", "door", "--fps", 2, "--labels", skater.with_suffix(".json"), "--json")
    out, _, error = run(calibrate, "--video", skater, *options)
    assert error is None, error
    found = json.loads(out)
    assert (found["enhancement"], found["smoothing_s"], found["frames"]) == (True, 0.2, 12)
    assert found["thresholds"] == {"a person riding a skateboard": [0.8, 0.7], "hold cup": [0.8, 0.7]}  # too short
    counted = found["measured"]["default"]["by_interaction"]["a person riding a skateboard"]
    assert counted["matched"] + counted["missed"] == 1  # labelled "ride skateboard"
    _, _, error = run(calibrate, "--video", skater, "--config", config, "--source", "window")
    assert isinstance(error, InputError) and "no source 'window'; there is door" in str(error)


def test_labels_must_be_one_for_each_video(clip: Path) -> None:
    label = clip.with_suffix(".json")
    _, _, error = run(calibrate, "--video", clip, "--labels", label, "--labels", label)
    assert isinstance(error, InputError)
