"""Batches of many sources: full or due, fair, one canvas each; decoders are scripted."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

from hoiclip.types import Canvas
from stream.decode.wire import Counts, Ended, Lost
from stream.ingest.batcher import Batch, FrameBatcher
from stream.ingest.source_state import SourceMessage

WIDE, TALL = Canvas(4, 8), Canvas(8, 4)


def origins(batch: Batch | SourceMessage | None) -> list[tuple[str, int]]:
    assert isinstance(batch, Batch)
    assert [int(picture.mean()) for picture in batch.frames] == [meta.frame_index for meta in batch.meta]
    assert batch.frames.flags.c_contiguous
    return [(meta.source_id, meta.frame_index) for meta in batch.meta]


def test_a_full_batch_goes_at_once_and_sources_take_turns(stage: Any) -> None:
    stage.add_with_frames("a", 20)
    stage.add_with_frames("b", 3)
    batcher = FrameBatcher(stage.supervisor, 4, 60.0)
    seen = [origins(batcher.collect(1.0)) for _ in range(3)]
    assert sorted(seen[0]) == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert sorted(seen[1]) == [("a", 2), ("a", 3), ("a", 4), ("b", 2)]
    assert seen[2] == [("a", 5), ("a", 6), ("a", 7), ("a", 8)]


def test_more_sources_than_a_batch_holds_all_get_their_turn(stage: Any) -> None:
    names = [f"s{i}" for i in range(6)]
    for name in names:
        stage.add_with_frames(name, 4)
    batcher = FrameBatcher(stage.supervisor, 2, 60.0)
    first_six = [name for _ in range(6) for name, _ in origins(batcher.collect(1.0))]
    assert set(first_six) == set(names)
    assert max(first_six.count(name) for name in names) <= 3


def test_an_incomplete_batch_waits_its_time_and_no_longer(stage: Any) -> None:
    stage.add_with_frames("a", 2)
    batcher = FrameBatcher(stage.supervisor, 8, 0.3)
    assert batcher.collect(0.05) is None
    started = time.monotonic()
    assert origins(batcher.collect(5.0)) == [("a", 0), ("a", 1)]
    assert time.monotonic() - started < 1.0


def test_the_oldest_frame_decides_how_long_a_batch_waits(stage: Any) -> None:
    stage.add_with_frames("a", 1)
    old_s = time.monotonic()
    time.sleep(0.3)
    stage.add_with_frames("b", 1)
    batcher = FrameBatcher(stage.supervisor, 8, 0.5)
    assert sorted(origins(batcher.collect(5.0))) == [("a", 0), ("b", 0)]
    assert time.monotonic() - old_s < 0.75  # counted from the newest it would be 0.8


def test_a_batch_has_one_canvas(stage: Any) -> None:
    stage.add_with_frames("a", 2)
    stage.add_with_frames("b", 2, canvases=(TALL,))
    batcher = FrameBatcher(stage.supervisor, 4, 0.0)
    batches = [batcher.collect(1.0) for _ in range(2)]
    assert {batch.canvas: batch.frames.shape for batch in batches if isinstance(batch, Batch)} == {
        WIDE: (2, 4, 8, 3),
        TALL: (2, 8, 4, 3),
    }


def test_a_message_keeps_its_place_among_the_frames(stage: Any) -> None:
    decoder = stage.add_with_frames("a", 3)
    decoder.say(Ended(0.6, Counts(decoded=3)))
    stage.wait(lambda: stage.supervisor.status()["a"].state == "ended")
    items = list(FrameBatcher(stage.supervisor, 2, 0.0))
    assert [origins(item) for item in items[:2]] == [[("a", 0), ("a", 1)], [("a", 2)]]
    assert isinstance(items[2], SourceMessage)
    assert len(items) == 3


def test_stale_camera_frames_are_dropped_and_counted_but_never_those_of_a_file(stage: Any) -> None:
    stage.add_with_frames("cam", 3, age_s=0.6)
    stage.add_with_frames("fresh", 3, age_s=0.0, staleness_s=5.0)
    stage.add_with_frames("file", 3)
    seen = origins(FrameBatcher(stage.supervisor, 16, 0.0).collect(1.0))
    assert {name for name, _ in seen} == {"fresh", "file"}
    accounts = stage.supervisor.coverage()
    assert accounts["cam"].dropped == {"stale": 3}
    assert accounts["fresh"].delivered == accounts["file"].delivered == 3


def test_a_gap_is_told_before_the_frame_that_ends_it(stage: Any) -> None:
    decoder = stage.add_with_frames("cam", 2, age_s=0.0, staleness_s=5.0)
    decoder.say(Lost("stalled", "no data for 3 s", None), decoder.frame(2, 0.6), decoder.frame(3, 0.8))
    stage.wait(lambda: stage.supervisor.coverage()["cam"].pending == 4)
    batcher = FrameBatcher(stage.supervisor, 8, 0.0)
    items = [batcher.collect(1.0) for _ in range(4)]
    assert [origins(items[0]), origins(items[3])] == [[("cam", 0), ("cam", 1)], [("cam", 2), ("cam", 3)]]
    assert [item.kind for item in items[1:3] if isinstance(item, SourceMessage)] == ["lost", "gap"]
    gap = items[2].gap if isinstance(items[2], SourceMessage) else None
    assert gap is not None
    assert (gap.from_media_s, gap.to_media_s) == (0.4, 0.6)


def test_slots_are_free_again_once_their_frames_were_copied(stage: Any) -> None:
    decoder = stage.add_with_frames("a", 3)
    batch = FrameBatcher(stage.supervisor, 2, 0.0).collect(1.0)
    assert origins(batch) == [("a", 0), ("a", 1)]
    assert decoder.freed == [0, 1]


def test_waiting_for_frames_costs_no_processor_time(stage: Any) -> None:
    stage.add_with_frames("a", 0)
    started = time.process_time()
    assert FrameBatcher(stage.supervisor, 4, 0.03).collect(1.0) is None
    assert time.process_time() - started < 0.2


def test_a_frame_that_comes_while_the_batcher_waits_wakes_it(stage: Any) -> None:
    decoder = stage.add_with_frames("a", 0)
    threading.Timer(0.1, lambda: decoder.say(decoder.frame(0, 0.2))).start()
    started = time.monotonic()
    assert origins(FrameBatcher(stage.supervisor, 1, 0.0).collect(10.0)) == [("a", 0)]
    assert time.monotonic() - started < 2.0


def test_setting_stop_ends_the_loop(stage: Any) -> None:
    stage.add_with_frames("a", 0)
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    assert list(FrameBatcher(stage.supervisor, 4, 0.03).run(stop)) == []


def test_frames_of_a_batch_are_the_callers_own(stage: Any) -> None:
    decoder = stage.add_with_frames("a", 2)
    batch = FrameBatcher(stage.supervisor, 2, 0.0).collect(1.0)
    assert isinstance(batch, Batch)
    before = batch.frames.copy()
    decoder.ring.frame(1, WIDE)[:] = 99
    assert np.array_equal(batch.frames, before)
