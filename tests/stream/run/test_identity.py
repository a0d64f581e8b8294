from __future__ import annotations

from dataclasses import fields, replace

import pytest

from hoiclip.types import Canvas
from stream.run.identity import RunIdentity, live_run_id
from stream.track.settings import TrackerSettings
from stream.zones.layout import Layout

IDENTITY = RunIdentity(
    content="c", model="m", vocabulary="v", enhancement=False, engine="torch-cpu-fp32", canvases=(Canvas(64, 112),),
    target_fps=8.0, max_still_s=0.0, min_pair_score=0.2,
    tracker=TrackerSettings(thresholds={"a": (0.5, 0.3), "b": (0.6, 0.4)}),
    layout=Layout(), training_features=None, release="1",
)  # fmt: skip
OTHER = {
    "content": "other", "model": "other", "vocabulary": "other", "enhancement": True, "engine": "torch-cpu-bf16",
    "canvases": (Canvas(64, 112), Canvas(112, 64)), "target_fps": None, "max_still_s": 2.0, "min_pair_score": 0.3,
    "tracker": TrackerSettings(), "layout": Layout(masks=(((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)),)),
    "training_features": "f", "release": "2",
}  # fmt: skip


@pytest.mark.parametrize("name", [item.name for item in fields(RunIdentity)])
def test_whatever_decides_events_decides_the_id(name: str) -> None:
    assert replace(IDENTITY, **{name: OTHER[name]}).run_id != IDENTITY.run_id


@pytest.mark.parametrize("name", [item.name for item in fields(TrackerSettings)])
def test_every_setting_of_the_tracker_decides_the_id(name: str) -> None:
    values = {"thresholds": {"a": (0.5, 0.2)}, "leave_score": 0.1, "enter_score": 0.9}
    tracker = replace(IDENTITY.tracker, **{name: values.get(name, 7.0 if name.endswith("_s") else 0.4)})
    assert replace(IDENTITY, tracker=tracker).run_id != IDENTITY.run_id


def test_equal_work_has_an_equal_id_however_it_was_written() -> None:
    again = replace(
        IDENTITY,
        target_fps=8,
        tracker=TrackerSettings(gap_s=2, thresholds={"b": (0.6, 0.4), "a": (0.5, 0.3)}),
    )
    assert again.run_id == IDENTITY.run_id
    assert len(IDENTITY.run_id) == 20


def test_two_runs_over_a_camera_never_share_an_id() -> None:
    assert live_run_id() != live_run_id()
