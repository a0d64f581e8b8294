"""The shipped bundle runs every command of the run path in a process that may not import torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import yaml

from benchmarks.bundle_equality import unbundled
from engines.loading import load_model
from hoiclip.shipped import shipped, shipped_model
from hoiclip.types import Canvas
from stream.recordings.clip_frames import read_clip

ROOT = Path(__file__).resolve().parents[2]
REFUSING = """
import sys
from importlib.machinery import ModuleSpec
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "open_clip"):
            return ModuleSpec(name, self)  # to ask whether it is installed is no import
    def create_module(self, spec):
        raise ImportError(f"{spec.name} may not be imported here")
    def exec_module(self, module):
        pass
sys.meta_path.insert(0, Refuse())
from hoistream.cli import main
main()
"""
CLIP = ("--clip", "assets/demo.mp4", "--from", "4", "--to", "6")


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("launcher") / "hoistream_without_torch.py"
    path.write_text(REFUSING)
    return path


def hoistream(launcher: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(launcher), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "street.png"
    frame = next(iter(read_clip(shipped("assets/demo.mp4"), Canvas(256, 448), start_s=5.0, end_s=5.2)))
    cv2.imwrite(str(path), frame.pixels[..., ::-1])
    return path


@pytest.mark.parametrize("engine", ["auto", "onnxruntime"])
def test_pictures(launcher: Path, picture: Path, engine: str) -> None:
    done = hoistream(launcher, "image", picture, "--model", "demo", "--engine", engine, "--json", "--min-score", "0.2")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"][0]["interactions"]


def test_free_text_goes_through_the_bundles_text_tower(launcher: Path, picture: Path, tmp_path: Path) -> None:
    vocabulary = tmp_path / "words.yaml"
    vocabulary.write_text("interactions:\n  - {text: a person on a bicycle, object: bicycle}\n")
    done = hoistream(launcher, "image", picture, "--model", "demo", "--vocabulary", vocabulary, "--json")
    assert done.returncode == 0, done.stderr


def test_recordings_and_calibration(launcher: Path, tmp_path: Path) -> None:
    done = hoistream(launcher, "batch", "assets/demo.mp4", "--model", "demo", "--fps", "2", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "out").glob("*.jsonl"))
    options = ("--video", "assets/demo.mp4", "--model", "demo", "--fps", "2")
    done = hoistream(launcher, "calibrate", *options)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["model"] == load_model(shipped_model()).fingerprint


def test_a_configuration(launcher: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(
        f"model: demo\nsinks: ['jsonl:{tmp_path}/events.jsonl']\nspool_dir: {tmp_path}/spool\n"
        f"sources:\n  - {{id: clip, url: {shipped('assets/demo.mp4')}, kind: file, target_fps: 2}}\n"
    )
    done = hoistream(launcher, "run", config)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "events.jsonl").read_text().count("\n") > 3


def test_teaching(launcher: Path, tmp_path: Path) -> None:
    vocabulary = tmp_path / "my.yaml"
    done = hoistream(launcher, "teach", "a wink", "--vocabulary", vocabulary, "--model", "demo", *CLIP)
    assert done.returncode == 0, done.stderr
    assert "taught: " in vocabulary.read_text()


def test_a_safetensors_model_says_that_it_needs_torch_and_what_does_not(launcher: Path, tmp_path: Path) -> None:
    model = unbundled(shipped_model(), tmp_path / "mine.safetensors")
    done = hoistream(launcher, "batch", "assets/demo.mp4", "--model", model, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "pip install 'hoistream[torch]'" in done.stderr
    assert "hoistream bundle --model" in done.stderr


def test_a_canvas_that_the_bundle_lacks_is_one_line(launcher: Path, tmp_path: Path) -> None:
    options = ("--model", "demo", "--canvas", "480x640", "--out", tmp_path)
    done = hoistream(launcher, "batch", "assets/demo.mp4", *options)
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "no graph for canvas 480x640" in line
    assert "only for 256x448" in line and "hoistream bundle --model" in line and "--canvas 480x640" in line


@pytest.mark.slow
def test_the_demonstration(launcher: Path, tmp_path: Path) -> None:
    done = hoistream(launcher, "demo", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "events.jsonl").stat().st_size


@pytest.mark.slow
def test_events_equal_those_of_the_same_weights_through_torch_to_the_byte(launcher: Path, tmp_path: Path) -> None:
    model = unbundled(shipped_model(), tmp_path / "mine.safetensors")
    clip = ("batch", "assets/demo.mp4", "--engine", "openvino")
    bundled = hoistream(launcher, *clip, "--model", "demo", "--out", tmp_path / "bundle")
    torch = subprocess.run(
        [sys.executable, "-m", "hoistream", *clip, "--model", str(model), "--out", str(tmp_path / "torch")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert bundled.returncode == torch.returncode == 0, bundled.stderr + torch.stderr
    given, expected = ((tmp_path / name / "demo.events.jsonl").read_bytes() for name in ("bundle", "torch"))
    assert given == expected and given.count(b"\n") > 10
