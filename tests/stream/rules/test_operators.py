"""Golden cases for every operator, and all of them against the slow oracle."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.events.schema import AlertEvent, Event
from stream.rules.engine import RulesEngine
from stream.rules.language import RulesFile
from tests.stream.rules import oracle
from tests.stream.rules.support import Scene, rules_of


def alerts_of(rules: RulesFile, events: list[Event]) -> list[AlertEvent]:
    engine = RulesEngine(rules)
    return [alert for event in events for alert in engine.take(event)] + engine.finish()


def times(rule: dict[str, Any], scene: Scene) -> list[float]:
    return [alert.media_time_s for alert in alerts_of(rules_of(rule), scene.events)]


def hold(scene: Scene, begin: float, end: float, name: str = "hold phone", human: int = 1, **fields: Any) -> None:
    scene.say(begin, "started", name, human=human, **fields)
    scene.say(end, "ended", name, human=human, **fields)


def follow(*steps: tuple[float, str, int]) -> Scene:
    """Each step begins an interaction of a human and ends it 0.1 s later."""
    scene = Scene()
    for t, name, human in steps:
        hold(scene, t, t + 0.1, name, human, life=f"{name} {human} {t}")
    scene.say(1000.0, "started", "end scene", human=99)
    return scene


LASTS = {"lasts": {"what": {"interaction": "hold phone"}, "for_s": 10}}


@pytest.mark.parametrize(("end", "expected"), [(9.9, []), (10.0, [10.0]), (30.0, [10.0])])
def test_lasts_tells_once_at_its_time_what_has_gone_on_for_so_long(end: float, expected: list[float]) -> None:
    scene = Scene()
    hold(scene, 0.0, end)
    assert times(LASTS, scene) == expected


def test_lasts_counts_from_the_first_evidence_of_a_started_event() -> None:
    scene = Scene()
    scene.say(5.0, "started", "hold phone", duration_s=1.5)
    scene.say(60.0, "started", "hold cup")
    assert times(LASTS, scene) == [13.5]


def test_lasts_in_a_zone_counts_from_coming_in_and_begins_anew_after_leaving() -> None:
    rule = {"lasts": {"what": {"verb": "hold", "zone": ["door", "gate"]}, "for_s": 10}}
    scene = Scene()
    scene.say(0.0, "started", "hold phone")
    for t, zones in (
        (5.0, ("door",)),
        (9.0, ("door", "yard")),
        (14.0, ("yard",)),
        (20.0, ("gate",)),
        (29.0, ("door",)),
    ):
        scene.say(t, "updated", "hold phone", zones=zones)
    scene.say(31.0, "ended", "hold phone", zones=("door",))
    assert times(rule, scene) == [30.0]
    late = Scene()
    late.say(20.0, "started", "hold phone", zones=("door",), duration_s=15.0, dwell_s={"door": 12.0})
    assert times(rule, late) == [20.0]  # it was there for longer before anybody knew: told at once


SEQUENCE = {"sequence": {"steps": [{"verb": "take"}, {"verb": "leave"}], "within_s": 10, "without": {"verb": "pay"}}}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(1.0, "take box", 1), (11.0, "leave shop", 1)], [11.0]),
        ([(1.0, "take box", 1), (11.1, "leave shop", 1)], []),
        ([(1.0, "leave shop", 1), (2.0, "take box", 1)], []),
        ([(1.0, "take box", 1), (2.0, "leave shop", 2)], []),
        ([(1.0, "take box", 1), (2.0, "pay till", 1), (3.0, "leave shop", 1)], []),
        ([(1.0, "take box", 1), (2.0, "pay till", 2), (3.0, "leave shop", 1)], [3.0]),
        ([(1.0, "take box", 1), (2.0, "leave shop", 1), (3.0, "leave shop", 1)], [2.0]),  # used up
        ([(1.0, "take box", 1), (2.0, "pay till", 1), (3.0, "take cup", 1), (4.0, "leave shop", 1)], [4.0]),
    ],
)
def test_sequence(steps: list[tuple[float, str, int]], expected: list[float]) -> None:
    assert times(SEQUENCE, follow(*steps)) == expected


def test_a_sequence_takes_the_latest_first_step_and_says_what_it_came_from() -> None:
    scene = follow((1.0, "take box", 1), (2.0, "take cup", 1), (3.0, "leave shop", 1))
    (alert,) = alerts_of(rules_of(SEQUENCE), scene.events)
    assert alert.event_ids == (scene.events[2].event_id, scene.events[4].event_id)
    assert (alert.interactions, alert.human_ids, alert.reason) == (("take cup", "leave shop"), (1,), "sequence")
    assert alert.why == "take cup, then leave shop within 1.0 s without pay"


def test_one_event_is_one_step_of_a_sequence() -> None:
    steps = [{"verb": "take"}, {"verb": "shake"}, {"verb": "shake"}, {"verb": "leave"}]
    rule = {"sequence": {"steps": steps, "within_s": 60}}
    once = [(1.0, "take box", 1), (2.0, "shake box", 1), (4.0, "leave shop", 1)]
    assert times(rule, follow(*once)) == []
    assert times(rule, follow(*once[:2], (3.0, "shake box", 1), once[2])) == [4.0]


def test_a_sequence_may_end_with_a_crossing_and_begin_with_an_end() -> None:
    rule = {
        "sequence": {
            "steps": [{"verb": "hold", "on": "ends"}, {"line": "exit", "direction": "out"}],
            "within_s": 5,
            "same": "camera",
        }
    }
    scene = Scene()
    scene.say(0.0, "started", "hold bag", human=1)
    scene.cross(1.0, "wear hat", "exit", "out", human=2)
    scene.say(2.0, "ended", "hold bag", human=1)
    scene.cross(3.0, "wear hat", "exit", "in", human=2)
    scene.cross(4.0, "wear hat", "exit", "out", human=2)
    assert times(rule, scene) == [4.0]


ABSENCE = {"absence": {"after": {"verb": "ride"}, "missing": {"verb": "wear"}, "within_s": 5}}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(1.0, "ride bike", 1)], [6.0]),
        ([(1.0, "ride bike", 1), (6.0, "wear helmet", 1)], []),
        ([(1.0, "ride bike", 1), (6.1, "wear helmet", 1)], [6.0]),
        ([(1.0, "ride bike", 1), (2.0, "wear helmet", 2)], [6.0]),
        ([(0.5, "wear helmet", 1), (1.0, "ride bike", 1)], [6.0]),  # it was over before
    ],
)
def test_absence(steps: list[tuple[float, str, int]], expected: list[float]) -> None:
    assert times(ABSENCE, follow(*steps)) == expected


def test_what_goes_on_already_is_not_missing() -> None:
    scene = Scene()
    scene.say(0.0, "started", "wear helmet")
    scene.say(1.0, "started", "ride bike")
    scene.say(30.0, "ended", "ride bike")
    assert times(ABSENCE, scene) == []


def test_what_a_blind_camera_did_not_see_proves_no_absence_and_a_blink_does_not_matter() -> None:
    for blind_s, expected in ((0.4, [6.0]), (1.5, [])):
        scene = Scene()
        scene.say(1.0, "started", "ride bike")
        scene.blind(2.0, 2.0 + blind_s)
        scene.say(30.0, "ended", "ride bike")
        assert times(ABSENCE, scene) == expected


def test_nothing_is_missing_when_a_recording_ends_before_the_time_is_over() -> None:
    scene = Scene()
    hold(scene, 0.0, 4.9, "ride bike")
    assert times(ABSENCE, scene) == []


def test_count_needs_so_many_within_the_time_and_uses_them_up() -> None:
    rule = {"count": {"what": {"verb": "open"}, "at_least": 3, "within_s": 10}}
    steps = [(t, "open door", human) for human, t in enumerate((0.0, 8.0, 10.0, 11.0, 12.0, 12.5, 40.0, 45.0, 50.1))]
    assert times(rule, follow(*steps)) == [10.0, 12.5]
    assert times({"count": rule["count"] | {"per": "human"}}, follow(*steps)) == []


def test_a_score_that_never_was_high_is_not_meant() -> None:
    rule = {"lasts": {"what": {"verb": "hold", "min_score": 0.8}, "for_s": 5}}
    scene = Scene()
    scene.say(0.0, "started", "hold phone")
    scene.say(2.0, "updated", "hold phone", peak_score=0.9)
    scene.say(20.0, "ended", "hold phone", peak_score=0.9)
    assert times(rule, scene) == [7.0]


# Against the oracle

NAMES = ("take box", "pay till", "take cup")
ZONES = ("a", "b")
conditions = st.fixed_dictionaries(
    {"interaction": st.sampled_from([*NAMES, (NAMES[0], NAMES[2])])},
    optional={"zone": st.sampled_from(["a", ["a", "b"]]), "min_score": st.just(0.6)},
)
crossings = st.fixed_dictionaries({"line": st.just("exit")}, optional={"direction": st.sampled_from(["in", "out"])})
endings = conditions.map(lambda condition: condition | {"on": "ends"})
plain = st.sampled_from(NAMES).map(lambda name: {"interaction": name})
moments = st.one_of(plain, plain, conditions, crossings, endings)
seconds = st.sampled_from([1.0, 2.0, 3.5])
scopes = st.sampled_from(["human", "object", "pair", "camera", "any"])
OPERATORS = {
    "lasts": st.fixed_dictionaries({"what": conditions, "for_s": seconds}),
    "sequence": st.fixed_dictionaries(
        {"steps": st.lists(moments, min_size=2, max_size=3), "within_s": seconds, "same": scopes},
        optional={"without": moments},
    ),
    "absence": st.fixed_dictionaries({"after": moments, "missing": moments, "within_s": seconds, "same": scopes}),
    "count": st.fixed_dictionaries(
        {"what": moments, "at_least": st.sampled_from([2, 3]), "within_s": seconds, "per": scopes}
    ),
}


@st.composite
def scenes(draw: st.DrawFn, *, live: bool = False) -> Scene:
    """Interactions of two humans that begin, move between zones, end and begin again, at times that often are equal."""
    scene, open_lives, t = Scene(live=live), {}, 0.0
    for number in range(draw(st.integers(4, 16))):
        t += draw(st.sampled_from([0.0, 0.5, 0.5, 1.0]))
        human, name = draw(st.sampled_from([1, 1, 2])), draw(st.sampled_from(NAMES))
        fields = {
            "zones": draw(st.sampled_from([(), ("a",), ("b",), ("a", "b")])),
            "peak_score": draw(st.sampled_from([0.5, 0.7])),
        }
        kind = draw(st.sampled_from(["step", "end", "end", "cross"]))
        if kind == "cross":
            scene.cross(
                t, name, draw(st.sampled_from(["exit", "door"])), draw(st.sampled_from(["in", "out"])), human=human
            )
        elif (human, name) not in open_lives:
            life = open_lives[human, name] = f"life {number}"
            fields |= {
                "duration_s": draw(st.sampled_from([0.0, 0.5])),
                "dwell_s": {"a": draw(st.sampled_from([0.0, 0.25]))},
            }
            scene.say(t, "started", name, human=human, life=life, **fields)
        elif kind == "end":
            scene.say(t, "ended", name, human=human, life=open_lives.pop((human, name)), **fields)
        else:
            scene.say(t, "updated", name, human=human, life=open_lives[human, name], **fields)
    return scene


@pytest.mark.parametrize("operator", OPERATORS)
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), scene=scenes())
def test_every_operator_says_what_the_oracle_says(operator: str, data: st.DataObject, scene: Scene) -> None:
    file = rules_of({operator: data.draw(OPERATORS[operator])})
    found = [(alert.media_time_s, alert.event_ids) for alert in alerts_of(file, scene.events)]
    assert [time_s for time_s, _ in found] == sorted(time_s for time_s, _ in found)
    end_s = scene.events[-1].media_time_s
    expected = oracle.matches(file.rules[0], scene.events, end_s)
    if operator == "absence":  # at the very end an event of that time may still come
        expected = [match for match in expected if match[0] < end_s]
    assert sorted(found) == expected
