"""Frames in which nothing is new never reach the engine, and what it saw last goes on for them."""

from __future__ import annotations

import threading
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.loading import load_model
from engines.null_engine import NullEngine
from hoiclip.types import Canvas, Outputs
from stream.decode.sources import SourceSettings
from stream.events.schema import Event, comparable
from stream.ingest.batcher import FrameBatcher
from stream.ingest.coverage import Coverage
from stream.ingest.supervisor import SourceSupervisor
from stream.run.config import SourceConfig
from stream.run.inference import EnginePool
from stream.run.metrics import Metrics
from stream.run.pipeline import Pipeline
from stream.run.settings import source_settings
from stream.run.source_run import Head, SourceRun, source_tracker
from stream.track.settings import TrackerSettings

CANVAS = Canvas(64, 112)


@pytest.fixture
def quiet_clip(tmp_path: Path) -> Path:
    """Ten seconds of an empty place in which a block walks from second four to second five."""
    path = tmp_path / "quiet.mp4"
    wall = np.random.default_rng(0).integers(40, 140, (8, 14, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "20", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = 224, 128, "yuv420p"
        for number in range(100):
            picture = wall.copy()
            if 40 <= number < 50:
                picture[60:100, 20 * (number - 40) : 20 * (number - 40) + 24] = 230
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


class Looking(NullEngine):
    """Sees confident pairs where the picture has something bright in it; counts what it is shown."""

    looked = 0

    def _run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        self.looked += len(frames)
        outputs = super()._run(frames)
        outputs.object_logits[frames.max((1, 2, 3)) < 180] = -6.0
        return outputs


def watch(
    model: Path, clip: Path, max_still_s: float, max_batch: int = 4
) -> tuple[list[Event], Looking, Coverage, Metrics]:
    loaded = load_model(model)
    head = Head(loaded.classifier(), loaded.fingerprint, min_pair_score=0.05)
    settings = TrackerSettings(enter_score=0.1, smoothing_s=0.1, min_duration_s=0.1)
    tracker = source_tracker("clip", head.classifier, settings)
    source = SourceSettings("clip", str(clip), "file", (CANVAS,), target_fps=None, max_still_s=max_still_s)
    engine, events, metrics = Looking(loaded.config, CANVAS, pairs=3), list[Event](), Metrics()
    with SourceSupervisor([source]) as supervisor, EnginePool(lambda canvas: engine) as engines:
        pipeline = Pipeline(
            batcher=FrameBatcher(supervisor, max_batch, 0.02),
            engines=engines,
            sources={"clip": SourceRun("clip", "run", head, tracker)},
            publish=events.append,
            metrics=metrics,
        )
        report = pipeline.run(threading.Event())["clip"]
        coverage = supervisor.coverage()["clip"]
    assert report.failed is None and report.frames == 100
    return events, engine, coverage, metrics


def test_most_of_an_empty_recording_never_reaches_the_engine_and_the_events_are_the_same(
    tiny_model_path: Path, quiet_clip: Path
) -> None:
    every, all_looked, exact, _ = watch(tiny_model_path, quiet_clip, 0.0)
    few, some_looked, coverage, metrics = watch(tiny_model_path, quiet_clip, 2.0)
    assert [comparable(event) for event in few] == [comparable(event) for event in every]
    assert {event.type for event in every} >= {"started", "ended"}
    assert all_looked.looked == 100 and some_looked.looked < 35
    assert (exact.delivered, exact.still) == (100, 0)
    assert (coverage.delivered, coverage.still) == (some_looked.looked, 100 - some_looked.looked)
    assert coverage.decoded == coverage.skipped + coverage.delivered + coverage.still + coverage.pending
    assert coverage.seen == 1.0
    value = metrics.registry.get_sample_value
    assert value("hoistream_frames_still_total", {"source": "clip"}) == coverage.still
    assert value("hoistream_frames_total", {"source": "clip"}) == coverage.delivered


def test_the_size_of_batches_decides_nothing(tiny_model_path: Path, quiet_clip: Path) -> None:
    one, engine_of_one, _, _ = watch(tiny_model_path, quiet_clip, 2.0, max_batch=1)
    many, engine_of_many, _, _ = watch(tiny_model_path, quiet_clip, 2.0, max_batch=16)
    assert engine_of_one.looked == engine_of_many.looked
    assert [comparable(event) for event in one] == [comparable(event) for event in many]


def test_cameras_have_the_gate_and_files_are_exact_unless_the_configuration_says_otherwise() -> None:
    def still(url: str, **more: object) -> float:
        return source_settings(SourceConfig(id="a", url=url, **more), [CANVAS]).max_still_s

    assert (still("rtsp://192.0.2.1/a"), still("a.mp4"), still("a.mp4", kind="live")) == (2.0, 0.0, 2.0)
    assert (still("rtsp://192.0.2.1/a", max_still_s=0), still("a.mp4", max_still_s=1)) == (0.0, 1.0)
