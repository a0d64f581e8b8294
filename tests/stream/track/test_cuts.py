"""Cuts told from movement and light, and passed on to the tracker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.loading import load_model
from engines.null_engine import NullEngine
from hoiclip.types import Canvas
from stream.decode.sources import SourceSettings
from stream.events.schema import Event, InteractionEvent
from stream.ingest.batcher import FrameBatcher
from stream.ingest.supervisor import SourceSupervisor
from stream.run.inference import EnginePool
from stream.run.pipeline import Pipeline
from stream.run.source_run import Head, SourceRun, source_tracker
from stream.track.cuts import CutDetector
from stream.track.settings import TrackerSettings

Picture = NDArray[np.uint8]
HEIGHT, WIDTH = 144, 256


def view(seed: int, shift: int = 0) -> Picture:
    """Return a scene of large and small shapes of many colours, moved to the left by `shift` px."""
    rng = np.random.default_rng(seed)
    scene = np.zeros((HEIGHT, WIDTH + 64, 3), np.uint8)
    for blocks in (8, 24, 72):
        rough = rng.integers(30, 200, (HEIGHT // blocks, (WIDTH + 64) // blocks + 1, 3), np.uint8)
        large = rough.repeat(blocks, 0).repeat(blocks, 1)[:HEIGHT, : WIDTH + 64]
        scene = cv2.addWeighted(scene, 0.6, large, 0.6, 0)
    return np.ascontiguousarray(scene[:, shift : shift + WIDTH])


def lit(picture: Picture, gain: float | NDArray[np.float64], lift: float = 0.0) -> Picture:
    return np.clip(picture * gain + lift, 0, 255).astype(np.uint8)


def cuts(pictures: Sequence[Picture]) -> list[int]:
    detector = CutDetector()
    return [number for number, picture in enumerate(pictures) if detector.observe(picture)]


def test_a_cut_is_found_at_the_first_frame_of_the_other_view() -> None:
    assert cuts([view(1), view(1, 2), view(2), view(2, 2), view(1)]) == [2, 4]


def test_another_view_after_black_or_a_flash_is_a_cut_and_the_same_view_is_none() -> None:
    black, white = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    for between in (black, white, lit(view(1), 1.0, 190.0)):
        assert cuts([view(1), between, view(1)]) == []
        assert cuts([view(1), between, between, view(2)]) == [3]


@pytest.mark.parametrize(
    "light",
    [
        pytest.param(lambda p: lit(p, 0.35), id="dusk"),
        pytest.param(lambda p: lit(p, 1.3, 20.0), id="lamp"),
        pytest.param(lambda p: lit(p, 0.6, 60.0), id="haze"),
        pytest.param(lambda p: lit(p, np.linspace(0.2, 1.6, WIDTH)[None, :, None]), id="lamp at one side"),
        pytest.param(lambda p: lit(p, np.where(np.arange(WIDTH) < 128, 0.3, 1.0)[None, :, None]), id="shadow"),
    ],
)
def test_a_change_of_light_is_no_cut_in_either_direction(light: Callable[[Picture], Picture]) -> None:
    scene = view(3)
    assert cuts([scene, light(scene), scene, light(scene)]) == []


def test_movement_is_no_cut() -> None:
    assert cuts([view(4, shift) for shift in range(0, 60, 5)]) == []  # a pan: 2 % of the width a frame
    passing = []
    for left in range(-100, WIDTH, 20):  # somebody close to the camera walks by
        picture = view(4)
        picture[20:, max(0, left) : max(0, left + 100)] = (40, 60, 30)
        passing.append(picture)
    assert cuts(passing) == []


def test_tiny_pictures_are_no_evidence() -> None:
    assert cuts([view(1)[:12, :20], view(2)[:12, :20]]) == []


def test_a_cut_in_a_recording_closes_what_was_going_on_and_a_flash_does_not(
    tiny_model_path: Path, tmp_path: Path
) -> None:
    loaded = load_model(tiny_model_path)
    head = Head(loaded.classifier(), loaded.fingerprint, min_pair_score=0.05)
    canvas = Canvas(64, 112)

    def events(pictures: Sequence[Picture]) -> list[Event]:
        path = tmp_path / "film.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for picture in pictures:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        settings = TrackerSettings(enter_score=0.2, min_duration_s=0.1, min_pair_score=0.05)
        run = SourceRun("film", "run", head, source_tracker("film", head.classifier, settings))
        source = SourceSettings("film", str(path), "file", (canvas,), None)
        found: list[Event] = []
        with (
            SourceSupervisor([source]) as supervisor,
            EnginePool(lambda size: NullEngine(loaded.config, size, pairs=2)) as engines,
        ):
            batcher = FrameBatcher(supervisor, 4, 0.02)
            Pipeline(batcher=batcher, engines=engines, sources={"film": run}, publish=found.append).run(
                threading.Event()
            )
        return found

    def endings(found: Sequence[Event]) -> set[tuple[str, float]]:
        return {
            (event.reason, round(event.media_time_s, 1))
            for event in found
            if isinstance(event, InteractionEvent) and event.type == "ended"
        }

    flash = lit(view(1), 1.0, 190.0)
    with_cut = events([view(1)] * 10 + [view(2)] * 10)
    with_flash = events([view(1)] * 10 + [flash] + [view(1)] * 9)
    assert endings(with_cut) == {("cut", 1.0), ("end_of_file", 1.9)}
    assert endings(with_flash) == {("end_of_file", 1.9)}
