from __future__ import annotations

import os
from pathlib import Path

import pytest

from hoiclip.errors import InputError
from stream.recordings.media import find_videos


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


def test_a_pipe_is_refused_in_one_line_instead_of_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match=r"pipe\.mp4: neither a regular file nor a folder"):
        find_videos([tmp_path / "pipe.mp4"])
    (tmp_path / "clip.mp4").write_bytes(b"x")
    assert [video.name for video in find_videos([tmp_path])] == ["clip"]
