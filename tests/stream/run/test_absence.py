"""A camera that goes away: what is told, and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stream.events.schema import CoverageGapEvent, Event, InteractionEvent, SourceStateEvent
from stream.ingest.source_state import SourceMessage
from stream.run.absence import GRACE_S, Absences
from stream.run.config import RunConfig
from stream.run.deployment import Deployment


class Told:
    """A sink that keeps events with the time at which they came."""

    def __init__(self) -> None:
        self.events: list[tuple[float, Event]] = []
        self._changed = threading.Condition()

    def write(self, event: Event) -> None:
        with self._changed:
            self.events.append((time.monotonic(), event))
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing to close."""

    def first(self, wanted: Callable[[Any], bool], timeout_s: float = 20.0) -> tuple[float, Any]:
        """Wait for the first event that is `wanted`; return when it came, and it."""

        def found() -> tuple[float, Any] | None:
            return next((item for item in self.events if wanted(item[1])), None)

        with self._changed:
            assert self._changed.wait_for(lambda: found() is not None, timeout_s), [e.type for _, e in self.events]
            item = found()
        assert item is not None
        return item


@pytest.fixture
def watched(tiny_model_path: Path) -> Any:
    """Run a deployment over one live source in a thread: `watched(url)` returns what it tells."""
    stop, threads = threading.Event(), []

    def watch(url: str, **tracker: float) -> Told:
        told = Told()
        settings = RunConfig.model_validate(
            {
                "model": str(tiny_model_path),
                "engine": {"kind": "null"},
                "sinks": [],
                "tracker": {"enter_score": 0.1, "min_duration_s": 0.1, "min_pair_score": 0.05, **tracker},
                "sources": [{"id": "gate", "url": url, "kind": "live", "target_fps": 10, "timeout_s": 1.0}],
            }
        )

        def work() -> None:
            with Deployment(settings, own_sinks=[told]) as deployment:
                deployment.run(stop)

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        return told

    yield watch
    stop.set()
    for thread in threads:
        thread.join(20)


def is_state(name: str) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, SourceStateEvent) and event.state == name


def test_a_camera_that_dies_and_comes_back_is_told_as_it_happens(watched: Any, make_camera: Callable[..., Any]) -> None:
    camera = make_camera(seconds=30.0)
    camera.start()
    told = watched(camera.url)
    told.first(lambda event: event.type == "started")
    camera.kill()
    killed_s = time.monotonic()
    lost_s, lost = told.first(is_state("lost"))
    ended_s, ended = told.first(lambda event: event.type == "ended" and event.reason == "lost")
    assert lost_s - killed_s < 3.0
    assert 1.8 <= ended_s - killed_s < 6.0  # gap_s is 2 s
    gap_s, gap = told.first(lambda event: isinstance(event, CoverageGapEvent) and event.open)
    assert 4.5 < gap_s - killed_s < 8.0
    camera.start()
    whole_s, whole = told.first(lambda event: isinstance(event, CoverageGapEvent) and not event.open)
    told.first(lambda event: event.type == "started" and event.seq > whole.seq)
    events = [event for _, event in told.events]

    states = [event.state for event in events if isinstance(event, SourceStateEvent)]
    assert states[:3] == ["connecting", "up", "lost"]
    assert states[-1] == "up"
    assert lost.reason in ("end_of_stream", "refused")
    assert lost.why
    assert (gap.from_media_s, gap.reason) == (whole.from_media_s, whole.reason)
    assert whole.to_media_s > gap.to_media_s
    assert whole.blind_s == pytest.approx(whole_s - killed_s, abs=2.0)
    assert ended.media_time_s == pytest.approx(gap.from_media_s + 2.0, abs=0.2)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    interactions = [event for event in events if isinstance(event, InteractionEvent)]
    before = [event for event in interactions if event.seq < whole.seq]
    assert sum(e.type == "started" for e in before) == sum(e.type == "ended" for e in before)


def test_a_camera_that_is_silent_for_less_than_the_gap_ends_nothing(
    watched: Any, make_camera: Callable[..., Any]
) -> None:
    camera = make_camera(seconds=30.0)
    camera.start()
    told = watched(camera.url, gap_s=30.0)
    told.first(lambda event: event.type == "started")
    camera.freeze()
    told.first(is_state("lost"))
    camera.kill()
    camera.start()
    told.first(lambda event: is_state("up")(event) and event.seq > 5)
    told.first(lambda event: isinstance(event, CoverageGapEvent) and not event.open)
    assert not [event for _, event in told.events if event.type == "ended"]


def message(kind: Any) -> SourceMessage:
    return SourceMessage("gate", kind, 0.0)


def test_an_absence_is_over_once_when_the_gap_has_passed_on_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    tracker = SimpleNamespace(settings=SimpleNamespace(gap_s=2.0))
    run: Any = SimpleNamespace(source_id="gate", seen_at_s=99.0, tracker=tracker)
    absences = Absences()
    absences.note(message("lost"), run)
    now_s = 101.0 + GRACE_S - 0.01
    assert absences.over() == []
    now_s = 101.0 + GRACE_S
    assert absences.over() == ["gate"]
    assert absences.over() == []
    absences.note(message("lost"), run)  # for another reason
    assert absences.over() == []
    absences.note(message("opened"), run)
    absences.note(message("lost"), run)  # it had no frame
    assert absences.over() == ["gate"]


@pytest.mark.parametrize("kind", ["opened", "resumed", "removed"])
def test_a_source_that_is_back_or_over_is_not_absent(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = SimpleNamespace(settings=SimpleNamespace(gap_s=0.0))
    run: Any = SimpleNamespace(source_id="gate", seen_at_s=0.0, tracker=tracker)
    absences = Absences()
    absences.note(message("blind"), run)
    absences.note(message(kind), run)
    assert absences.over() == []
