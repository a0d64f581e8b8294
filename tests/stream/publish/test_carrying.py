"""Whatever the sink is: what cannot be read is told, once, before the place behind it is remembered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from stream.publish.carrying import LossReport, Spooling
from stream.publish.publisher import Publisher
from stream.publish.records import Record
from stream.publish.segments import SegmentFolder
from stream.publish.spool import Spool, SpoolLimits
from stream.publish.spooled import SpooledDelivery
from stream.store.event_store import EventStore


class Taking:
    """A sink that takes everything."""

    label, max_batch, give_up_s, from_now = "taking", 10, None, False

    def __init__(self) -> None:
        self.taken: list[int] = []

    def append(self, records: Sequence[Record]) -> int:
        self.taken += [record.seq for record in records]
        return len(records)

    def look_after(self) -> None:
        pass

    def close(self) -> None:
        pass


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def record(seq: int) -> bytes:
    return Record(b"run\x1esource", seq, b"{}").pack()


def flip_a_byte_of(spool: Spool, seq: int) -> None:
    path = SegmentFolder(spool.directory).path(0)
    block = bytearray(path.read_bytes())
    block[block.index(record(seq)) + 2] ^= 0x40
    path.write_bytes(bytes(block))


def test_a_place_behind_a_loss_is_acknowledged_once_the_loss_is_on_the_disk(tmp_path: Path) -> None:
    told: list[LossReport] = []
    on_disk = threading.Event()

    def report(loss: LossReport) -> bool:
        told.append(loss)
        return on_disk.is_set()

    with Spool(tmp_path) as spool:
        for seq in range(3):
            spool.append(record(seq))
        spool.sync()
        flip_a_byte_of(spool, 1)
        sink = Taking()
        delivery = SpooledDelivery(Spooling(spool, threading.Condition(), lambda: None, report), sink)
        delivery.worker.start()
        wait_for(lambda: len(told) >= 2)
        assert delivery.acknowledged <= 1, "killed now, the next start finds the loss again"
        on_disk.set()
        wait_for(lambda: delivery.acknowledged == 3)
        delivery.close(time.monotonic() + 5)
    assert {(loss.count, loss.where, loss.reason, loss.key) for loss in told} == {(1, "spool", "damaged", told[0].key)}
    assert sink.taken == [0, 2]


def test_a_record_that_is_none_of_ours_is_told_and_those_behind_it_arrive(tmp_path: Path) -> None:
    told: list[LossReport] = []
    with Spool(tmp_path) as spool:
        for payload in (record(0), b"something else", record(2)):
            spool.append(payload)
        spool.sync()
        sink = Taking()
        spooling = Spooling(spool, threading.Condition(), lambda: None, lambda loss: told.append(loss) is None)
        delivery = SpooledDelivery(spooling, sink)
        delivery.worker.start()
        wait_for(lambda: delivery.acknowledged == 3)
        assert delivery.worker.running
        delivery.close(time.monotonic() + 5)
    assert sink.taken == [0, 2]
    assert [(loss.count, loss.reason) for loss in told] == [(1, "damaged")]


def test_without_a_redis_sink_a_loss_is_told_as_well(tmp_path: Path, make_events) -> None:
    spool_dir, path = tmp_path / "spool", tmp_path / "events.db"
    with Spool(spool_dir, SpoolLimits()) as spool:
        for event in make_events(3):
            spool.append(Record.of(event).pack())
        spool.sync()
        block = bytearray(SegmentFolder(spool_dir).path(0).read_bytes())
        block[block.index(b'"seq":2') + 3] ^= 0x40
        SegmentFolder(spool_dir).path(0).write_bytes(bytes(block))
    with Publisher([f"store:{path}"], spool_dir) as publisher:
        wait_for(lambda: publisher.state.lost == 1 and publisher.state.lag == 0)
    with EventStore(path) as store:
        kinds = sorted(found.event.type for found in store.find())
    assert kinds.count("events_lost") == 1
    assert len(kinds) == 3
