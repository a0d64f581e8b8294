from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest

from hoiclip.errors import InputError
from stream.publish.spool import Cursor, Position, Spool, SpoolFullError, SpoolLimits

SMALL = SpoolLimits(segment_bytes=200, replay_window_s=0.0)


def numbers(spool: Spool, start: Position | None = None, step: int = 3) -> list[int]:
    """Read everything, `step` records at a time."""
    position, found = start or spool.oldest, []
    while True:
        records, position = spool.read(position, step)
        if not records:
            return found
        found += [int(record) for record in records]


def fill(spool: Spool, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        spool.append(b"%040d" % number)
    spool.sync()


def test_records_come_back_in_order_over_segments_and_restarts(tmp_path: Path) -> None:
    with Spool(tmp_path, SMALL) as spool:
        fill(spool, 10)
        assert numbers(spool) == list(range(10))
    with Spool(tmp_path, SMALL) as spool:
        fill(spool, 10, first=10)
        assert numbers(spool) == list(range(20))
        assert spool.end.record == 20
        assert len(list(tmp_path.glob("*.log"))) > 3


def test_records_longer_than_a_read_block_come_back_whole(tmp_path: Path) -> None:
    big = [os.urandom(300_000), b"small", os.urandom(700_000)]
    with Spool(tmp_path) as spool:
        for record in big:
            spool.append(record)
        spool.sync()
        records, position = spool.read(spool.oldest, 1)
        while len(records) < 3:
            more, position = spool.read(position, 3)
            records += more
    assert records == big


def test_only_synced_records_are_read(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.append(b"1")
        assert numbers(spool) == []
        spool.sync()
        assert numbers(spool) == [1]


def test_a_tail_torn_anywhere_is_cut_off_and_writing_goes_on(tmp_path: Path) -> None:
    with Spool(tmp_path / "whole") as spool:
        fill(spool, 3)
    data = next((tmp_path / "whole").glob("*.log")).read_bytes()
    frame = len(data) // 3
    for cut in range(2 * frame, 3 * frame):
        directory = tmp_path / str(cut)
        directory.mkdir()
        (directory / f"{0:020d}.log").write_bytes(data[:cut])
        with Spool(directory) as spool:
            fill(spool, 1, first=7)
            assert numbers(spool) == [0, 1, 7]


def test_damage_in_the_middle_loses_only_its_segment_and_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Spool(tmp_path, SMALL) as spool:
        fill(spool, 12)
        second = sorted(tmp_path.glob("*.log"))[1]
        data = bytearray(second.read_bytes())
        data[60] ^= 1  # in the second record of the segment
        second.write_bytes(bytes(data))
        per_segment = int(sorted(tmp_path.glob("*.log"))[1].stem)
        lost = set(range(per_segment + 1, 2 * per_segment))
        assert numbers(spool) == [n for n in range(12) if n not in lost]
        assert spool.damaged == 1
    assert second.with_suffix(".damaged").exists()
    assert "checksum" in caplog.text


def test_a_full_disk_keeps_nothing_of_the_record_and_loses_none_before(tmp_path: Path) -> None:
    room = 120

    def write(fd: int, data: bytes) -> int:
        nonlocal room
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = os.write(fd, data[:room])
        room -= written
        return written

    with Spool(tmp_path, write=write) as spool:
        fill(spool, 2)
        with pytest.raises(SpoolFullError, match="No space left"):
            spool.append(b"%040d" % 2)
        room = 1000
        fill(spool, 1, first=2)
        assert numbers(spool) == [0, 1, 2]


def test_a_real_file_size_limit_gives_the_same_error(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Spool(tmp_path) as spool:
        fill(spool, 1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(SpoolFullError, match="File too large"):
                spool.append(bytes(200_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        fill(spool, 1, first=1)
        assert numbers(spool) == [0, 1]


def test_the_budget_refuses_more_until_acknowledged_segments_go(tmp_path: Path) -> None:
    with Spool(tmp_path, SpoolLimits(max_bytes=1000, replay_window_s=3600)) as spool:
        with pytest.raises(SpoolFullError, match="budget"):
            fill(spool, 1000)
        spool.sync()
        kept = spool.end.record
        spool.forget(kept)
        with pytest.raises(SpoolFullError):  # within the replay window
            fill(spool, 1)
        spool.forget(kept, now=True)
        fill(spool, 1, first=kept)
        assert numbers(spool)[-1] == kept


def test_only_segments_that_are_acknowledged_and_old_are_deleted(tmp_path: Path) -> None:
    with Spool(tmp_path, SMALL) as spool:
        fill(spool, 12)
        spool.forget(5)
        assert numbers(spool)[0] <= 5
        assert numbers(spool)[-1] == 11
        spool.forget(12)
        assert len(list(tmp_path.glob("*.log"))) == 1


def test_a_reader_behind_deleted_segments_goes_on_with_the_oldest(tmp_path: Path) -> None:
    with Spool(tmp_path, SMALL) as spool:
        fill(spool, 12)
        spool.forget(12)
        found = numbers(spool, Position.start_of(0))
        assert found == list(range(spool.oldest.record, 12))


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with Spool(tmp_path), pytest.raises(InputError, match="spool_dir"):
        Spool(tmp_path)


def test_a_cursor_is_remembered_and_a_broken_one_means_the_beginning(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        fill(spool, 5)
        cursor = Cursor(spool, "redis")
        _, cursor.position = spool.read(spool.oldest, 3)
        cursor.save()
    with Spool(tmp_path) as spool:
        assert numbers(spool, Cursor(spool, "redis").position) == [3, 4]
        (tmp_path / "redis.cursor").write_text("[1,")
        assert Cursor(spool, "redis").position == spool.oldest
