from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.null_engine import NullEngine
from hoiclip.loading import load_model
from hoiclip.types import Canvas, Outputs
from stream.decode.sources import SourceSettings
from stream.events.schema import Event, comparable
from stream.ingest.batcher import FrameBatcher
from stream.ingest.supervisor import SourceSupervisor
from stream.recordings.batch_job import BatchJob, BatchSettings, VideoResult
from stream.recordings.media import Video, find_videos
from stream.run.config import EngineConfig
from stream.run.inference import EnginePool
from stream.run.pipeline import Pipeline
from stream.run.source_run import Head, SourceRun, source_tracker
from stream.track.lifecycle import TrackerSettings

CANVAS = Canvas(64, 112)
EAGER = TrackerSettings(enter_score=0.2, min_duration_s=0.1)


class SceneEngine(NullEngine):
    """One confident pair whose boxes follow the picture's brightness, so that events depend on the frames."""

    def _run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        outputs = super()._run(frames)
        light = frames.reshape(len(frames), -1).mean(1) / 255
        outputs.human_boxes[:, :, 0] = 0.2 + 0.4 * light[:, None]
        outputs.object_boxes[:, :, 0] = 0.2 + 0.4 * light[:, None]
        return outputs


@pytest.fixture
def head(tiny_model_path: Path) -> Head:
    loaded = load_model(tiny_model_path)
    return Head(loaded.classifier(), loaded.fingerprint, min_pair_score=0.05)


def run_file(tiny_model_path: Path, head: Head, clip: Path, max_batch: int) -> tuple[list[Event], int]:
    config = load_model(tiny_model_path).config
    run = SourceRun("clip", "run", head, source_tracker("clip", head.classifier, EAGER))
    events: list[Event] = []
    source = SourceSettings(id="clip", url=str(clip), kind="file", canvases=(CANVAS,), target_fps=None)
    with SourceSupervisor([source]) as supervisor, EnginePool(lambda c: SceneEngine(config, c, pairs=3)) as engines:
        pipeline = Pipeline(
            batcher=FrameBatcher(supervisor, max_batch, 0.02),
            engines=engines,
            sources={"clip": run},
            publish=events.append,
        )
        report = pipeline.run(threading.Event())["clip"]
    assert report.failed is None
    return events, report.frames


def test_the_same_file_gives_the_same_events_at_any_batch_size(
    tiny_model_path: Path, head: Head, make_clip: Callable[..., Path]
) -> None:
    clip = make_clip(seconds=3.0)
    one, frames = run_file(tiny_model_path, head, clip, max_batch=1)
    many, _ = run_file(tiny_model_path, head, clip, max_batch=7)
    assert frames == 75
    assert [comparable(e) for e in one] == [comparable(e) for e in many]
    kinds = [e.type for e in one]
    assert "started" in kinds
    assert kinds.count("started") == kinds.count("ended")


def test_an_engine_that_fails_stops_the_run_with_its_own_error(
    tiny_model_path: Path, head: Head, make_clip: Callable[..., Path]
) -> None:
    class Broken(NullEngine):
        def _run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
            raise RuntimeError("the engine broke")

    config = load_model(tiny_model_path).config
    run = SourceRun("clip", "run", head, source_tracker("clip", head.classifier, EAGER))
    source = SourceSettings(id="clip", url=str(make_clip()), kind="file", canvases=(CANVAS,), target_fps=None)
    started = time.monotonic()
    with SourceSupervisor([source]) as supervisor, EnginePool(lambda c: Broken(config, c)) as engines:
        batcher = FrameBatcher(supervisor, 4, 0.02)
        pipeline = Pipeline(batcher=batcher, engines=engines, sources={"clip": run}, publish=lambda e: None)
        with pytest.raises(RuntimeError, match="the engine broke"):
            pipeline.run(threading.Event())
    assert time.monotonic() - started < 20


def test_a_publisher_that_fails_stops_the_run_with_its_own_error(
    tiny_model_path: Path, head: Head, make_clip: Callable[..., Path]
) -> None:
    config = load_model(tiny_model_path).config
    run = SourceRun("clip", "run", head, source_tracker("clip", head.classifier, EAGER))
    source = SourceSettings(
        id="clip", url=str(make_clip(seconds=4.0)), kind="file", canvases=(CANVAS,), target_fps=None
    )

    def publish(event: Event) -> None:
        raise OSError("no room")

    with SourceSupervisor([source]) as supervisor, EnginePool(lambda c: SceneEngine(config, c)) as engines:
        batcher = FrameBatcher(supervisor, 2, 0.02)
        pipeline = Pipeline(batcher=batcher, engines=engines, sources={"clip": run}, publish=publish)
        with pytest.raises(OSError, match="no room"):
            pipeline.run(threading.Event())


def job(tiny_model_path: Path, head: Head, out: Path, videos: list[Video], **settings: object) -> list[VideoResult]:
    loaded = load_model(tiny_model_path)
    chosen = BatchSettings((CANVAS,), EngineConfig(kind="null"), EAGER, None, **settings)  # type: ignore[arg-type]
    return BatchJob(loaded, head, chosen, out).run(videos, threading.Event(), lambda *a: None, lambda r: None)


def test_a_batch_reports_each_bad_file_in_one_line_and_finishes_the_others(
    tiny_model_path: Path, head: Head, make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    good = make_clip("good.mp4")
    (folder / "good.mp4").write_bytes(good.read_bytes())
    (folder / "truncated.mp4").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is no video\n" * 100)
    results = {r.video.name: r for r in job(tiny_model_path, head, tmp_path / "out", find_videos([folder]))}
    assert results["good"].state == "done"
    assert results["good"].frames == 50
    assert results["good"].dropped == 0
    for name in ("truncated", "empty", "text"):
        assert results[name].state == "failed"
        assert f"{name}.mp4" in results[name].detail
        assert "\n" not in results[name].detail


def test_a_finished_video_is_skipped_and_other_settings_do_it_again(
    tiny_model_path: Path, head: Head, make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    videos = find_videos([make_clip()])
    out = tmp_path / "out"
    assert [r.state for r in job(tiny_model_path, head, out, videos)] == ["done"]
    assert [r.state for r in job(tiny_model_path, head, out, videos)] == ["skipped"]
    assert [r.state for r in job(tiny_model_path, head, out, videos, annotated=True)] == ["done"]
    assert (out / "clip.annotated.mp4").stat().st_size > 1000


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
