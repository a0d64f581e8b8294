"""What lies in a spool and is none of ours costs itself: nothing before it, nothing behind it, no start."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from stream.events.schema import EventsLostEvent
from stream.publish.frames import RECORD, SNAPSHOT, pack_frame
from stream.publish.open_interactions import OpenInteractions
from stream.publish.publisher import Publisher
from stream.publish.records import Record
from stream.publish.replay import _kept
from stream.publish.spool import Spool
from tests.stream.publish.support import stored, wait_until

FOREIGN = [
    b"",
    b"no separators",
    b"run only\x1f1\x1f{}",
    b"run\x1ecam\x1fone\x1f{}",
    b"a\x1eb\x1ec\x1f1\x1f{}",
    b"\xff" * 50,
]


@pytest.mark.parametrize("foreign", FOREIGN)
def test_a_record_of_somebody_else_is_lost_alone_and_told(server, tmp_path: Path, make_events, foreign: bytes) -> None:
    events = make_events(3)
    with Spool(tmp_path) as spool:
        for payload in (Record.of(events[0]).pack(), foreign, *(Record.of(event).pack() for event in events[1:])):
            spool.append(payload)
    with Publisher([server.url], tmp_path) as publisher:
        wait_until(lambda: any(isinstance(event, EventsLostEvent) for event in stored(server)))
        assert publisher.flush(10)
        assert publisher.state.lost == 1
    found = stored(server)
    assert [event.event_id for event in found if event.source_id == "cam"] == [event.event_id for event in events]
    (told,) = (event for event in found if isinstance(event, EventsLostEvent))
    assert (told.count, told.where, told.reason) == (1, "spool", "damaged")


@pytest.mark.parametrize("snapshot", [b"", b"{", b"5", b"null", b"[5]", b'[{"event": {}}]', b"[" * 50_000, b"\xff"])
def test_a_snapshot_that_cannot_be_read_stops_no_start(tmp_path: Path, make_events, snapshot: bytes) -> None:
    (event,) = make_events(1)
    frames = pack_frame(SNAPSHOT, 0, snapshot) + pack_frame(RECORD, 0, Record.of(event).pack())
    (tmp_path / f"{0:020d}.spool").write_bytes(frames)
    journal = OpenInteractions()
    with Spool(tmp_path, journal=journal):
        assert len(journal) == 1  # what was recorded since is known


def test_a_sound_entry_of_a_snapshot_is_kept_though_another_is_not(make_events) -> None:
    first, second = (make_events(1, source)[0] for source in ("a", "b"))
    whole = OpenInteractions()
    whole.note(first.model_copy(update={"interaction_id": "1"}))
    whole.note(second.model_copy(update={"interaction_id": "2"}))
    snapshot = whole.snapshot().replace(b'"last_seq":1', b'"last_seq":1e400', 1)
    journal = OpenInteractions()
    journal.restore(snapshot, [b"foreign"])
    assert journal.sources() == {"b"}


@pytest.mark.parametrize("name", ["9" * 20, "1" * 20, "٠" * 20, "0" * 19])
def test_a_file_whose_number_no_record_can_have_is_left_alone(tmp_path: Path, caplog, name: str) -> None:
    path = tmp_path / f"{name}.spool"
    path.write_bytes(b"mine")
    with caplog.at_level(logging.WARNING), Spool(tmp_path) as spool:
        spool.append(b"1")
        spool.sync()
        assert spool.read(spool.oldest, 10).records == [b"1"]
    assert path.read_bytes() == b"mine"
    assert "no segment of a spool" in caplog.text


def test_a_replay_passes_over_what_is_none_of_ours(tmp_path: Path, make_events) -> None:
    (event,) = make_events(1)
    dated = event.model_copy(update={"published_time": "2026-01-01T00:00:00Z"})
    good = b"run\x1ecam\x1f1\x1f" + dated.model_dump_json(warnings=False).encode()
    undated = good.replace(b"2026-01-01T", b"2026-99-99T")
    with Spool(tmp_path) as spool:
        for payload in (b"foreign", undated, good):
            spool.append(payload)
    assert [kept.event_id.decode() for kept in _kept(tmp_path, 3)] == [event.event_id]
