from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def hoistream(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hoistream", *arguments], capture_output=True, text=True, timeout=timeout, cwd=ROOT
    )


def test_help_imports_neither_torch_nor_video_nor_numpy() -> None:
    code = "import sys, hoistream.cli; print([m for m in ('torch', 'av', 'numpy', 'cv2', 'redis') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == "[]"


def test_every_command_has_help_with_an_example() -> None:
    listing = hoistream("--help")
    assert listing.returncode == 0
    for command in ("run", "batch", "image", "subscribe", "synth", "train", "teach", "convert", "doctor", "validate"):
        assert re.search(rf"\b{command}\b", listing.stdout), command
        text = hoistream(command, "--help").stdout
        assert "Example" in text, command


def test_misuse_exits_with_2_and_one_line() -> None:
    result = hoistream("batch", "/does/not/exist.mp4", "--out", "/tmp/never")
    assert result.returncode == 2
    assert result.stderr.strip() == "error: /does/not/exist.mp4: no such file or folder"


def test_doctor_prints_what_this_machine_has() -> None:
    result = hoistream("doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(result.stdout)}
    assert findings["video"]["state"] == "ok"
    assert findings["torch"]["state"] == "ok"


def test_validate_accepts_the_example_and_names_a_missing_file(tmp_path: Path) -> None:
    assert hoistream("validate", "configs/batch.yaml").returncode == 0
    config = tmp_path / "c.yaml"
    config.write_text("model: demo\nsources:\n  - {id: a, url: missing.mp4}\n")
    result = hoistream("validate", str(config))
    assert result.returncode == 2
    assert "missing.mp4 does not exist" in result.stderr


def test_sigterm_ends_a_run_soon_with_every_event_flushed(tiny_model_path: Path, tmp_path: Path) -> None:
    config, events = tmp_path / "run.yaml", tmp_path / "events.jsonl"
    config.write_text(
        f"model: {tiny_model_path}\nengine: {{kind: 'null'}}\nsinks: ['jsonl:{events}']\n"
        "tracker: {enter_score: 0.1, min_duration_s: 0.1}\n"
        f"sources:\n  - {{id: cam, url: '{ROOT / 'assets/demo.mp4'}', kind: live, target_fps: 10}}\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "hoistream", "run", str(config)], stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (events.exists() and events.stat().st_size):
        time.sleep(0.1)
    time.sleep(1.0)
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr
    assert time.monotonic() - started < 10
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    kinds = [line["type"] for line in lines]
    assert kinds.count("started") == kinds.count("ended") > 0
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))


@pytest.mark.slow
def test_the_demonstration_runs_and_scores_itself(tmp_path: Path) -> None:
    result = hoistream("demo", "--out", str(tmp_path / "demo"), "--json", timeout=240)
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout[result.stdout.index("{\n") :])
    assert document["frames"]["recording"] > 150
    assert document["frames"]["camera"] > 0
    assert document["recall"] >= 0.5
    for name in ("demo.annotated.mp4", "events.jsonl", "timeline.png"):
        assert (tmp_path / "demo" / name).stat().st_size > 1000
