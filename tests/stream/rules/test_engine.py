from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.events.schema import AlertEvent, Event, SourceStateEvent
from stream.rules.engine import RulesEngine
from stream.rules.language import RulesFile
from tests.stream.rules.support import EPOCH, Scene, rules_of
from tests.stream.rules.test_operators import scenes

HANDOVER = {
    "name": "handover",
    "sequence": {"steps": [{"verb": "carry"}, {"verb": "hold"}], "within_s": 30, "same": "any"},
}
EVERY = rules_of(
    {"lasts": {"what": {"verb": "take"}, "for_s": 1}, "cooldown_s": 2},
    {"sequence": {"steps": [{"verb": "take"}, {"verb": "pay"}], "within_s": 3, "same": "camera"}},
    {"absence": {"after": {"verb": "pay"}, "missing": {"line": "exit"}, "within_s": 2}},
    {"count": {"what": {"verb": "take"}, "at_least": 2, "within_s": 3}},
    HANDOVER | {"sequence": {"steps": [{"verb": "pay"}, {"verb": "take"}], "within_s": 3, "same": "any"}},
)


def run(rules: RulesFile, events: list[Event], **options: Any) -> list[AlertEvent]:
    engine = RulesEngine(rules, **options)
    return [alert for event in events for alert in engine.take(event)] + engine.finish()


def two_cameras() -> tuple[Scene, Scene]:
    gate, dock = Scene("gate", "run 1", live=True), Scene("dock", "run 2", live=True)
    gate.say(0.0, "started", "carry box")
    dock.say(1.0, "started", "hold box")
    gate.say(9.0, "ended", "carry box")
    return gate, dock


def test_events_of_slower_cameras_are_put_in_order() -> None:
    gate, dock = two_cameras()
    for events in ([*gate.events[:1], *dock.events, gate.events[1]], [*dock.events, *gate.events]):
        (alert,) = run(rules_of(HANDOVER), events)
        assert alert.event_ids == (gate.events[0].event_id, dock.events[0].event_id)
        assert (alert.sources, alert.source_id) == (("gate", "dock"), "dock")
    engine = RulesEngine(rules_of(HANDOVER), lateness_s=0.5)
    dock.say(3.0, "updated", "hold box")
    for event in (*dock.events, *gate.events):
        assert engine.take(event) == []  # the box was carried after it was held, as far as one could wait
    assert engine.late == 1


def test_rules_of_one_camera_speak_at_once_and_timers_by_the_clock() -> None:
    rules = rules_of({"lasts": {"what": {"verb": "carry"}, "for_s": 5}})
    gate, _ = two_cameras()
    engine = RulesEngine(rules, lateness_s=2.0)
    assert engine.take(gate.events[0]) == []
    start_s = EPOCH.timestamp()
    assert engine.advance(start_s + 6.9) == []
    (alert,) = engine.advance(start_s + 7.0)
    assert (alert.media_time_s, alert.capture_time.timestamp() - start_s) == (5.0, 5.0)
    assert engine.take(gate.events[1]) == engine.advance(start_s + 60) == []
    assert run(rules, gate.events) == [alert]  # the stored past says the same


def test_repeated_events_and_alerts_are_passed_over() -> None:
    rules, scene = rules_of({"count": {"what": {"verb": "take"}, "at_least": 2, "within_s": 60}}), Scene()
    scene.say(0.0, "started", "take box")
    scene.say(1.0, "started", "take cup")
    (alert,) = run(rules, scene.events)
    assert run(rules, [scene.events[0], *scene.events, alert, *scene.events]) == [alert]


def test_an_alerts_id_depends_on_the_rule_and_its_events_alone() -> None:
    scene = Scene()
    for t in range(6):
        scene.say(float(t), "started", "take box", life=f"{t}")
    rule = {"count": {"what": {"verb": "take"}, "at_least": 2, "within_s": 60}}
    plain = run(rules_of(rule), scene.events)
    unrelated = {"name": "other", "lasts": {"what": {"verb": "open"}, "for_s": 1}}
    beside = run(rules_of(rule, unrelated), scene.events)
    other = run(rules_of(rule | {"severity": "critical"}), scene.events)
    assert len({alert.event_id for alert in (*plain, *other)}) == 6
    assert [alert.seq for alert in plain] == [1, 2, 3]
    assert len({alert.run_id for alert in plain}) == 1 and plain[0].run_id != "run"
    assert [alert.event_id for alert in beside] == [alert.event_id for alert in plain]


def test_cooldown_is_by_camera_and_counts_what_it_keeps_silent() -> None:
    rules = rules_of({"lasts": {"what": {"verb": "take"}, "for_s": 1}, "cooldown_s": 10})
    events: list[Event] = []
    for camera in ("gate", "dock"):
        scene = Scene(camera, camera, live=True)
        for t in (0.0, 5.0, 9.9, 10.0, 25.0):
            scene.say(t, "started", "take box", life=f"{t}")
        scene.say(60.0, "ended", "take box", life="25.0")
        events += scene.events
    engine = RulesEngine(rules)
    alerts = [alert for event in events for alert in engine.take(event)]
    assert [(a.source_id, a.media_time_s) for a in alerts] == [
        ("gate", 1.0), ("gate", 11.0), ("gate", 26.0), ("dock", 1.0), ("dock", 11.0), ("dock", 26.0),
    ]  # fmt: skip
    assert engine.quiet == {"rule 0": 4}


@pytest.mark.parametrize(
    ("schedule", "zone", "hours", "expected"),
    [  # EPOCH is Monday noon, UTC
        ({"from": "12:00", "to": "13:00"}, "UTC", [0.0, 0.9, 1.0], [0.0, 0.9]),
        ({"from": "13:00", "to": "14:00"}, "Europe/Berlin", [0.0, 0.9, 1.0], [0.0, 0.9]),
        ({"days": ["tue"]}, "UTC", [0.0, 11.9, 12.0, 35.9, 36.0], [12.0, 35.9]),
        ({"days": ["mon"], "from": "22:00", "to": "06:00"}, "UTC", [1.0, 10.0, 17.9, 18.0, 34.0], [10.0, 17.9]),
        ({"days": ["mon"], "from": "18:00"}, "UTC", [5.9, 6.0, 11.9, 12.0], [6.0, 11.9]),
        ({"days": ["mon"], "from": "13:00", "to": "13:00"}, "UTC", [0.5, 1.0, 24.9, 25.0], [1.0, 24.9]),
    ],
)
def test_schedules(schedule: dict[str, Any], zone: str, hours: list[float], expected: list[float]) -> None:
    rule = {"count": {"what": {"verb": "take"}, "at_least": 2, "within_s": 1}, "schedule": schedule}
    scene = Scene(live=True)
    for hour in hours:
        scene.say(hour * 3600, "started", "take box", life=f"a {hour}")
        scene.say(hour * 3600, "started", "take box", life=f"b {hour}")
    alerts = run(rules_of(rule, timezone=zone), scene.events)
    assert [round(alert.media_time_s / 3600, 3) for alert in alerts] == expected


def test_a_recording_has_no_clock_for_schedules_and_is_a_world_of_its_own() -> None:
    first, second = Scene("one", "run 1"), Scene("two", "run 2")
    first.say(0.0, "started", "carry box")
    second.say(1.0, "started", "hold box")
    assert run(rules_of(HANDOVER), [*first.events, *second.events]) == []
    second.say(2.0, "started", "carry box", life="x")
    second.say(3.0, "started", "hold box", life="y")
    assert len(run(rules_of(HANDOVER), [*first.events, *second.events])) == 1
    assert run(rules_of(HANDOVER | {"schedule": {}}), second.events) == []


def test_a_camera_that_is_lost_gives_up_waiting_for_an_absence() -> None:
    rules = rules_of({"absence": {"after": {"verb": "ride"}, "missing": {"verb": "wear"}, "within_s": 5}})
    scene = Scene(live=True)
    scene.say(0.0, "started", "ride bike")
    lost = SourceStateEvent(
        event_id="x", run_id="run", source_id="cam", seq=2, media_time_s=1.0, capture_time=EPOCH, state="lost"
    )
    engine = RulesEngine(rules)
    assert engine.take(scene.events[0]) == engine.take(lost) == engine.advance(EPOCH.timestamp() + 60) == []
    assert len(run(rules, scene.events)) == 0
    engine = RulesEngine(rules)
    engine.take(scene.events[0])
    assert len(engine.advance(EPOCH.timestamp() + 60)) == 1


@settings(max_examples=150, deadline=None)
@given(scenes(live=True), st.integers(0, 16), st.randoms(use_true_random=False))
def test_memory_survives_json_at_any_moment(scene: Scene, cut: int, chance: random.Random) -> None:
    """Stopped after any event, with some of the events before it fed once more."""
    whole = run(EVERY, scene.events)
    engine = RulesEngine(EVERY)
    alerts = [alert for event in scene.events[:cut] for alert in engine.take(event)]
    resumed = RulesEngine(EVERY)
    resumed.restore(json.loads(json.dumps(engine.record())))
    again = chance.sample(scene.events[:cut], k=min(cut, len(scene.events)) // 2) if cut <= len(scene.events) else []
    alerts += [alert for event in (*again, *scene.events[cut:]) for alert in resumed.take(event)]
    assert alerts + resumed.finish() == whole


@settings(max_examples=150, deadline=None)
@given(scenes(live=True), st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=16, max_size=16))
def test_clocks_that_let_time_pass_change_no_alert(scene: Scene, delays: list[float]) -> None:
    """Live, the clock runs on between events, which come up to a second after they were."""
    engine, alerts = RulesEngine(EVERY), []
    wall_s = EPOCH.timestamp()
    for event, delay_s in zip(scene.events, delays, strict=False):
        wall_s = max(wall_s, event.capture_time.timestamp() + delay_s)
        alerts += engine.advance(wall_s)
        alerts += engine.take(event)
    alerts += engine.advance(wall_s + 100)
    replayed = RulesEngine(EVERY)
    expected = [alert for event in scene.events for alert in replayed.take(event)] + replayed.finish(wall_s + 98)
    assert {a.event_id for a in alerts} == {a.event_id for a in expected}
    assert {(a.event_id, a.media_time_s) for a in alerts} == {(a.event_id, a.media_time_s) for a in expected}
    assert engine.late == 0
