from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from hoiclip.errors import InputError
from stream.run import content
from stream.run.content import content_hash


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of 9 MB; what was just written counts as settled."""
    monkeypatch.setattr(content, "SETTLED_S", -1.0)
    monkeypatch.setenv("HOISTREAM_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "video.mp4"
    path.write_bytes(bytes(9_000_000))
    return path


def reads(path: Path) -> tuple[str, int]:
    """Return the hash and how many bytes were read for it."""
    sizes: list[int] = []
    return content_hash(path, sizes.append), sum(sizes)


def test_every_byte_counts_even_with_the_old_time_stamp_and_size(recording: Path) -> None:
    state = recording.stat()
    seen = {content_hash(recording)}
    for place in (0, 2_000_000, 4_500_000, 8_999_999):
        with recording.open("r+b") as file:
            file.seek(place)
            file.write(b"x")
        os.utime(recording, ns=(state.st_atime_ns, state.st_mtime_ns))
        seen.add(content_hash(recording))
    assert len(seen) == 5
    assert hashlib.sha256(recording.read_bytes()).hexdigest() in seen


def test_a_file_that_stays_the_same_is_read_once(recording: Path) -> None:
    first, read = reads(recording)
    assert read == 9_000_000
    assert reads(recording) == (first, 0)
    recording.touch()
    assert reads(recording) == (first, 9_000_000)


def test_a_file_that_has_only_just_changed_is_read_again(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "SETTLED_S", 60.0)
    assert reads(recording)[1] == reads(recording)[1] == 9_000_000


def test_a_file_that_grows_while_it_is_read_is_not_remembered(recording: Path) -> None:
    def grow(count: int) -> None:
        if recording.stat().st_size == 9_000_000:
            with recording.open("ab") as file:
                file.write(b"more")

    content_hash(recording, grow)
    assert reads(recording)[1] == 9_000_004


def test_a_damaged_or_unwritable_memory_costs_reading_again(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = reads(recording)
    (memory,) = (Path(os.environ["HOISTREAM_CACHE"]) / "recordings").iterdir()
    for damage in (b"", b"[]", b"{", b'{"mark": 1}'):
        memory.write_bytes(damage)
        assert reads(recording) == (first, 9_000_000)
    monkeypatch.setenv("HOISTREAM_CACHE", "/proc/nowhere")
    assert reads(recording) == (first, 9_000_000)


def test_what_is_no_file_or_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        content_hash(tmp_path / "pipe")
    with pytest.raises(InputError, match="No such file"):
        content_hash(tmp_path / "gone.mp4")
