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

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from engines.loading import load_model
from hoiclip.errors import HoistreamError, InputError
from hoiclip.types import Canvas, Engine, Outputs
from stream.events.schema import Event
from stream.recordings.batch_job import BatchJob, BatchSettings, Progress, VideoResult
from stream.recordings.media import Video, find_videos
from stream.recordings.results import ResultPaths
from stream.recordings.summary import write_summary
from stream.run.config import EngineConfig
from stream.run.source_run import Head
from stream.track.settings import TrackerSettings
from tests.support.seeing_engine import Seeing

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
        jobs: int | None = None,
        own_engine: Callable[[Canvas], Engine] | None = None,
    ) -> list[VideoResult]:
        folder = out or tmp_path / "out"
        made = BatchJob(load_model(tiny_model_path), changed or head, settings, folder, sink, own_engine, jobs=jobs)
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
    job: Callable[..., list[VideoResult]], make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    whole = make_clip(seconds=4.0)
    cut = tmp_path / "in" / "cut.mp4"
    cut.parent.mkdir()
    remux_with_index_first(whole, cut)
    data = cut.read_bytes()
    pictures = data.index(b"mdat")
    cut.write_bytes(data[: pictures + (len(data) - pictures) * 2 // 3])
    (failed,) = job(find_videos([cut]))
    assert failed.state == "failed"
    assert "cut.mp4: is cut off at" in failed.detail
    lines = ResultPaths.of(tmp_path / "out", "cut").events.read_text().splitlines()
    assert len(lines) == failed.events > 2
    (again,) = job(find_videos([cut]))
    assert (again.state, again.events) == ("failed", failed.events)
    remux_with_index_first(whole, cut)
    assert [r.state for r in job(find_videos([cut]))] == ["done"]


def remux_with_index_first(source: Path, target: Path) -> None:
    with av.open(str(source)) as old, av.open(str(target), "w", options={"movflags": "+faststart"}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)


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

    assert [r.state for r in job(videos, stop=stop, progress=progress, jobs=1)] == ["done", "stopped", "waiting"]
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
    assert not [path for path in (tmp_path / "out").iterdir() if path.suffix in (".mp4", ".json", ".parquet")]


def test_progress_tells_reading_from_watching_and_drawing(
    job: Callable[..., list[VideoResult]], make_clip: Callable[..., Path]
) -> None:
    steps: list[Progress] = []
    clip = make_clip()
    job(find_videos([clip]), replace(SETTINGS, annotated=True), progress=steps.append)
    stages = list(dict.fromkeys(step.stage for step in steps))
    assert stages == ["reading", "watching", "drawing"]
    last = {step.stage: step for step in steps}
    assert last["reading"][2:4] == (clip.stat().st_size, clip.stat().st_size)
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


# Several at once.


def left_behind(folder: Path) -> dict[str, bytes]:
    """Return the files of a job by name; of receipts all but the wall clock."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name in [name for name in found if name.endswith(".receipt.json")]:
        receipt = json.loads(found[name])
        assert receipt.pop("seconds") > 0
        found[name] = json.dumps(receipt).encode()
    return found


def test_what_several_at_once_leave_is_what_one_after_the_other_leaves_byte_for_byte(
    job: Callable[..., list[VideoResult]], make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(5):
        wide = {"width": 64, "height": 96} if number == 3 else {}
        make_clip(f"c{number}.mp4", seconds=1.0 + 0.7 * number, **wide).rename(folder / f"c{number}.mp4")
    (folder / "bad.mp4").write_bytes((folder / "c2.mp4").read_bytes()[:3000])
    (folder / "none.mp4").write_bytes(b"")
    videos = find_videos([folder])
    settings = replace(SETTINGS, canvases=(CANVAS, Canvas(112, 64)))
    engines: dict[int, list[Seeing]] = {1: [], 4: []}

    def run(jobs: int) -> list[VideoResult]:
        def engine(canvas: Canvas) -> Seeing:
            engines[jobs].append(Seeing(canvas))
            return engines[jobs][-1]

        return job(videos, settings, out=tmp_path / f"out{jobs}", jobs=jobs, own_engine=engine)

    one, four = run(1), run(4)
    assert [replace(result, seconds=0.0) for result in one] == [replace(result, seconds=0.0) for result in four]
    assert {result.video.name: result.state for result in one} == {
        **{f"c{number}": "done" for number in range(5)},
        "bad": "failed",
        "none": "failed",
    }
    assert sum(result.events for result in one) > 100
    before, after = left_behind(tmp_path / "out1"), left_behind(tmp_path / "out4")
    assert len(before) >= 4 * 5
    assert after == before
    frames = [sum(sum(engine.batches) for engine in engines[jobs]) for jobs in (1, 4)]
    assert frames[0] == frames[1] == sum(result.frames for result in one)


def test_no_more_than_jobs_videos_are_under_way(
    job: Callable[..., list[VideoResult]], make_clip: Callable[..., Path]
) -> None:
    videos = find_videos([make_clip(f"c{i}.mp4", seconds=1.0) for i in range(5)])
    order: list[tuple[str, Any]] = []
    for jobs in (1, 3):
        order.clear()
        job(videos, replace(SETTINGS, target_fps=25.0 + jobs), jobs=jobs, progress=lambda s: order.append(s.video.name))
        first = {name: order.index(name) for name in order}
        last = {name: len(order) - 1 - order[::-1].index(name) for name in order}
        at_once = max(sum(first[n] <= at <= last[n] for n in first) for at in range(len(order)))
        assert at_once <= jobs + 1  # the next one may begin while the last is written
        if jobs == 3:
            assert at_once >= 2


def test_an_engine_that_fails_ends_the_job_with_its_error(
    job: Callable[..., list[VideoResult]], make_clip: Callable[..., Path]
) -> None:
    class Broken(Seeing):
        def _run(self, frames: np.ndarray) -> Outputs[np.ndarray]:
            raise HoistreamError("the engine is gone")

    videos = find_videos([make_clip(f"c{i}.mp4") for i in range(4)])
    with pytest.raises(HoistreamError, match="the engine is gone"):
        job(videos, own_engine=Broken)


def test_what_a_stopped_job_leaves_open_is_not_told_as_ended(
    job: Callable[..., list[VideoResult]], make_clip: Callable[..., Path]
) -> None:
    stop, heard = threading.Event(), list[Event]()

    def sink(event: Event) -> None:
        heard.append(event)
        if event.type == "started":
            stop.set()

    videos = find_videos([make_clip(seconds=20.0)])
    assert [r.state for r in job(videos, stop=stop, sink=sink)] == ["stopped"]
    assert "started" in [event.type for event in heard]
    assert [event for event in heard if getattr(event, "reason", "") == "stopped"] == []
    again: list[Event] = []
    assert [r.state for r in job(videos, sink=again.append)] == ["done"]
    known = {event.event_id: event for event in again}
    assert all(known[event.event_id] == event for event in heard)
