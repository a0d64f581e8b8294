from __future__ import annotations

import os
import sys

import pytest

from hoiclip.errors import InputError
from stream.publish.publisher import Publisher
from stream.publish.sinks import JsonlSink, StdoutSink


@pytest.mark.parametrize("way", ["removed", "moved", "folder removed"])
def test_a_jsonl_file_that_goes_away_is_begun_anew(way: str, tmp_path, caplog) -> None:
    path = tmp_path / "deep" / "events.jsonl"
    sink = JsonlSink(path)
    sink.write(b"1")
    if way == "moved":
        path.rename(tmp_path / "events.1.jsonl")
    else:
        path.unlink()
    if way == "folder removed":
        path.parent.rmdir()
    sink.write(b"2")
    sink.write(b"3")
    sink.close()
    assert path.read_bytes() == b"2\n3\n"
    assert "begun anew" in caplog.text


def test_a_jsonl_file_that_is_cut_by_a_rotation_goes_on_at_its_beginning(tmp_path) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonlSink(path)
    sink.write(b"1" * 100)
    os.truncate(path, 0)
    sink.write(b"2")
    sink.close()
    assert path.read_bytes() == b"2\n"


def test_the_last_lines_of_a_long_file_are_whole_ones(tmp_path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(b"%04d\n" % number for number in range(1000)))
    sink = JsonlSink(path)
    assert sink.last_lines(13) == [b"0998", b"0999"]
    assert len(sink.last_lines()) == 1000
    sink.close()


def test_a_closed_standard_output_is_named(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(InputError, match="closed"):
        StdoutSink()
    with pytest.raises(InputError, match="closed"):
        Publisher(["stdout:"])


@pytest.mark.parametrize("keep", ["nan", "inf", "-inf", "-1", "my-secret", "1e99", ""])
def test_a_keep_h_that_is_no_time_is_refused_without_being_shown(keep: str, tmp_path) -> None:
    with pytest.raises(InputError, match="keep_h") as caught:
        Publisher([f"redis://127.0.0.1:1/0?keep_h={keep}&stream=s"], tmp_path)
    assert "secret" not in str(caught.value)
