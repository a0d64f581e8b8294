from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.loading import load_model
from engines.null_engine import NullEngine
from hoiclip.types import Canvas, Outputs
from stream.decode.sources import SourceSettings
from stream.events.schema import Event, InteractionEvent, comparable
from stream.ingest.batcher import FrameBatcher
from stream.ingest.supervisor import SourceSupervisor
from stream.run.inference import EnginePool
from stream.run.pipeline import Pipeline
from stream.run.source_run import Head, SourceRun, source_tracker
from stream.track.settings import TrackerSettings

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


def run_file(
    tiny_model_path: Path, head: Head, clip: Path, max_batch: int, engine: type[SceneEngine] = SceneEngine
) -> tuple[list[Event], int]:
    config = load_model(tiny_model_path).config
    run = SourceRun("clip", "run", head, source_tracker("clip", head.classifier, EAGER))
    events: list[Event] = []
    source = SourceSettings(id="clip", url=str(clip), kind="file", canvases=(CANVAS,), target_fps=None)
    with SourceSupervisor([source]) as supervisor, EnginePool(lambda c: engine(config, c, pairs=3)) as engines:
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


def test_a_recordings_events_have_no_wall_clock_and_no_box_outside_the_frame(
    tiny_model_path: Path, head: Head, make_clip: Callable[..., Path]
) -> None:
    class Outside(SceneEngine):
        def _run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
            outputs = super()._run(frames)
            outputs.human_boxes[:, :, :2] = 0.02
            outputs.object_boxes[:, :, :2] = 0.98
            return outputs

    events, _ = run_file(tiny_model_path, head, make_clip(), 4, engine=Outside)
    found = [event for event in events if isinstance(event, InteractionEvent)]
    assert {event.type for event in found} >= {"started", "ended"}
    for event in found:
        assert event.capture_time is None, event.type
        for box in (event.human_box_xyxy_px, event.object_box_xyxy_px):
            assert 0 <= box[0] <= box[2] <= event.frame_width_px
            assert 0 <= box[1] <= box[3] <= event.frame_height_px
