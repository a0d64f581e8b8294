"""A job that is killed, anywhere, goes on inside its videos and ends with the files of one that was never killed."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest

from engines.loading import load_model
from hoiclip.types import Canvas
from stream.events.schema import Event
from stream.recordings.batch_job import BatchJob, BatchSettings, Progress, VideoResult
from stream.recordings.checkpoint import checkpoint_paths
from stream.recordings.media import find_videos
from stream.run.config import EngineConfig
from stream.run.source_run import Head
from stream.track.settings import TrackerSettings
from stream.zones.layout import Layout, Line, Zone
from tests.stream.conftest import write_clip
from tests.support.seeing_engine import Seeing

CANVAS = Canvas(64, 112)
LAYOUT = Layout(
    (Zone("left", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)), "feet", 0.1),),
    (Line("middle", (0.5, 0.0), (0.5, 1.0), "feet"),),
)
TRACKER = TrackerSettings(enter_score=0.2, min_duration_s=0.1, update_interval_s=0.3, stationary_s=1.0)
SETTINGS = BatchSettings((CANVAS,), EngineConfig(kind="null", max_batch=4), TRACKER, 12.5, layout=LAYOUT)

ROOT = Path(__file__).resolve().parents[3]

# Runs a job in forked children, each of which kills itself at the next one of its moments, until one is through.
KILLER = """
import json, os, signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.stream.recordings.test_checkpoint import run_job, SETTINGS
folder, out, model, moments = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4])
lives = 0
while True:
    kind, number = moments[lives % len(moments)]
    lives += 1
    child = os.fork()
    if child == 0:
        count = [0]
        def step(*ignored):
            count[0] += 1
            if count[0] >= number:
                os.kill(os.getpid(), signal.SIGKILL)
        if kind != "frame":
            call = getattr(os, kind)
            setattr(os, kind, lambda *arguments, **named: (step(), call(*arguments, **named))[1])
        results = run_job(folder, out, model, progress=step if kind == "frame" else None)
        assert all(result.state in ("done", "skipped", "failed") for result in results), results
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status == 0:
        break
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
    assert lives < 200
print(lives)
"""


def run_job(
    folder: Path,
    out: Path,
    model: Path,
    *,
    settings: BatchSettings = SETTINGS,
    progress: Callable[[Progress], object] | None = None,
    stop: threading.Event | None = None,
    sink: Callable[[Event], object] | None = None,
    engine: Callable[[Canvas], Seeing] = Seeing,
    checkpoint_s: float = 0.05,
) -> list[VideoResult]:
    loaded = load_model(model)
    head = Head(loaded.classifier(), loaded.fingerprint, min_pair_score=0.05)
    job = BatchJob(loaded, head, settings, out, sink, engine, jobs=2, checkpoint_s=checkpoint_s)

    def watch(step: Progress) -> None:
        if progress is not None and step.stage == "watching":
            progress(step)

    return job.run(find_videos([folder]), stop or threading.Event(), watch, lambda result: None)


def left_behind(folder: Path) -> dict[str, bytes]:
    """Return the files of a job by name; of receipts all but the wall clock."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name in [name for name in found if name.endswith(".receipt.json")]:
        receipt = json.loads(found[name])
        assert receipt.pop("seconds") > 0
        found[name] = json.dumps(receipt).encode()
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos, one of them with damage in two places."""
    made = tmp_path_factory.mktemp("in")
    write_clip(made / "a.mp4", seconds=6.0)
    data = bytearray(write_clip(made / "damaged.ts", seconds=6.0).read_bytes())
    for part in (0.3, 0.7):
        at = round(len(data) * part)
        data[at : at + 400] = bytes(400)
    (made / "damaged.ts").write_bytes(data)
    return made


@pytest.mark.slow
@pytest.mark.parametrize(
    "moments",
    [
        [("frame", number) for number in (3, 30, 11, 55, 1, 80)],
        [("fsync", 4), ("fsync", 9), ("fsync", 14), ("replace", 3), ("replace", 6), ("frame", 40)],
    ],
    ids=["while frames come", "while files are written"],
)
def test_killed_anywhere_the_files_are_those_of_a_job_that_was_never_killed(
    folder: Path, tiny_model_path: Path, tmp_path: Path, moments: list[tuple[str, int]]
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    results = run_job(folder, whole, tiny_model_path, checkpoint_s=1e9)
    script = tmp_path / "killer.py"
    script.write_text(KILLER.format(root=str(ROOT)))
    command = [sys.executable, str(script), str(folder), str(broken), str(tiny_model_path), json.dumps(moments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) >= 4
    assert sum(result.events for result in results) > 100
    assert left_behind(broken) == left_behind(whole)
    gaps = [line for line in (whole / "damaged.events.jsonl").read_text().splitlines() if "coverage_gap" in line]
    assert gaps


class Half(NamedTuple):
    """A job that was stopped in the middle of its video."""

    folder: Path  # of the video
    out: Path
    whole: dict[str, bytes]  # what a job leaves that was not stopped
    heard: list[Event]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, tiny_model_path: Path) -> Half:
    base = tmp_path_factory.mktemp("half")
    alone, out = base / "in", base / "out"
    alone.mkdir()
    write_clip(alone / "b.ts", seconds=8.0)
    run_job(alone, base / "whole", tiny_model_path)
    stop, heard = threading.Event(), list[Event]()

    def count(step: Progress) -> None:
        if step.frames >= 50:
            stop.set()

    (result,) = run_job(alone, out, tiny_model_path, progress=count, stop=stop, sink=heard.append, checkpoint_s=1e9)
    assert result.state == "stopped"
    assert all(path.exists() for path in checkpoint_paths(out, "b"))
    return Half(alone, out, left_behind(base / "whole"), heard)


@pytest.fixture
def half(stopped: Half, tmp_path: Path) -> Half:
    """The same in a folder of the test's own."""
    return stopped._replace(out=Path(shutil.copytree(stopped.out, tmp_path / "out")))


def test_a_stopped_video_goes_on_where_it_was_and_its_events_reach_the_sink_once_more(
    half: Half, tiny_model_path: Path
) -> None:
    engines: list[Seeing] = []

    def engine(canvas: Canvas) -> Seeing:
        engines.append(Seeing(canvas))
        return engines[-1]

    again: list[Event] = []
    (result,) = run_job(half.folder, half.out, tiny_model_path, sink=again.append, engine=engine)
    assert (result.state, result.frames) == ("done", 100)
    assert sum(engines[0].batches) <= 50
    assert left_behind(half.out) == half.whole
    assert [event.model_dump_json().encode() for event in again] == half.whole["b.events.jsonl"].splitlines()
    assert again[: len(half.heard)] == half.heard


@pytest.mark.parametrize("damage", ["checkpoint", "journal", "cut checkpoint", "no journal", "other settings", "empty"])
def test_a_checkpoint_that_cannot_be_used_costs_its_video_a_new_beginning_and_one_line(
    half: Half,
    tiny_model_path: Path,
    damage: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    checkpoint, journal = checkpoint_paths(half.out, "b")
    settings = SETTINGS
    data = bytearray(checkpoint.read_bytes())
    if damage == "checkpoint":
        data[len(data) // 2] ^= 1
        checkpoint.write_bytes(data)
    elif damage == "cut checkpoint":
        checkpoint.write_bytes(data[: len(data) // 2])
    elif damage == "empty":
        checkpoint.write_bytes(b"")
    elif damage == "no journal":
        journal.unlink()
    elif damage == "journal":
        text = bytearray(journal.read_bytes())
        text[len(text) // 2] ^= 1
        journal.write_bytes(text)
    else:
        settings = replace(SETTINGS, tracker=replace(TRACKER, gap_s=0.5))
    with caplog.at_level(logging.WARNING):
        (result,) = run_job(half.folder, half.out, tiny_model_path, settings=settings)
    assert (result.state, result.frames) == ("done", 100)
    lines = [record.getMessage() for record in caplog.records if "begins anew" in record.getMessage()]
    assert len(lines) == 1
    assert "b.checkpoint" in lines[0]
    assert "\n" not in lines[0]
    assert not any(path.exists() for path in checkpoint_paths(half.out, "b"))
    if damage != "other settings":
        assert left_behind(half.out) == half.whole


def test_what_is_to_be_drawn_is_known_again(
    stopped: Half, tiny_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[object]] = []
    monkeypatch.setattr(
        "stream.recordings.render.render_annotated",
        lambda source, path, views, *rest, **more: (drawn.append(list(views)), path.write_bytes(b"x"))[1] > 0,
    )
    settings = replace(SETTINGS, annotated=True)
    run_job(stopped.folder, tmp_path / "whole", tiny_model_path, settings=settings)
    stop = threading.Event()

    def count(step: Progress) -> None:
        if step.frames >= 40:
            stop.set()

    run_job(stopped.folder, tmp_path / "out", tiny_model_path, settings=settings, progress=count, stop=stop)
    (result,) = run_job(stopped.folder, tmp_path / "out", tiny_model_path, settings=settings)
    assert result.state == "done"
    assert drawn[0] == drawn[1]


def test_a_still_picture_stays_still_across_the_gap(tiny_model_path: Path, tmp_path: Path) -> None:
    """With the gate on: what the engine is asked, and what it is not, is the same."""
    folder = tmp_path / "in"
    folder.mkdir()
    _still_clip(folder / "still.mp4")
    settings = replace(SETTINGS, target_fps=None, max_still_s=3.0)
    run_job(folder, tmp_path / "whole", tiny_model_path, settings=settings)
    assert 40 < json.loads((tmp_path / "whole" / "still.receipt.json").read_text())["coverage"]["still"] < 70
    for frames in (22, 41):
        stop = threading.Event()

        def count(step: Progress, frames: int = frames, stop: threading.Event = stop) -> None:
            if step.frames >= frames:
                stop.set()

        out = tmp_path / f"out{frames}"
        (result,) = run_job(folder, out, tiny_model_path, settings=settings, progress=count, stop=stop)
        assert result.state == "stopped"
        run_job(folder, out, tiny_model_path, settings=settings)
        assert left_behind(out) == left_behind(tmp_path / "whole")


def _still_clip(path: Path) -> None:
    """Eight seconds at ten frames a second; the picture is another from the fourth second on."""
    views = [np.random.default_rng(n).integers(0, 256, (8, 12, 3), np.uint8).repeat(8, 0).repeat(8, 1) for n in (1, 2)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(80):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(views[number // 40]), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
