from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.loading import load_model
from engines.null_engine import NullEngine
from hoiclip.types import Canvas, Outputs
from stream.decode.sources import SourceSettings
from stream.events.schema import Event, InteractionEvent, LineCrossedEvent, comparable
from stream.ingest.batcher import FrameBatcher
from stream.ingest.supervisor import SourceSupervisor
from stream.run.inference import EnginePool
from stream.run.pipeline import Pipeline
from stream.run.source_run import Head, SourceRun, source_tracker
from stream.track.settings import TrackerSettings
from stream.zones.layout import Layout, Line, Zone

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
    tiny_model_path: Path,
    head: Head,
    clip: Path,
    max_batch: int,
    engine: type[SceneEngine] = SceneEngine,
    layout: Layout | None = None,
) -> tuple[list[Event], int]:
    config = load_model(tiny_model_path).config
    tracker = source_tracker("clip", head.classifier, EAGER)
    run = SourceRun("clip", "run", head, tracker, layout=layout or Layout())
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


HALF = 0.36  # where the pair of `SceneEngine` is when a picture is half bright
LEFT = ((0.0, 0.0), (HALF, 0.0), (HALF, 1.0), (0.0, 1.0))


def test_events_say_the_zone_the_time_in_it_and_the_lines_crossed(
    tiny_model_path: Path, head: Head, make_clip: Callable[..., Path]
) -> None:
    """The pair walks to the right for a second, jumps back, and so on for three seconds."""
    layout = Layout((Zone("left", LEFT, settle_s=0.1),), (Line("middle", (HALF, 1.0), (HALF, 0.0)),))
    clip = make_clip(seconds=3.0)
    events, _ = run_file(tiny_model_path, head, clip, 4, layout=layout)
    plain, _ = run_file(tiny_model_path, head, clip, 4)
    lives: dict[str, list[InteractionEvent]] = {}
    for event in events:
        if isinstance(event, InteractionEvent):
            lives.setdefault(event.interaction_id, []).append(event)
    assert lives
    for life in lives.values():
        where = [event.zones for event in life]
        assert ("left",) in where
        assert () in where
        for before, after in pairwise(life):
            gained = after.dwell_s.get("left", 0.0) - before.dwell_s.get("left", 0.0)
            assert -0.15 <= gained <= after.media_time_s - before.media_time_s + 0.15
        assert all(event.dwell_s.get("left", 0.0) <= event.duration_s + 0.15 for event in life)
    assert {event.why for event in events if isinstance(event, InteractionEvent) and event.reason == "zone"} == {
        "entered left",
        "left left",
    }
    crossed = [event for event in events if isinstance(event, LineCrossedEvent)]
    assert {event.direction for event in crossed} == {"in", "out"}
    counts: dict[tuple[str, str], int] = {}
    for event in crossed:
        key = (event.interaction, event.direction)
        counts[key] = counts.get(key, 0) + 1
        assert event.count == counts[key]
        assert event.interaction_id in lives
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    said = [e for e in events if isinstance(e, InteractionEvent) and e.reason != "zone"]
    assert [(e.type, e.media_time_s, e.score) for e in said] == [
        (e.type, e.media_time_s, e.score) for e in plain if isinstance(e, InteractionEvent)
    ]


def test_pairs_whose_human_stands_in_a_mask_are_not_looked_at(
    tiny_model_path: Path, head: Head, make_clip: Callable[..., Path]
) -> None:
    everything = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    clip = make_clip()
    events, frames = run_file(tiny_model_path, head, clip, 4, layout=Layout(masks=(everything,)))
    assert frames == 50
    assert [event for event in events if isinstance(event, InteractionEvent)] == []
    partly, _ = run_file(tiny_model_path, head, clip, 4, layout=Layout(masks=(LEFT,)))
    found = [event for event in partly if isinstance(event, InteractionEvent) and event.type == "started"]
    assert found
    for event in found:
        left, _, right, _ = event.human_box_xyxy_px
        assert (left + right) / 2 / event.frame_width_px > HALF
