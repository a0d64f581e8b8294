"""Footage unlike the training data is told once, soon, and only where it lasts."""

from __future__ import annotations

import numpy as np

from hoiclip.classifier import TextClassifier
from hoiclip.familiarity import TrainingFeatures
from stream.ingest.source_state import FrameMeta
from stream.run.footage import LOOK_EVERY_S, MIN_LOOKS, FootageWatch, is_unlike_training
from stream.run.source_run import Head, SourceRun, source_tracker
from stream.track.settings import TrackerSettings
from tests.hoiclip.test_familiarity import EMBED, outputs

KNOWN = TrainingFeatures.fit(outputs(1, 400), limit=1.0)


def told(watch: FootageWatch, seconds: float, shift: float, start_s: float = 0.0, fps: float = 8.0) -> list[float]:
    """Return the media times at which the watch said something."""
    times = start_s + np.arange(round(seconds * fps)) / fps
    return [t for i, t in enumerate(times.tolist()) if watch.observe(outputs(1000 + i, 1, shift), t) is not None]


def test_known_footage_is_passed_over() -> None:
    assert told(FootageWatch(KNOWN), 60, 0.0) == []


def test_unlike_footage_is_told_once_within_a_minute() -> None:
    (at_s,) = told(FootageWatch(KNOWN), 120, 1.0)
    assert (MIN_LOOKS - 1) * LOOK_EVERY_S <= at_s < 60


def test_a_moment_of_something_else_is_not_told() -> None:
    watch = FootageWatch(KNOWN)
    assert told(watch, 40, 0.0) + told(watch, 1, 1.0, 40) + told(watch, 40, 0.0, 41) == []


def test_who_shows_known_footage_in_between_is_told_again() -> None:
    watch = FootageWatch(KNOWN)
    found = told(watch, 60, 1.0) + told(watch, 60, 0.0, 60) + told(watch, 60, 1.0, 120)
    assert len(found) == 2 and found[1] > 120


def test_it_goes_on_from_what_was_saved() -> None:
    whole, first, second = FootageWatch(KNOWN), FootageWatch(KNOWN), FootageWatch(KNOWN)
    for i in range(20):
        whole.observe(outputs(i, 1, 0.4), i / 2)
        first.observe(outputs(i, 1, 0.4), i / 2)
    second.restore({name: np.array(values) for name, values in first.saved().items()})
    later = [(i, outputs(i, 1, 1.0)) for i in range(20, 80)]
    assert [whole.observe(seen, i / 2) for i, seen in later] == [second.observe(seen, i / 2) for i, seen in later]


def test_a_clock_that_goes_back_is_looked_at_at_once() -> None:
    watch = FootageWatch(KNOWN)
    assert len(told(watch, 1, 1.0, 500) + told(watch, 60, 1.0, 0.0)) == 1


def test_a_source_says_so_in_a_warning_and_an_event_and_damaged_frames_do_not_count(caplog) -> None:
    rows, names = np.zeros((1, EMBED), np.float32), ("hold cup",)
    classifier = TextClassifier(
        names, ("hold",), ("cup",), ("",), np.array([0]), rows, np.zeros(1, np.float32), rows, 0.5, 1.0,
        np.zeros(1, np.bool_), rows, ("cup", "bicycle", "dog"), "words",
    )  # fmt: skip
    head = Head(classifier, "model", min_pair_score=0.9, training=KNOWN)
    picture = np.zeros((64, 112, 3), np.uint8)

    def events(shift: float, corrupt: bool) -> list:
        run = SourceRun("cam", "run", head, source_tracker("cam", classifier, TrackerSettings()))
        frames = [(i, FrameMeta("cam", i, i / 8, None, 112, 64, corrupt, 0)) for i in range(80)]
        return [event for i, meta in frames for event in run.frame(outputs(i, 1, shift), meta, picture)]

    assert events(0.0, corrupt=False) == events(1.0, corrupt=True) == []
    assert not caplog.records
    (event,) = events(1.0, corrupt=False)
    assert (event.type, event.state, event.reason) == ("source_state", "up", "unlike_training_data")
    assert is_unlike_training(event) and event.why.startswith("footage unlike training data: distance ")
    assert [record.getMessage() for record in caplog.records] == [f"cam: {event.why}"]
