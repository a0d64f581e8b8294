from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from engines.loading import load_model
from hoiclip.errors import HoistreamError, InputError
from hoiclip.types import Canvas
from stream.events.schema import Event
from stream.recordings.batch_job import BatchJob, BatchSettings, Progress, VideoResult
from stream.recordings.media import Video, find_videos
from stream.recordings.results import ResultPaths
from stream.recordings.summary import write_summary
from stream.run.config import EngineConfig
from stream.run.pipeline import Pipeline
from stream.run.source_run import Head
from stream.track.settings import TrackerSettings

CANVAS = Canvas(64, 112)
SETTINGS = BatchSettings(
    (CANVAS,), EngineConfig(kind="null"), TrackerSettings(enter_score=0.2, min_duration_s=0.1), target_fps=None
)


@pytest.fixture
def head(tiny_model_path: Path) -> Head:
    loaded = load_model(tiny_model_path)
    return Head(loaded.classifier(), loaded.fingerprint, min_pair_score=0.05)


@pytest.fixture
def job(tiny_model_path: Path, head: Head, tmp_path: Path) -> Callable[..., list[VideoResult]]:
    """Run a job: `job(videos, settings=…, head=…, …)`."""

    def run(
        videos: list[Video],
        settings: BatchSettings = SETTINGS,
        *,
        changed: Head | None = None,
        out: Path | None = None,
        stop: threading.Event | None = None,
        progress: Callable[[Progress], None] = lambda step: None,
        sink: Callable[[Event], object] | None = None,
    ) -> list[VideoResult]:
        made = BatchJob(load_model(tiny_model_path), changed or head, settings, out or tmp_path / "out", sink)
        return made.run(videos, stop or threading.Event(), progress, lambda result: None)

    return run


def test_a_batch_reports_each_bad_file_in_one_line_and_finishes_the_others(
    job: Callable[..., list[VideoResult]], make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    good = make_clip("good.mp4")
    (folder / "good.mp4").write_bytes(good.read_bytes())
    (folder / "truncated.mp4").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is no video\n" * 100)
    results = {r.video.name: r for r in job(find_videos([folder]))}
    assert (results["good"].state, results["good"].frames, results["good"].dropped) == ("done", 50, 0)
    for name in ("truncated", "empty", "text"):
        assert results[name].state == "failed"
        assert f"{name}.mp4" in results[name].detail
        assert "\n" not in results[name].detail


def changes(head: Head) -> list[tuple[str, BatchSettings, Head]]:
    engine, tracker = SETTINGS.engine, SETTINGS.tracker
    return [
        ("tracker", replace(SETTINGS, tracker=replace(tracker, gap_s=1.0)), head),
        ("fps", replace(SETTINGS, target_fps=5.0), head),
        ("canvas", replace(SETTINGS, canvases=(Canvas(96, 168),)), head),
        ("engine", replace(SETTINGS, engine=engine.model_copy(update={"kind": "torch"})), head),
        ("enhancement", SETTINGS, replace(head, enhancement=True)),
        ("vocabulary", SETTINGS, replace(head, classifier=replace(head.classifier, fingerprint="other"))),
        ("model", SETTINGS, replace(head, model_fingerprint="other")),
        ("annotated", replace(SETTINGS, annotated=True), head),
    ]


def test_a_finished_video_is_skipped_and_whatever_decides_events_does_it_again(
    job: Callable[..., list[VideoResult]], head: Head, make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    videos = find_videos([make_clip(seconds=0.6)])
    assert [r.state for r in job(videos)] == ["done"]
    assert [r.state for r in job(videos)] == ["skipped"]
    same = replace(SETTINGS, engine=SETTINGS.engine.model_copy(update={"max_batch": 3, "max_wait_ms": 1.0}))
    assert [r.state for r in job(videos, same)] == ["skipped"]
    for name, settings, changed in changes(head):
        assert [r.state for r in job(videos, settings, changed=changed)] == ["done"], name
        assert [r.state for r in job(videos, settings, changed=changed)] == ["skipped"], name
    assert (tmp_path / "out" / "clip.annotated.mp4").stat().st_size > 1000


def test_another_precision_of_the_same_engine_does_a_video_again(
    job: Callable[..., list[VideoResult]], make_clip: Callable[..., Path]
) -> None:
    videos = find_videos([make_clip(seconds=0.2)])
    for precision in ("fp32", "bf16"):
        engine = EngineConfig(kind="torch", precision=precision)  # type: ignore[arg-type]
        assert [r.state for r in job(videos, replace(SETTINGS, engine=engine))] == ["done"], precision


def test_a_recording_changed_where_no_sample_was_taken_is_done_again(
    job: Callable[..., list[VideoResult]], make_clip: Callable[..., Path]
) -> None:
    clip = make_clip(seconds=0.6)
    clip.write_bytes(clip.read_bytes() + bytes(6_000_000))  # behind the last box: no frame of it
    videos = find_videos([clip])
    assert [r.state for r in job(videos)] == ["done"]
    with clip.open("r+b") as file:
        file.seek(1_500_000)
        file.write(b"x")
    assert [r.state for r in job(videos)] == ["done"]


def test_a_failed_video_that_had_events_is_tried_again(
    job: Callable[..., list[VideoResult]],
    make_clip: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    videos = find_videos([make_clip()])
    run = Pipeline.run

    def broken(self: Pipeline, stop: threading.Event) -> Any:
        reports = run(self, stop)
        reports["clip"].failed = "clip.mp4: the decoder died"
        return reports

    monkeypatch.setattr(Pipeline, "run", broken)
    (failed,) = job(videos)
    assert (failed.state, failed.detail) == ("failed", "clip.mp4: the decoder died")
    assert failed.events > 0
    assert len(ResultPaths.of(tmp_path / "out", "clip").events.read_text().splitlines()) == failed.events
    monkeypatch.undo()
    assert [r.state for r in job(videos)] == ["done"]


def test_a_summary_of_a_resumed_job_has_the_numbers_of_the_run_that_did_the_work(
    job: Callable[..., list[VideoResult]], make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    videos = find_videos([make_clip()])
    write_summary(tmp_path, job(videos))
    (first,) = json.loads((tmp_path / "summary.json").read_text())
    write_summary(tmp_path, job(videos))
    (again,) = json.loads((tmp_path / "summary.json").read_text())
    assert first["frames"] == 50
    assert first["events"] > 0
    assert again == {**first, "state": "skipped", "seconds": pytest.approx(first["seconds"], abs=1e-3)}


def test_a_stopped_job_says_what_is_left(
    job: Callable[..., list[VideoResult]], make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    videos = find_videos([make_clip(f"c{i}.mp4", seconds=4.0) for i in range(3)])
    stop = threading.Event()

    def progress(step: Progress) -> None:
        if step.video.name == "c1" and step.stage == "watching":
            stop.set()

    assert [r.state for r in job(videos, stop=stop, progress=progress)] == ["done", "stopped", "waiting"]
    assert not (tmp_path / "out" / "c1.receipt.json").exists()


def test_a_job_stopped_while_drawing_leaves_no_half_video(
    job: Callable[..., list[VideoResult]], make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    stop = threading.Event()

    def progress(step: Progress) -> None:
        if step.stage == "drawing":
            stop.set()

    settings = replace(SETTINGS, annotated=True)
    results = job(find_videos([make_clip()]), settings, stop=stop, progress=progress)
    assert [result.state for result in results] == ["stopped"]
    assert list((tmp_path / "out").iterdir()) == []


def test_progress_tells_reading_from_watching_and_drawing(
    job: Callable[..., list[VideoResult]], make_clip: Callable[..., Path]
) -> None:
    steps: list[Progress] = []
    clip = make_clip()
    job(find_videos([clip]), replace(SETTINGS, annotated=True), progress=steps.append)
    stages = list(dict.fromkeys(step.stage for step in steps))
    assert stages == ["reading", "watching", "drawing"]
    last = {step.stage: step for step in steps}
    assert last["reading"][2:] == (clip.stat().st_size, clip.stat().st_size)
    assert last["watching"].done == last["drawing"].done == pytest.approx(1.96, abs=0.05)
    assert last["watching"].total == pytest.approx(2.0, abs=0.05)


def test_events_of_a_batch_have_no_wall_clock_and_reach_the_sink_as_well(
    job: Callable[..., list[VideoResult]], make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    heard: list[Event] = []
    job(find_videos([make_clip()]), sink=heard.append)
    lines = [json.loads(line) for line in (tmp_path / "out" / "clip.events.jsonl").read_text().splitlines()]
    assert [line["event_id"] for line in lines] == [event.event_id for event in heard]
    assert {line["capture_time"] for line in lines} == {line["published_time"] for line in lines} == {None}
    assert pq.read_table(tmp_path / "out" / "clip.events.parquet").num_rows == len(lines) > 0


def test_an_output_folder_that_cannot_be_written_is_one_line(
    job: Callable[..., list[VideoResult]], make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    videos = find_videos([make_clip(seconds=0.2)])
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be made"):
        job(videos, out=tmp_path / "file" / "out")
    (tmp_path / "out" / "clip.events.part.jsonl").mkdir(parents=True)
    with pytest.raises(HoistreamError, match=r"results of clip\.mp4 cannot be written"):
        job(videos)


BATCH = """
import sys
from hoistream.cli import main
if __name__ == "__main__":
    sys.argv = ["hoistream", *sys.argv[1:]]
    main()
"""


def test_a_killed_job_goes_on_and_ends_with_the_same_events(
    tiny_model_path: Path, make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(3):
        make_clip(f"c{index}.mp4", seconds=4.0 + index).rename(folder / f"c{index}.mp4")
    script = tmp_path / "run.py"
    script.write_text(BATCH)

    def command(out: Path) -> list[str]:
        return [
            sys.executable, str(script), "batch", str(folder), "--out", str(out), "--model", str(tiny_model_path),
            "--engine", "null", "--fps", "25", "--enter-score", "0.2",
        ]  # fmt: skip

    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "cwd": Path(__file__).resolve().parents[3]}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(command(whole), check=True, timeout=120, **quiet)
    process = subprocess.Popen(command(broken), **quiet)
    deadline = time.monotonic() + 60
    while not (broken / "c0.receipt.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (broken / "c2.receipt.json").exists()
    again = subprocess.run(command(broken), check=True, timeout=120, **quiet)
    assert b"skipped: c0.mp4" in again.stderr
    for index in range(3):
        name = f"c{index}.events.jsonl"
        assert (broken / name).read_text() == (whole / name).read_text()
        assert [json.loads(line)["type"] for line in (whole / name).read_text().splitlines()]
