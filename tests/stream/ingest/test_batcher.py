"""Batches of many sources: full or due, fair, one canvas each; without decoder processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from hoiclip.errors import InputError
from hoiclip.types import Canvas
from stream.backoff import Backoff
from stream.decode.ring import Ring
from stream.decode.sources import SourceSettings
from stream.ingest.batcher import Batch, FrameBatcher
from stream.ingest.coverage import CoverageAccount
from stream.ingest.source_state import FrameMeta, ReadyFrame, SourceMessage, SourceState
from stream.ingest.supervisor import SourceSupervisor

WIDE, TALL = Canvas(4, 8), Canvas(8, 4)


@pytest.fixture
def supervisor() -> Iterator[SourceSupervisor]:
    with SourceSupervisor() as supervisor:
        yield supervisor


def add(
    supervisor: SourceSupervisor, name: str, num_frames: int, *, canvas: Canvas = WIDE, age_s: float | None = None
) -> Any:
    """Put a source with frames that wait, as its decoder would; frame i of it is painted with i."""
    kind: Any = "file" if age_s is None else "live"
    settings = SourceSettings(name, "/nowhere", kind, (canvas,), slots=30)
    state = SourceState(settings, Ring(30, settings.slot_bytes), CoverageAccount(settings.live, 2.0), Backoff(0.5, 4.0))
    now = time.monotonic()
    for i in range(num_frames):
        state.ring.frame(i, canvas)[:] = i
        captured_s = None if age_s is None else now - age_s
        meta = FrameMeta(name, i, i * 0.2, None, 640, 360, False, 1, i)
        state.pending.append(ReadyFrame(meta, canvas, captured_s, now, 0))
    state.num_ready = num_frames
    with supervisor.changed:
        supervisor.states[name] = state
        supervisor.changed.notify_all()
    return state


def origins(batch: Batch | SourceMessage | None) -> list[tuple[str, int]]:
    assert isinstance(batch, Batch)
    assert [int(picture.mean()) for picture in batch.frames] == [meta.frame_index for meta in batch.meta]
    assert batch.frames.flags.c_contiguous
    return [(meta.source_id, meta.frame_index) for meta in batch.meta]


def test_a_full_batch_goes_at_once_and_sources_take_turns(supervisor: SourceSupervisor) -> None:
    add(supervisor, "a", 20)
    add(supervisor, "b", 3)
    batcher = FrameBatcher(supervisor, 4, 60.0)
    seen = [origins(batcher.collect(1.0)) for _ in range(3)]
    assert sorted(seen[0]) == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert sorted(seen[1]) == [("a", 2), ("a", 3), ("a", 4), ("b", 2)]
    assert seen[2] == [("a", 5), ("a", 6), ("a", 7), ("a", 8)]


def test_an_incomplete_batch_waits_its_time_and_no_longer(supervisor: SourceSupervisor) -> None:
    add(supervisor, "a", 2)
    batcher = FrameBatcher(supervisor, 8, 0.2)
    assert batcher.collect(0.05) is None
    started = time.monotonic()
    assert origins(batcher.collect(5.0)) == [("a", 0), ("a", 1)]
    assert time.monotonic() - started < 1.0


def test_a_batch_has_one_canvas(supervisor: SourceSupervisor) -> None:
    add(supervisor, "a", 2)
    add(supervisor, "b", 2, canvas=TALL)
    batcher = FrameBatcher(supervisor, 4, 0.0)
    batches = [batcher.collect(1.0) for _ in range(2)]
    assert {batch.canvas: batch.frames.shape for batch in batches if isinstance(batch, Batch)} == {
        WIDE: (2, 4, 8, 3),
        TALL: (2, 8, 4, 3),
    }


def test_a_message_keeps_its_place_among_the_frames(supervisor: SourceSupervisor) -> None:
    state = add(supervisor, "a", 3)
    state.pending.append(SourceMessage("a", "ended", 0.0))
    state.over = True
    items = list(FrameBatcher(supervisor, 2, 0.0))
    assert [origins(item) for item in items[:2]] == [[("a", 0), ("a", 1)], [("a", 2)]]
    assert isinstance(items[2], SourceMessage)
    assert len(items) == 3


def test_stale_camera_frames_are_dropped_and_counted_but_never_those_of_a_file(supervisor: SourceSupervisor) -> None:
    add(supervisor, "cam", 3, age_s=0.6)
    add(supervisor, "fresh", 3, age_s=0.1)
    add(supervisor, "file", 3)
    seen = origins(FrameBatcher(supervisor, 16, 0.0).collect(1.0))
    assert {name for name, _ in seen} == {"fresh", "file"}
    accounts = supervisor.coverage()
    assert accounts["cam"].dropped == {"stale": 3}
    assert accounts["fresh"].delivered == accounts["file"].delivered == 3


def test_a_gap_is_told_before_the_frame_that_ends_it(supervisor: SourceSupervisor) -> None:
    state = add(supervisor, "cam", 4, age_s=0.0)
    state.pending.insert(2, SourceMessage("cam", "lost", time.time(), "stalled", "no data for 3 s"))
    batcher = FrameBatcher(supervisor, 8, 0.0)
    items = [batcher.collect(1.0) for _ in range(4)]
    assert [origins(items[0]), origins(items[3])] == [[("cam", 0), ("cam", 1)], [("cam", 2), ("cam", 3)]]
    assert [item.kind for item in items[1:3] if isinstance(item, SourceMessage)] == ["lost", "gap"]
    gap = items[2].gap if isinstance(items[2], SourceMessage) else None
    assert gap is not None
    assert (gap.from_media_s, gap.to_media_s) == (0.2, 0.4)


def test_waiting_for_frames_costs_no_processor_time(supervisor: SourceSupervisor) -> None:
    add(supervisor, "a", 0)
    started = time.process_time()
    assert FrameBatcher(supervisor, 4, 0.03).collect(1.0) is None
    assert time.process_time() - started < 0.2


def test_setting_stop_ends_the_loop(supervisor: SourceSupervisor) -> None:
    add(supervisor, "a", 0)
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    assert list(FrameBatcher(supervisor, 4, 0.03).run(stop)) == []


def test_an_error_of_the_watching_thread_is_raised_where_frames_are_read(supervisor: SourceSupervisor) -> None:
    state = add(supervisor, "a", 0)
    state.settings = None
    state.restart_at_s = 0.0
    with pytest.raises(AttributeError):
        FrameBatcher(supervisor, 4, 0.03).collect(5.0)
    state.restart_at_s = None


def test_two_sources_may_not_share_an_id(supervisor: SourceSupervisor) -> None:
    settings = SourceSettings("a", "/nowhere.mp4", "file", (WIDE,))
    supervisor.add(settings)
    with pytest.raises(InputError, match="in use"):
        supervisor.add(settings)


def test_frames_of_a_batch_are_the_callers_own(supervisor: SourceSupervisor) -> None:
    state = add(supervisor, "a", 2)
    batch = FrameBatcher(supervisor, 2, 0.0).collect(1.0)
    assert isinstance(batch, Batch)
    before = batch.frames.copy()
    state.ring.frame(1, WIDE)[:] = 99
    assert np.array_equal(batch.frames, before)


def test_a_decoder_that_cannot_be_started_fails_its_recording_alone(
    supervisor: SourceSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_process(*arguments: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("stream.ingest.supervisor.DecoderProcess", no_process)
    monkeypatch.setattr("stream.backoff.Backoff.next", lambda self: 0.01)
    supervisor.add(SourceSettings("a", "/nowhere.mp4", "file", (WIDE,)))
    messages = list(FrameBatcher(supervisor, 4, 0.0))
    assert [m.kind for m in messages if isinstance(m, SourceMessage)] == ["restarted", "restarted", "failed"]
    last = messages[-1]
    assert isinstance(last, SourceMessage)
    assert "cannot be started: Resource temporarily unavailable" in last.detail
