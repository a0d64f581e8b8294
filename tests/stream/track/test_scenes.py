"""What the tracker makes of random scenes stays the same to the last bit; and each rare path is among them."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from stream.track.tracker import PairTracker
from tests.stream.track.scenes import GOLDEN, NUM_SCENES, OBJECT_NAMES, Scene, outcome


@pytest.mark.parametrize("first", range(0, NUM_SCENES, 40))
def test_random_scenes_give_the_recorded_transitions_and_snapshots(first: int) -> None:
    recorded = json.loads(GOLDEN.read_text())
    changed = [seed for seed in range(first, first + 40) if outcome(seed) != recorded[seed]]
    assert not changed, "if this is meant, record anew: python -m tests.stream.track.scenes"


def test_the_random_scenes_end_interactions_for_every_reason_there_is() -> None:
    reasons: Counter[str] = Counter()
    for seed in range(60):
        scene = Scene(seed)
        tracker = PairTracker(scene.names, object_names=OBJECT_NAMES, settings=scene.settings)
        steps = [s for f in scene.frames() for s in tracker.update(f.t_s, f.detections, f.corrupt, f.cut)]
        reasons.update(step.reason for step in steps)
        reasons["cut, found by the tracker"] += sum("replaced at once" in step.why for step in steps)
    assert set(reasons) == {
        "score", "interval", "lost", "cut", "clock", "stationary", "max_duration", "cut, found by the tracker",
    }  # fmt: skip
    assert min(reasons.values()) >= 20
