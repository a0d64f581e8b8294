"""Every example runs as it is."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.hoistream.conftest import write_demo_start
from tests.stream.conftest import make_camera, write_clip

__all__ = ["make_camera"]

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)} | more


def run(name: str, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment(**more))


def test_every_example_has_a_test() -> None:
    tested = set(re.findall(r"\b\w+\.(?:py|ipynb)\b", Path(__file__).read_text())) | {"subscribe.py"}
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} <= tested


def test_pictures_finds_who_does_what_and_passes_over_what_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    result = run("pictures.py", tmp_path / "text.jpg")
    assert (result.returncode, result.stdout) == (0, "")
    assert "text.jpg: not a picture" in result.stderr
    result = run("pictures.py")
    assert result.returncode == 0, result.stderr
    assert re.search(r"^demo\.jpg: 0\.\d\d ride bicycle, the human at \d+,\d+ to \d+,\d+$", result.stdout, re.MULTILINE)


def test_watch_tells_what_begins_and_ends_in_a_recording() -> None:
    result = run("watch.py")
    assert result.returncode == 0, result.stderr
    begun = re.findall(r"^demo: human \d+ begins to (.+)$", result.stdout, re.MULTILINE)
    over = re.findall(r"^demo: (.+) is over: [\d.]+ s$", result.stdout, re.MULTILINE)
    assert "ride bicycle" in begun
    assert sorted(begun) == sorted(over)
    assert "going on: {" in result.stdout


def test_watch_follows_a_camera_until_it_is_interrupted(make_camera: Callable[..., Any]) -> None:
    camera = make_camera(seconds=30.0)
    camera.start()
    command = [sys.executable, str(EXAMPLES / "watch.py"), camera.url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if line.strip().endswith(": up"):
            break
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    process.stdout.close()
    assert any(line.endswith(": connecting") for line in lines)


def test_table_adds_up_how_long_was_done_what(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    write_demo_start(videos / "demo.mp4", 4.0)
    (videos / "bad.mp4").write_bytes(b"no video" * 100)
    for _ in range(2):  # the second takes over what the first finished
        result = run("table.py", videos, tmp_path / "results")
        assert result.returncode == 0, result.stderr
        assert re.search(r"^demo: ride bicycle: \d+\.\d s, \d+ times$", result.stdout, re.MULTILINE)
        assert "1 of 2 videos failed" in result.stderr
    assert "skipped: demo.mp4" in result.stderr


def test_table_says_nothing_of_a_quiet_video(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "quiet.mp4", seconds=0.4)
    result = run("table.py", clip)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_the_notebook_runs_from_its_first_cell_to_its_last(tmp_path: Path) -> None:
    notebook = nbformat.read(EXAMPLES / "hoistream.ipynb", as_version=4)
    client = NotebookClient(
        notebook, timeout=150, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute(env=environment())
    shown = ["\n".join(text_of(output) for output in cell.get("outputs", [])) for cell in notebook.cells]
    text = "\n".join(shown)
    assert "ride bicycle" in text
    assert re.search(r"\d\.\d s {2}human \d+ ride bicycle: started, score", text)
    assert "the first: " in text
    assert re.search(r"\[1/1\] demo\.mp4|done: demo\.mp4: \d+ frames", text)  # the bar under the cell
    assert "'duration_s_sum'" in text
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2


def text_of(output: Any) -> str:
    return str(output.get("text") or output.get("data", {}).get("text/plain") or "")


def test_the_notebook_is_kept_without_outputs() -> None:
    for cell in nbformat.read(EXAMPLES / "hoistream.ipynb", as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
