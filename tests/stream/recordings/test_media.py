from __future__ import annotations

from pathlib import Path

import pytest

from hoiclip.errors import InputError
from stream.recordings.media import find_videos
from stream.run.identity import file_fingerprint


def test_folders_are_searched_and_equal_names_are_told_apart(tmp_path: Path) -> None:
    for name in ("a/clip.mp4", "b/clip.mp4", "b/other.MKV", "b/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    names = [video.name for video in find_videos([tmp_path])]
    assert names == ["a-clip", "b-clip", "b-other"]


def test_files_that_differ_by_suffix_only_get_different_names(tmp_path: Path) -> None:
    for name in ("clip.mp4", "clip.mkv"):
        (tmp_path / name).write_bytes(b"x")
    names = [video.name for video in find_videos([tmp_path])]
    assert len(set(names)) == 2


def test_a_named_file_is_taken_whatever_its_suffix_and_once(tmp_path: Path) -> None:
    path = tmp_path / "recording.dat"
    path.write_bytes(b"x")
    assert [v.path for v in find_videos([path, path])] == [path.resolve()]


def test_a_missing_path_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        find_videos([tmp_path / "nothing.mp4"])
    with pytest.raises(InputError, match="no videos in"):
        find_videos([tmp_path])


def test_a_fingerprint_sees_a_change_at_either_end_and_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    data = bytearray(5_000_000)
    seen = set()
    for place in (None, 0, len(data) // 2, len(data) - 1):
        changed = bytearray(data)
        if place is not None:
            changed[place] = 1
        path.write_bytes(changed)
        seen.add(file_fingerprint(path))
    assert len(seen) == 4
