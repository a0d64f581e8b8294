"""A recording that goes on in its middle: what comes is what reading all of it gives, from any frame on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from stream.decode import recording as recording_module
from stream.decode.packet_decoder import PacketDecoder
from stream.decode.recording import Recording
from stream.decode.wire import Counts, Resume
from tests.support.clips import ENCODINGS, FPS, SeenFrame, frames_of, moving_clip, source_of


@pytest.fixture(autouse=True)
def _short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_module, "STRETCH_S", 0.3)


FRAMES = [(1.0, 1), (5.0, 3), (None, 13)]  # looks a second, and every how many of them is gone on from


@pytest.mark.parametrize("suffix", ["mp4", "ts"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_from_any_frame_on_the_same_frames_pixels_and_counts_come(tmp_path: Path, encoding: str, suffix: str) -> None:
    path = moving_clip(tmp_path / f"clip.{suffix}", encoding)
    for fps, step in FRAMES:
        whole = frames_of(path, fps)
        for place in range(0, len(whole), step):
            resume = Resume(whole[place].media_s, whole[place].counts)
            assert frames_of(path, fps, resume=resume) == whole[place + 1 :]


@pytest.mark.parametrize("encoding", ["B frames", "open groups", "HEVC, closed groups"])
def test_of_a_recording_of_uneven_rate_too(tmp_path: Path, encoding: str) -> None:
    path = moving_clip(tmp_path / "clip.mp4", encoding, jitter=True)
    whole = frames_of(path, 6.0)
    for place in range(0, len(whole), 4):
        resume = Resume(whole[place].media_s, whole[place].counts)
        assert frames_of(path, 6.0, resume=resume) == whole[place + 1 :]


@pytest.mark.parametrize("encoding", ["without B frames", "B frames", "short closed groups", "HEVC, closed groups"])
def test_of_a_damaged_one_too_with_its_errors_and_what_is_marked(tmp_path: Path, encoding: str) -> None:
    intact = moving_clip(tmp_path / "whole.ts", encoding).read_bytes()
    random = np.random.default_rng(7)
    errors = 0
    for number in range(5):
        data = bytearray(intact)
        at = int(random.integers(len(data) // 10, len(data) * 9 // 10))
        data[at : at + 60] = random.integers(0, 256, 60, dtype=np.uint8).tobytes()
        path = tmp_path / f"damaged{number}.ts"
        path.write_bytes(data)
        for fps in (5.0, None):
            whole = frames_of(path, fps)
            errors += whole[-1].counts.errors
            for place in range(0, len(whole), 6):
                resume = Resume(whole[place].media_s, whole[place].counts)
                assert sound(frames_of(path, fps, resume=resume)) == sound(whole[place + 1 :])
    assert errors > 0


def sound(frames: list[SeenFrame]) -> list[SeenFrame]:
    """Return the frames without the pixels of damaged ones: FFmpeg mends them with whatever it decoded before."""
    return [frame._replace(checksum=0) if frame.corrupt else frame for frame in frames]


def test_parameter_sets_that_come_once_between_the_pictures_are_not_missed(tmp_path: Path) -> None:
    """Two raw streams of other sizes in one: only the first key frame of each brings its parameter sets."""
    small = moving_clip(tmp_path / "small.h264", "short closed groups").read_bytes()
    raw = tmp_path / "both.h264"
    wide = moving_clip(tmp_path / "wide.h264", "short closed groups", size=(176, 96)).read_bytes()
    raw.write_bytes(small + _with_first_parameter_sets_only(wide))
    whole = frames_of(raw, 5.0)
    assert {frame.shape for frame in whole} == {(144, 160), (144, 176)}  # planes of YUV 4:2:0 below each other
    for place in range(0, len(whole), 3):
        resume = Resume(whole[place].media_s, whole[place].counts)
        assert frames_of(raw, 5.0, resume=resume) == whole[place + 1 :]


def _with_first_parameter_sets_only(stream: bytes) -> bytes:
    units = stream.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01")[1:]
    kept, seen = [], set[int]()
    for unit in units:
        kind = unit[0] & 31
        if kind in (7, 8) and kind in seen:
            continue
        seen.add(kind)
        kept.append(b"\x00\x00\x01" + unit)
    return b"".join(kept)


def test_what_lies_before_is_read_and_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    decode = PacketDecoder.decode

    def count(self: PacketDecoder, packet: Any, *, skippable: bool = False) -> Iterator[av.VideoFrame]:
        decoded.append(packet.size)
        yield from decode(self, packet, skippable=skippable)

    monkeypatch.setattr(PacketDecoder, "decode", count)
    path = moving_clip(tmp_path / "clip.mp4", "short closed groups", seconds=8.0)
    with Recording(source_of(path), None, resume=Resume(7.0, Counts(176))) as recording:
        frames = list(recording.frames())
        assert (frames[0].number, len(frames), recording.num_frames) == (176, 24, 200)
        recording.check_complete()
    assert len(decoded) <= 24 + 2 * 8 + 1  # and what lies between the beginning of its stretch and the place


def test_the_end_may_be_the_place_to_go_on_at(tmp_path: Path) -> None:
    path = moving_clip(tmp_path / "clip.mp4", "B frames")
    last = frames_of(path, None)[-1]
    with Recording(source_of(path), None, resume=Resume(last.media_s, last.counts)) as recording:
        assert list(recording.frames()) == []
        recording.check_complete()
        assert (recording.num_frames, recording.last_s) == (4 * FPS, last.media_s)
