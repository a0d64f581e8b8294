"""What a process that died left open is ended by the next start, once, whatever happened to the spool meanwhile."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from stream.events.schema import EventNumbers, InteractionEvent
from stream.publish.open_interactions import OpenInteractions
from stream.publish.publisher import Publisher
from stream.publish.records import Record
from stream.publish.spool import SpoolLimits
from tests.stream.publish.support import in_order_without_holes, stored, wait_until

REPOSITORY = Path(__file__).resolve().parents[3]

# Publishes a started and an ended event in turn, and leaves every third interaction open, until it is killed.
CHILD = """
import sys, pathlib
from stream.publish.publisher import Publisher
from stream.publish.spool import SpoolLimits
from stream.events.schema import EventNumbers, InteractionEvent
sinks, spool, run = sys.argv[1].split(), pathlib.Path(sys.argv[2]), sys.argv[3]
numbers = EventNumbers(run, "cam")
publisher = Publisher(sinks, spool, limits=SpoolLimits(segment_bytes=5000, replay_window_s=0.0))
publisher.begin({"cam": run})
values = dict(pair_id=1, human_id=3, object_id=2, verb="ride", object="bicycle", interaction="ride bicycle", prompt="p",
    score=0.7, peak_score=0.8, human_box_xyxy_px=(1, 2, 3, 4), object_box_xyxy_px=(1, 2, 3, 4), frame_width_px=64,
    frame_height_px=36, started_media_s=1.0, duration_s=0.2, why="", reason="score",
    model_fingerprint="m", vocabulary_fingerprint="v")
for number in range(100000):
    for kind in ("started", "updated", "ended")[: 2 if number % 3 == 0 else 3]:
        values["interaction_id"] = f"{run}-{number}"
        publisher.publish(InteractionEvent(**numbers.next(), type=kind, media_time_s=number / 10, **values))
    if number == 60:
        publisher.flush(10)
    print(number, flush=True)
"""


def killed_run(sinks: list[str], spool: Path, run: str, at: int) -> None:
    """Run the child until it has published interaction `at`, then kill it as `kill -9` does."""
    command = [sys.executable, "-c", CHILD, " ".join(sinks), str(spool), run]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) >= at:
            break
    child.kill()
    child.wait()
    child.stdout.close()


def unended(events: list) -> set[str]:
    interactions = [event for event in events if isinstance(event, InteractionEvent)]
    started = [event.interaction_id for event in interactions if event.type == "started"]
    ended = [event.interaction_id for event in interactions if event.type == "ended"]
    assert len(set(started)) == len(started)
    assert len(set(ended)) == len(ended)
    return set(started) - set(ended)


@pytest.mark.parametrize("at", [2, 40, 200])
def test_a_killed_runs_interactions_are_ended_by_the_next_start_of_the_source(at: int, server, tmp_path) -> None:
    """Also where their beginning is in segments that were deleted long ago, as at 200."""
    killed_run([server.url], tmp_path, "monday", at)
    killed_run([server.url], tmp_path, "tuesday", 10)
    with Publisher([server.url], tmp_path) as publisher:
        ended = publisher.begin({"cam": "wednesday"})
        assert ended >= 4
        assert publisher.flush(10)
    events = stored(server)
    assert unended(events) == set()
    crashed = [event for event in events if isinstance(event, InteractionEvent) and event.reason == "crashed"]
    assert {event.run_id for event in crashed} == {"monday", "tuesday"}
    for run in ("monday", "tuesday"):
        assert in_order_without_holes([event for event in events if event.run_id == run])
    last = {event.interaction_id: event for event in events if event.type in ("started", "updated")}
    for event in crashed:
        assert event.media_time_s == last[event.interaction_id].media_time_s  # when it was last seen
        assert "seen last at" in event.why
    assert len({event.event_id for event in events}) == len(events)


def test_nothing_is_ended_twice_however_often_one_starts(server, tmp_path) -> None:
    killed_run([server.url], tmp_path, "monday", 20)
    for _ in range(3):
        with Publisher([server.url], tmp_path) as publisher:
            publisher.begin({"cam": "tuesday"})
    assert unended(stored(server)) == set()


def test_a_recording_that_is_processed_again_tells_its_own_end(server, tmp_path, make_events) -> None:
    with Publisher([server.url], tmp_path) as publisher:
        publisher.publish(make_events(1, "video", "same")[0])
    with Publisher([server.url], tmp_path) as publisher:
        assert publisher.begin({"video": "same"}) == 0
        assert publisher.begin({"video": "other"}, among={"another"}) == 0
        assert publisher.begin({"another": "x"}, among={"another"}) == 0
        assert publisher.begin({"video": "other"}) == 1


def test_the_first_event_of_another_run_ends_what_its_source_left_open(server, tmp_path, make_events) -> None:
    """As in a batch job, which names its sources one after the other."""
    with Publisher([server.url], tmp_path) as publisher:
        for source in ("one", "other"):
            publisher.publish(make_events(1, source, "monday", interaction_id=source)[0])
    with Publisher([server.url], tmp_path) as publisher:
        publisher.publish(make_events(1, "one", "tuesday", interaction_id="new")[0])
        publisher.publish(
            make_events(1, "one", "tuesday", numbers=EventNumbers("tuesday", "one", 1), type="updated")[0]
        )
    assert [(event.source_id, event.run_id, event.type) for event in stored(server)[2:]] == [
        ("one", "monday", "ended"),
        ("one", "tuesday", "started"),
        ("one", "tuesday", "updated"),
    ]


def test_a_source_that_is_gone_from_the_configuration_is_ended_too(server, tmp_path, make_events) -> None:
    with Publisher([server.url], tmp_path) as publisher:
        publisher.publish(make_events(1, "removed", "monday")[0])
    with Publisher([server.url], tmp_path) as publisher:
        assert publisher.begin({"cam": "tuesday"}) == 1


def test_a_file_is_its_own_journal(tmp_path) -> None:
    path = tmp_path / "events.jsonl"
    killed_run([f"jsonl:{path}"], tmp_path / "unused", "monday", 20)
    before = OpenInteractions()  # how far the run came before it was killed is its own affair
    before.note_all(path.read_bytes().splitlines())
    with path.open("ab") as file:
        file.write(b'{"half')
    for _ in range(2):
        with Publisher([f"jsonl:{path}"]) as publisher:
            publisher.begin({"cam": "tuesday"})
    found = OpenInteractions()
    found.note_all(path.read_bytes().splitlines())
    assert len(found) == 0
    assert path.read_bytes().count(b'"crashed"') == len(before) > 0
    assert not (tmp_path / "unused").exists()


def test_a_spool_full_of_what_every_sink_has_keeps_what_is_open(server, tmp_path, make_events) -> None:
    """The active segment begins anew in place, with a snapshot: nothing that is open is forgotten with it."""
    limits = SpoolLimits(max_bytes=20_000)
    numbers = EventNumbers("monday", "cam")
    with Publisher([server.url], tmp_path, limits=limits) as publisher:
        publisher.publish(make_events(1, interaction_id="old", numbers=numbers)[0])
        for event in make_events(200, numbers=numbers, type="ended", interaction_id="others"):
            publisher.publish(event)
        assert publisher.flush(10)
    with Publisher([server.url], tmp_path, limits=limits) as publisher:
        assert publisher.begin({"cam": "tuesday"}) == 1
        assert publisher.flush(10)
    assert stored(server)[-1].interaction_id == "old"
    assert in_order_without_holes(stored(server))


def test_a_snapshot_holds_the_newest_event_of_each_and_the_last_seq(make_events) -> None:
    numbers = EventNumbers("run", "cam")
    first = OpenInteractions()
    for interaction, kind in (("a", "started"), ("b", "started"), ("a", "updated"), ("b", "ended"), ("a", "updated")):
        (event,) = make_events(1, numbers=numbers, interaction_id=interaction, type=kind)
        first.note(event)
    (other,) = make_events(1, "quiet", interaction_id="c", type="ended")
    first.note(other)
    again = OpenInteractions()
    again.restore(
        first.snapshot(), [Record.of(event).pack() for event in make_events(1, numbers=numbers, type="ended")]
    )
    (end,) = again.crashed({})
    assert (end.interaction_id, end.seq, end.type) == ("a", 7, "ended")
    expected = EventNumbers("run", "cam", 6).next()["event_id"]
    assert end.event_id == expected
    assert len(again) == 1


def test_what_is_no_event_in_the_spool_is_passed_over(caplog) -> None:
    found = OpenInteractions()
    found.note_all(
        [b"", b"{}", b"not json", b"\xff\xfe", b'{"type": "hologram", "schema_version": 1, "event_id": "x"}']
    )
    assert len(found) == 0
    assert "no event" in caplog.text


def test_the_last_seen_time_is_the_wall_clock_where_there_is_one(make_events) -> None:
    found = OpenInteractions()
    found.note(make_events(1, capture_time="2026-11-23T12:00:00.250Z")[0])
    (end,) = found.crashed({})
    assert "seen last 2026-11-23 12:00:00 UTC" in end.why
    assert end.capture_time is not None


def test_ending_that_was_interrupted_goes_on_where_it_was(server, tmp_path) -> None:
    killed_run([server.url], tmp_path, "monday", 90)
    first = Publisher([server.url], tmp_path)
    for event in first._open.crashed({})[:10]:
        first.publish(event)
    assert first.flush(10)
    first.close(time.monotonic() + 5)  # ten of thirty were ended
    with Publisher([server.url], tmp_path) as publisher:
        assert publisher.begin({"cam": "tuesday"}) >= 20
        wait_until(lambda: publisher.state.lag == 0)
    assert unended(stored(server)) == set()
    assert in_order_without_holes([event for event in stored(server) if event.run_id == "monday"])
