from __future__ import annotations

import errno
import os
import resource
import threading
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoiclip.errors import InputError
from stream.publish.cursor import Cursor
from stream.publish.positions import Loss, Position
from stream.publish.segments import read_folder
from stream.publish.spool import Spool, SpoolFullError, SpoolLimits

SMALL = SpoolLimits(segment_bytes=200, replay_window_s=0.0)
KEPT = SpoolLimits(segment_bytes=200, replay_window_s=3600.0)


def read_all(spool: Spool, start: Position | None = None, step: int = 3) -> tuple[list[int], list[Loss]]:
    """Read everything, `step` records at a time; return the numbers and what was lost."""
    position, found, losses = start or spool.oldest, [], []
    while True:
        reading = spool.read(position, step)
        found += [int(record) for record in reading.records]
        losses += reading.losses
        if reading.after == position:
            return found, losses
        position = reading.after


def numbers(spool: Spool, start: Position | None = None, step: int = 3) -> list[int]:
    return read_all(spool, start, step)[0]


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.spool"))


def lost_numbers(losses: list[Loss]) -> list[int]:
    return [number for loss in losses for number in range(loss.first, loss.first + loss.count)]


class SyncCalls:
    """Records what is synced, instead of trusting that somebody does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: list[str] = []
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self._recording(name, getattr(os, name)))

    def _recording(self, name: str, real):
        def call(fd: int) -> None:
            self.synced.append(f"{name} {Path(f'/proc/self/fd/{fd}').readlink().name}")
            real(fd)

        return call


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
        assert len(segments(tmp_path)) > 3


def test_records_longer_than_a_read_block_come_back_whole(tmp_path: Path) -> None:
    big = [os.urandom(300_000), b"small", os.urandom(700_000)]
    with Spool(tmp_path) as spool:
        for record in big:
            spool.append(record)
        spool.sync()
        records, position, _ = spool.read(spool.oldest, 1)
        while len(records) < 3:
            more, position, _ = spool.read(position, 3)
            records += more
    assert records == big


def test_only_synced_records_are_read(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.append(b"1")
        assert numbers(spool) == []
        spool.sync()
        assert numbers(spool) == [1]
        spool.append(b"2")  # in the same segment, behind one that may be read
        assert numbers(spool) == [1]
        spool.sync()
        assert numbers(spool) == [1, 2]


def last_segment(directory: Path) -> tuple[Path, bytes, int]:
    """Write three records; return the segment, its bytes and the length of one record's frame."""
    with Spool(directory) as spool:
        snapshot = spool.end.offset
        fill(spool, 3)
    (path,) = segments(directory)
    data = path.read_bytes()
    return path, data, (len(data) - snapshot) // 3


def test_a_tail_torn_anywhere_is_cut_off_and_writing_goes_on(tmp_path: Path) -> None:
    path, data, frame = last_segment(tmp_path)
    for cut in range(len(data) - frame, len(data)):
        for junk in (b"", bytes(37)):  # a power cut leaves zero bytes behind
            path.write_bytes(data[:cut] + junk)
            with Spool(tmp_path) as spool:
                fill(spool, 1, first=7)
                assert read_all(spool) == ([0, 1, 7], [])
    assert not list(tmp_path.glob("*.damaged"))


def test_zero_bytes_at_the_end_are_no_records(tmp_path: Path) -> None:
    path, data, _ = last_segment(tmp_path)
    for zeros in (1, 8, 20, 4096):
        path.write_bytes(data + bytes(zeros))
        with Spool(tmp_path) as spool:
            assert read_all(spool) == ([0, 1, 2], [])


@pytest.mark.parametrize("limits", [SMALL, SpoolLimits()], ids=["many segments", "one segment"])
def test_a_flipped_byte_anywhere_costs_its_record_only_and_is_accounted(tmp_path: Path, limits: SpoolLimits) -> None:
    """In every segment, the newest one and one that is read while it is written included, before and after a start."""
    with Spool(tmp_path / "sound", limits) as spool:
        fill(spool, 9)
    for segment in segments(tmp_path / "sound"):
        data = segment.read_bytes()
        for place in range(0, len(data), 11):
            directory = tmp_path / f"{segment.stem}-{place}"
            directory.mkdir()
            for path in segments(tmp_path / "sound"):
                (directory / path.name).write_bytes(path.read_bytes())
            damaged = bytearray(data)
            damaged[place] ^= 0x40
            (directory / segment.name).write_bytes(bytes(damaged))
            with Spool(directory, limits) as spool:
                fill(spool, 1, first=9)
                found, losses = read_all(spool)
                assert sorted(found + lost_numbers(losses)) in ([*range(10)], [*range(9), 9])
                assert found == sorted(found)
                assert len(lost_numbers(losses)) <= 1
                assert spool.damaged == 1
            assert len(list(directory.glob("*.damaged"))) == 1


def test_damage_while_running_is_stepped_over_and_its_bytes_are_kept(tmp_path: Path, caplog) -> None:
    with Spool(tmp_path, SMALL) as spool:
        fill(spool, 12)
        second = segments(tmp_path)[1]
        data = bytearray(second.read_bytes())
        data[60] ^= 1
        second.write_bytes(bytes(data))
        found, losses = read_all(spool)
        (lost,) = losses
        assert (lost.count, lost.reason) == (1, "damaged")
        assert found == [number for number in range(12) if number != lost.first]
        assert read_all(spool) == (found, losses)  # the same again, for another reader
    (kept,) = tmp_path.glob("*.damaged")
    assert kept.read_bytes() in bytes(data)
    assert "damaged bytes, kept as" in caplog.text


@settings(max_examples=60, deadline=None)
@given(
    damage=st.lists(
        st.tuples(st.integers(0, 10_000), st.sampled_from(["flip", "cut", "zero", "insert"]), st.integers(1, 90)),
        min_size=1,
        max_size=4,
    )
)
def test_whatever_happens_to_the_bytes_what_is_read_is_true_and_the_rest_is_accounted(
    damage: list[tuple[int, str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("spool")
    with Spool(directory, SMALL) as spool:
        fill(spool, 15)
    for place, kind, length in damage:
        path = segments(directory)[place % len(segments(directory))]
        data = bytearray(path.read_bytes())
        at = place % max(1, len(data))
        if kind == "flip" and data:
            data[at] ^= 1 + length
        elif kind == "cut":
            del data[at : at + length]
        elif kind == "zero":
            data[at : at + length] = bytes(len(data[at : at + length]))
        else:
            data[at:at] = os.urandom(length)
        path.write_bytes(bytes(data))
    with Spool(directory, SMALL) as spool:
        fill(spool, 2, first=15)
        found, losses = read_all(spool)
        end = spool.end.record
    assert found[-2:] == [15, 16]
    assert found == sorted(set(found))
    lost = lost_numbers(losses)
    # Every number was either read or reported; the two new records come behind whatever was reported at the end.
    assert len(found) + len(lost) == end
    assert len(set(lost)) == len(lost)
    assert not set(lost) & set(found[:-2])


def test_random_bytes_in_a_segment_are_no_records(tmp_path: Path) -> None:
    for number in range(30):
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / f"{0:020d}.spool").write_bytes(os.urandom(50 * number))
        with Spool(directory) as spool:
            fill(spool, 1, first=3)
            assert numbers(spool) == [3]


def test_strange_files_in_the_folder_are_left_alone(tmp_path: Path, caplog) -> None:
    for name in ("notes.spool", "0001.spool", "12.log", "README"):
        (tmp_path / name).write_text("mine")
    (tmp_path / f"{5:020d}.spool").mkdir()
    with Spool(tmp_path) as spool:
        fill(spool, 2)
        assert numbers(spool) == [0, 1]
    assert (tmp_path / "notes.spool").read_text() == "mine"
    assert "notes.spool is no segment" in caplog.text


def test_an_active_segment_that_is_replaced_or_moved_away_loses_nothing(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        fill(spool, 2)
        (path,) = segments(tmp_path)
        path.unlink()
        path.write_bytes(b"something else")
        fill(spool, 2, first=2)
        path.rename(tmp_path / "moved")
        fill(spool, 2, first=4)
        assert read_all(spool) == ([*range(6)], [])
    with Spool(tmp_path) as spool:
        assert read_all(spool) == ([*range(6)], [])


def test_an_active_segment_that_is_removed_loses_nothing(tmp_path: Path, caplog) -> None:
    with Spool(tmp_path) as spool:
        fill(spool, 3)
        segments(tmp_path)[0].unlink()
        assert read_all(spool) == ([0, 1, 2], [])
        fill(spool, 1, first=3)
        assert read_all(spool) == ([0, 1, 2, 3], [])
    with Spool(tmp_path) as spool:
        assert read_all(spool) == ([0, 1, 2, 3], [])
    assert "was removed by somebody" in caplog.text


@pytest.mark.parametrize("records_kept", [0, 1, 2])
def test_an_active_segment_that_is_cut_costs_what_was_cut_and_no_more(tmp_path: Path, records_kept: int) -> None:
    with Spool(tmp_path) as spool:
        snapshot = spool.end.offset
        fill(spool, 3)
        (path,) = segments(tmp_path)
        frame = (path.stat().st_size - snapshot) // 3
        os.truncate(path, snapshot + records_kept * frame + 5)
        fill(spool, 2, first=3)
        found, losses = read_all(spool)
        assert found == [*range(records_kept), 3, 4]
        assert lost_numbers(losses) == [*range(records_kept, 3)]
    with Spool(tmp_path) as spool:
        assert read_all(spool)[0] == found


def test_a_segment_that_is_cut_before_its_first_record_goes_on(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        os.truncate(segments(tmp_path)[0], 0)
        fill(spool, 2)
        assert read_all(spool) == ([0, 1], [])
        fill(spool, 1, first=2)
    with Spool(tmp_path) as spool:
        assert numbers(spool) == [0, 1, 2]


def test_a_closed_segment_that_is_removed_is_reported(tmp_path: Path) -> None:
    with Spool(tmp_path, SMALL) as spool:
        fill(spool, 12)
        segments(tmp_path)[1].unlink()
        found, losses = read_all(spool)
        assert [loss.reason for loss in losses] == ["removed"]
        assert sorted(found + lost_numbers(losses)) == [*range(12)]


def test_a_removed_folder_is_made_again(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    with Spool(directory, SMALL) as spool:
        fill(spool, 2)
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()
        fill(spool, 8, first=2)
        assert numbers(spool) == [*range(10)]


def test_another_process_can_read_what_is_kept(tmp_path: Path) -> None:
    with Spool(tmp_path, SMALL) as spool:
        fill(spool, 12)
        second = segments(tmp_path)[1]
        data = bytearray(second.read_bytes())
        data[60] ^= 1
        second.write_bytes(bytes(data))
        found = list(read_folder(tmp_path))
    assert len(found) == 11
    assert all(number == int(payload) for number, payload in found)


def test_a_full_disk_keeps_nothing_of_the_record_and_loses_none_before(tmp_path: Path) -> None:
    room = 160

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
    with Spool(tmp_path, SpoolLimits(max_bytes=5000, replay_window_s=3600)) as spool:
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


def test_an_acknowledged_active_segment_begins_anew_in_place(tmp_path: Path) -> None:
    """So a disk that is full of events that every sink has takes new ones, though no segment was ever closed."""
    with Spool(tmp_path, SpoolLimits(max_bytes=5000, segment_bytes=1 << 20)) as spool:
        first = 0
        for _ in range(20):
            with pytest.raises(SpoolFullError):
                fill(spool, 1000, first=spool.end.record)
            spool.sync()
            kept = spool.end.record
            assert kept > first
            position = Position.start_of(first)
            spool.forget(kept - 1, now=True)
            assert numbers(spool)[-1] == kept - 1  # one that somebody still needs
            spool.forget(kept, now=True)
            assert spool.num_bytes < 100
            fill(spool, 1, first=kept)
            assert read_all(spool, position) == ([kept], [])  # for a reader that stood in it
            first = kept
    with Spool(tmp_path) as spool:
        assert read_all(spool) == ([first], [])


def test_a_crash_while_a_segment_begins_anew_loses_and_invents_nothing(tmp_path: Path, monkeypatch) -> None:
    for step in ("ftruncate", "rename"):
        directory = tmp_path / step
        with Spool(directory) as spool:
            fill(spool, 5)
            with monkeypatch.context() as patch:
                patch.setattr(os if step == "ftruncate" else Path, step, _fail)
                spool.forget(5, now=True)
        with Spool(directory) as spool:
            assert read_all(spool) == ([], [])
            fill(spool, 1, first=5)
            assert read_all(spool) == ([5], [])
            assert spool.end.record == 6


def _fail(*_: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_what_must_survive_a_power_cut_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = SyncCalls(monkeypatch)
    first, folder = f"{0:020d}.spool", tmp_path.name
    with Spool(tmp_path, SpoolLimits(segment_bytes=200)) as spool:
        assert f"fsync {folder}" in calls.synced  # the new file's name
        assert f"fdatasync {first}" in calls.synced
        calls.synced.clear()
        spool.append(b"%040d" % 0)
        assert calls.synced == []
        spool.sync()
        assert calls.synced == [f"fdatasync {first}"]
        spool.sync()
        assert calls.synced == [f"fdatasync {first}"]  # nothing new
        calls.synced.clear()
        while len(segments(tmp_path)) == 1:
            spool.append(b"%040d" % 1)
        second = segments(tmp_path)[1].name
        assert calls.synced == [f"fdatasync {first}", f"fsync {folder}", f"fdatasync {second}"]  # before it is left
        calls.synced.clear()
    assert calls.synced == [f"fdatasync {second}"]
    calls.synced.clear()
    with Spool(tmp_path):
        assert f"fdatasync {second}" in calls.synced  # what an earlier process left unsynced counts as durable now


def test_threads_that_append_while_segments_roll_lose_and_mix_nothing(tmp_path: Path) -> None:
    with Spool(tmp_path, KEPT) as spool:

        def load(thread: int) -> None:
            for number in range(300):
                spool.append(b"%d" % (1000 * thread + number))
                if number % 50 == 0:
                    spool.sync()

        threads = [threading.Thread(target=load, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        spool.sync()
        found, losses = read_all(spool, step=100)
    assert losses == []
    assert sorted(found) == sorted(1000 * thread + number for thread in range(6) for number in range(300))
    for thread in range(6):
        mine = [number for number in found if number // 1000 == thread]
        assert mine == sorted(mine)


def test_a_shortage_of_file_descriptors_is_an_error_that_passes(tmp_path: Path) -> None:
    with Spool(tmp_path, SMALL) as spool:
        fill(spool, 2)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            spool.append(b"2")
            spool.sync()  # needs no descriptor
            with pytest.raises(OSError, match="Too many open files"):
                spool.read(spool.oldest, 10)
            with pytest.raises(SpoolFullError, match="Too many open files"):
                fill(spool, 20, first=3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        kept = spool.end.record
        fill(spool, 20 - kept, first=kept)
        assert read_all(spool) == ([*range(20)], [])


def test_each_segment_begins_with_what_the_journal_says(tmp_path: Path) -> None:
    class Sum:
        """Stands for the open interactions: the sum of all records."""

        def __init__(self) -> None:
            self.total = 0

        def restore(self, snapshot: bytes, records: list[bytes]) -> None:
            self.total = int(snapshot or b"0") + sum(map(int, records))

        def snapshot(self) -> bytes:
            return b"%d" % self.total

        def add(self, number: int) -> None:
            self.total += number

    for turn in range(4):
        journal = Sum()
        with Spool(tmp_path, SMALL, journal=journal) as spool:
            assert journal.total == sum(range(10 * turn))
            for number in range(10 * turn, 10 * turn + 10):
                spool.append(b"%040d" % number, partial(journal.add, number))
            spool.sync()
            spool.forget(spool.end.record, now=turn == 2)


def test_a_budget_in_which_no_event_fits_is_refused() -> None:
    for budget in (0, 1000, 1 << 60):
        with pytest.raises(InputError, match="spool_max_mb"):
            SpoolLimits(max_bytes=budget)


def test_only_segments_that_are_acknowledged_and_old_are_deleted(tmp_path: Path) -> None:
    with Spool(tmp_path, SMALL) as spool:
        fill(spool, 12)
        spool.forget(5)
        assert numbers(spool)[0] <= 5
        assert numbers(spool)[-1] == 11
        spool.forget(12)
        assert len(segments(tmp_path)) == 1


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
        cursor.record = 3
        cursor.save()
    with Spool(tmp_path) as spool:
        assert Cursor(spool, "redis").record == 3
        for text in ("[1,", "", "99", "-1"):
            (tmp_path / "redis.cursor").write_text(text)
            assert Cursor(spool, "redis").record == 0


def test_the_spool_keeps_its_identity(tmp_path: Path) -> None:
    with Spool(tmp_path / "a") as spool:
        first = spool.identity
    with Spool(tmp_path / "a") as spool, Spool(tmp_path / "b") as other:
        assert spool.identity == first
        assert other.identity != first
