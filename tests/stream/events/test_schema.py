from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from stream.commands.support.moments import parse_moment
from stream.events.asyncapi import documents
from stream.events.lines import event_line
from stream.events.schema import (
    CLOCK_FIELDS,
    CoverageGapEvent,
    Event,
    EventNumbers,
    EventsLostEvent,
    InteractionEvent,
    LineCrossedEvent,
    SourceStateEvent,
    UnknownEventTypeError,
    comparable,
    event_json_schema,
    parse_event,
)

MakeEvents = Callable[..., list[Event]]
REPOSITORY = Path(__file__).resolve().parents[3]
FROZEN = Path(__file__).with_name("frozen")
NOON = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)


def gap(**fields: object) -> CoverageGapEvent:
    values = {"media_time_s": 9.0, "from_media_s": 4.0, "to_media_s": 9.0, "blind_s": 5.0, "reason": "stalled"}
    return CoverageGapEvent(**EventNumbers("run", "cam").next(), **(values | fields))


def state() -> SourceStateEvent:
    return SourceStateEvent(**EventNumbers("run", "cam").next(), media_time_s=0.0, state="lost", reason="stalled")


def lost() -> EventsLostEvent:
    return EventsLostEvent(
        **EventNumbers("run", "(publisher)").next(), media_time_s=0.0, count=7, where="spool", reason="damaged"
    )


def test_every_kind_of_event_survives_json(make_events: MakeEvents) -> None:
    (started,) = make_events(1, capture_time=NOON, zones=("door", "yard"), dwell_s={"door": 1.25})
    crossed = LineCrossedEvent(
        **dict(started) | {"type": "line_crossed", "line": "gate", "direction": "in", "count": 2}
    )
    for event in (started, crossed, gap(from_time=NOON), state(), lost()):
        assert parse_event(event.model_dump_json()) == event


def test_another_major_version_and_impossible_values_are_refused(make_events: MakeEvents) -> None:
    document = make_events(1)[0].model_dump(mode="json")
    for change in ({"schema_version": 2}, {"schema_version": 2, "type": "hologram"}, {"score": 1.5}, {"seq": 0}):
        with pytest.raises(ValidationError):
            parse_event(json.dumps(document | change))
    for data in ("{}", '{"type": "hologram"}', "[]", "not json", ""):
        with pytest.raises(ValidationError):
            parse_event(data)


def test_this_reader_takes_what_a_newer_minor_version_adds(make_events: MakeEvents) -> None:
    """Fields are left out, codes are taken as they are, and kinds of events are named so that they can be passed."""
    for event in (*make_events(1), gap(), state(), lost()):
        document = event.model_dump(mode="json")
        newer = document | {"weather": "rain", "sounds": {"door": 0.4}}
        assert parse_event(json.dumps(newer)) == event
        with pytest.raises(UnknownEventTypeError, match="hologram"):
            parse_event(json.dumps(newer | {"type": "hologram"}))
    assert parse_event(json.dumps(state().model_dump(mode="json") | {"state": "paused"})).state == "paused"  # type: ignore[union-attr]


def test_a_newer_reader_takes_the_events_of_version_1_0() -> None:
    """The frozen lines were written by version 1.0 and never change: a field added later must have a default."""
    lines = (FROZEN / "events-1.0.jsonl").read_text(encoding="utf-8").splitlines()
    assert {parse_event(line).type for line in lines} == {
        "started",
        "ended",
        "coverage_gap",
        "source_state",
        "events_lost",
    }
    for line in lines:
        assert json.loads(line).items() <= parse_event(line).model_dump(mode="json").items()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_the_schema_has_only_grown(version: str) -> None:
    """Every field of an earlier minor version is still there, with its type and meaning, and still always published."""
    frozen = json.loads((FROZEN / f"event-{version}.schema.json").read_text(encoding="utf-8"))["$defs"]
    current = event_json_schema()["$defs"]
    for name, old in frozen.items():
        for field, definition in old["properties"].items():
            assert current[name]["properties"][field] == definition, f"{name}.{field} changed: a new major version"
        assert set(old["required"]) <= set(current[name]["required"])


def test_nothing_in_the_schema_forbids_growth() -> None:
    for definition in event_json_schema()["$defs"].values():
        assert definition.get("additionalProperties", True) is True


def test_ids_refuse_control_characters_that_would_break_the_spool(make_events: MakeEvents) -> None:
    with pytest.raises(ValidationError):
        make_events(1, source_id="cam\x1f1")


def test_boxes_scores_and_times_are_rounded(make_events: MakeEvents) -> None:
    (event,) = make_events(
        1, score=0.123456, human_box_xyxy_px=(1.04, 2.06, 3.0, 4.0), media_time_s=1.23456, duration_s=0.00049
    )
    assert isinstance(event, InteractionEvent)
    assert event.score == 0.1235
    assert event.human_box_xyxy_px == (1.0, 2.1, 3.0, 4.0)
    assert event.media_time_s == 1.235
    assert event.duration_s == 0.0


def test_comparable_drops_wall_clocks_and_nothing_else(make_events: MakeEvents) -> None:
    for event in (*make_events(1), gap()):
        fields = set(type(event).model_fields)
        assert set(comparable(event)) == fields - CLOCK_FIELDS
    early, late = make_events(1, capture_time=NOON)[0], make_events(1, capture_time=NOON + timedelta(days=1))[0]
    assert early != late
    assert comparable(early) == comparable(late)


def test_equal_runs_give_equal_ids_and_others_do_not() -> None:
    first, again, other = EventNumbers("r", "cam"), EventNumbers("r", "cam"), EventNumbers("r", "cam2")
    ids = [first.next()["event_id"] for _ in range(3)]
    assert ids == [again.next()["event_id"] for _ in range(3)]
    assert len({*ids, *(other.next()["event_id"] for _ in range(3))}) == 6
    assert first.interaction_id(1, "ride bicycle", 2.0) == again.interaction_id(1, "ride bicycle", 2.0)
    assert first.interaction_id(1, "ride bicycle", 2.0) != first.interaction_id(1, "ride bicycle", 7.0)
    assert first.interaction_id(1, "ride bicycle", 2.0) != other.interaction_id(1, "ride bicycle", 2.0)


def test_ids_tell_where_one_part_ends_and_the_next_begins() -> None:
    def event_id(run_id: str, source_id: str, seq: int) -> str:
        numbers = EventNumbers(run_id, source_id)
        return [numbers.next()["event_id"] for _ in range(seq)][-1]

    assert event_id("run", "cam1", 1) != event_id("run", "cam", 11)
    assert event_id("run", "1cam", 1) != event_id("run1", "cam", 1)


def test_the_json_schema_describes_every_field_of_every_event(make_events: MakeEvents) -> None:
    definitions = event_json_schema()["$defs"]
    for event in (*make_events(1), gap(), state(), lost()):
        definition = definitions[type(event).__name__]
        assert set(definition["required"]) == set(event.model_dump(mode="json"))
        own = [n for n in definition["properties"] if n not in ("schema_version", "type")]
        assert all("description" in definition["properties"][name] for name in own)


def test_the_committed_documents_are_current() -> None:
    for name, text in documents().items():
        committed = (REPOSITORY / "docs/schema" / name).read_text(encoding="utf-8")
        assert committed == text, f"run `hoistream schema --out docs/schema` and commit {name}"


def test_every_reference_in_the_asyncapi_document_resolves() -> None:
    document = yaml.safe_load(documents()["asyncapi.yaml"])

    def references(node: object) -> list[str]:
        if isinstance(node, dict):
            inner = [r for value in node.values() for r in references(value)]
            return [*inner, node["$ref"]] if isinstance(node.get("$ref"), str) else inner
        return [r for value in node for r in references(value)] if isinstance(node, list) else []

    found = references(document)
    assert len(found) >= 7
    for reference in found:
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_a_subscriber_imports_neither_torch_nor_the_model() -> None:
    heavy = ("torch", "numpy", "av", "hoiclip.types")
    code = f"import sys, stream.subscribe.client; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "[]"


def test_moments_are_read_as_people_type_them() -> None:
    assert parse_moment("new") == "new"
    assert parse_moment("1.5h") == timedelta(minutes=90)
    assert parse_moment("2026-11-23T12:00:00.250+00:00") == NOON
    assert parse_moment("1795435200") == datetime.fromtimestamp(1795435200, UTC)
    with pytest.raises(ValueError, match="10m"):
        parse_moment("yesterday")


def test_a_line_tells_who_did_what_and_why(make_events: MakeEvents) -> None:
    (event,) = make_events(1, type="ended", duration_s=4.0, media_time_s=75.0)
    line = event_line(event)
    for part in ("1:15.0", "cam", "ended", "human 3", "ride bicycle after 4.0 s", "above enter"):
        assert part in line
    assert "blind for 5.0 s: stalled" in event_line(gap())
    assert "7 events lost in the spool: damaged" in event_line(lost())
    assert event_line(state()).endswith("lost: stalled")


def test_a_line_never_moves_a_terminals_cursor() -> None:
    line = event_line(gap(why="\x1b[2Jgone\x9b1A\r\n"))
    assert line.isprintable()
    assert "[2Jgone" in line
