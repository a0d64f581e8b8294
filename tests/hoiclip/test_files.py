"""Files that appear whole or not at all, and hashes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hoiclip.files import replacing, write_whole
from hoiclip.hashes import file_sha256, short_hash


def test_a_file_is_synced_before_it_takes_its_place_and_its_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("sync"), fsync(fd))[1])
    monkeypatch.setattr(Path, "replace", lambda self, to: (calls.append("replace"), replace(self, to))[1])
    write_whole(tmp_path / "new" / "a.json", "text")
    assert calls == ["sync", "replace", "sync"]
    assert (tmp_path / "new" / "a.json").read_text() == "text"


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="full"), replacing(path) as part:
        assert part.suffix == ".mp4"
        part.write_bytes(b"half")
        raise OSError(28, "full")
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]
    assert path.read_bytes() == b"old"


def test_a_short_hash_tells_where_parts_end() -> None:
    assert short_hash("cam1", "1") != short_hash("cam", "11")
    assert short_hash("a", b"b") == short_hash(b"a", "b")
    assert len(short_hash("a")) == 20


def test_the_hash_of_files_reports_what_it_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    seen: list[int] = []
    assert file_sha256(path, seen=seen.append) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert seen == [3]
