"""Frames that nobody looks at are not decoded, and what comes out is what decoding everything gives."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import av
import av.logging
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hoiclip.types import Canvas
from stream.decode.frame_plan import FramePlan
from stream.decode.frame_times import FramePicker, RecordingClock
from stream.decode.nal_units import NalReader
from stream.decode.packet_decoder import PacketDecoder
from stream.decode.recording import Recording, read_recording
from stream.decode.sources import SourceSettings
from tests.support.clips import ENCODINGS, FPS, moving_clip


class Seen(NamedTuple):
    frames: list[tuple[int, float, int]]  # number, time, checksum of the picture
    corrupt: list[bool]
    account: tuple[int, int, float]


def look(path: Path, fps: float | None, **how: Any) -> Seen:
    source = SourceSettings("clip", str(path), "file", (Canvas(32, 48),))
    with Recording(source, fps, **how) as recording:
        frames, corrupt = [], []
        for frame in recording.frames():
            frames.append((frame.number, frame.media_s, zlib.crc32(frame.picture.to_ndarray().tobytes())))
            corrupt.append(frame.corrupt)
        return Seen(frames, corrupt, (recording.num_frames, recording.num_skipped, recording.last_s))


@pytest.mark.parametrize("suffix", ["mp4", "ts"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_same_frames_and_pixels_come_whatever_is_left_out(tmp_path: Path, encoding: str, suffix: str) -> None:
    path = moving_clip(tmp_path / f"clip.{suffix}", encoding)
    for fps in (1.0, 5.0, 10.0, None):
        everything = look(path, fps, selective=False)
        assert len(everything.frames) == pytest.approx(4 * (fps or FPS), abs=1)
        assert everything.account[0] == 100
        assert look(path, fps) == everything


@pytest.mark.parametrize("encoding", ["B frames", "open groups", "HEVC, open groups"])
def test_a_recording_of_uneven_rate_is_looked_at_in_the_same_places(tmp_path: Path, encoding: str) -> None:
    path = moving_clip(tmp_path / "clip.mp4", encoding, jitter=True)
    for fps in (2.0, 6.0):
        everything = look(path, fps, selective=False)
        assert look(path, fps) == everything
        gaps = [later[1] - earlier[1] for earlier, later in pairwise(everything.frames)]
        assert max(gaps) < 1 / fps + 0.1


@pytest.mark.parametrize("encoding", ["without B frames", "B frames", "short closed groups", "HEVC, closed groups"])
def test_damage_moves_no_frame_and_changes_no_pixel_that_is_not_marked(tmp_path: Path, encoding: str) -> None:
    whole = moving_clip(tmp_path / "whole.ts", encoding).read_bytes()
    random = np.random.default_rng(7)
    for number in range(6):
        data = bytearray(whole)
        at = int(random.integers(len(data) // 10, len(data) * 9 // 10))
        data[at : at + 60] = random.integers(0, 256, 60, dtype=np.uint8).tobytes()
        path = tmp_path / f"damaged{number}.ts"
        path.write_bytes(data)
        for fps in (2.0, 5.0):
            everything = look(path, fps, selective=False)
            selected = look(path, fps)
            assert [frame[:2] for frame in selected.frames] == [frame[:2] for frame in everything.frames]
            for mine, theirs, *marked in zip(
                selected.frames, everything.frames, selected.corrupt, everything.corrupt, strict=True
            ):
                assert mine == theirs or any(marked)


def test_what_nobody_looks_at_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    decode = PacketDecoder.decode

    def count(self: PacketDecoder, packet: Any, *, skippable: bool = False) -> Iterator[av.VideoFrame]:
        for frame in decode(self, packet, skippable=skippable):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(PacketDecoder, "decode", count)
    for encoding, at_most in (("B frames", 50), ("short closed groups", 35), ("without B frames", 100)):
        decoded.clear()
        seen = look(moving_clip(tmp_path / "clip.mp4", encoding), 2.0)
        assert (len(seen.frames), len(decoded) <= at_most) == (8, True), (encoding, len(decoded))


def test_a_stretch_is_read_from_its_middle_with_the_times_of_the_whole(tmp_path: Path) -> None:
    path = moving_clip(tmp_path / "clip.mp4", "open groups", seconds=6.0)
    source = SourceSettings("clip", str(path), "file", (Canvas(32, 48),))
    whole = [(frame.media_s, frame.picture.to_ndarray().tobytes()) for frame in read_recording(source)]
    part = list(read_recording(source, start_s=3.0, end_s=4.0))
    assert [(frame.media_s, frame.picture.to_ndarray().tobytes()) for frame in part] == [
        (media_s, pixels) for media_s, pixels in whole if 3.0 <= media_s <= 4.0
    ]


# The plan.


class Times(NamedTuple):
    pts: int | None
    dts: int | None
    is_discard: bool = False


class Milliseconds:
    numerator, denominator = 1, 1000


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=60),
    st.integers(0, 4),
    st.sampled_from([1.0, 5.0, 12.0]),
    st.lists(st.tuples(st.integers(0, 59), st.sampled_from(["none", "same", "back"])), max_size=2),
)
def test_frames_are_chosen_as_if_they_had_come_out_one_by_one(
    steps: list[int], depth: int, fps: float, faults: list[tuple[int, str]]
) -> None:
    pts: list[int | None] = [sum(steps[:number]) for number in range(len(steps))]
    order = [n for start in range(0, len(pts), depth + 1) for n in _last_first(start, min(start + depth + 1, len(pts)))]
    base = -1000 * depth
    packets = [Times(pts[number], min(base + 10 * place, pts[number] or 0)) for place, number in enumerate(order)]
    for place, fault in faults:
        if place < len(packets):
            old = packets[place]
            packets[place] = {
                "none": old._replace(pts=None),
                "same": old._replace(pts=0),
                "back": old._replace(dts=-(10**6)),
            }[fault]
    plan = FramePlan(RecordingClock(Milliseconds(), 0, None), FramePicker(fps), enabled=True)
    known = []
    for packet in packets:
        plan.read(packet)
        known.append(plan.chosen(packet))
    plan.end()
    assert None not in [plan.chosen(packet) for packet in packets]
    shown = sorted((packet.pts for packet in packets if packet.pts is not None), key=int)
    got = [plan.out(time) for time in shown]
    plan.finish()
    if faults:
        assert [frame.number for frame in got] == sorted(frame.number for frame in got)
        return
    clock, picker = RecordingClock(Milliseconds(), 0, None), FramePicker(fps)
    for number, (time, frame) in enumerate(zip(shown, got, strict=True)):
        media_s = clock.at(time).media_s
        assert frame == (number, media_s, picker.choose(media_s))
    assert plan.num_frames == len(shown)
    assert plan.num_skipped == sum(not frame.chosen for frame in got)


def _last_first(start: int, end: int) -> list[int]:
    """As frames are decoded: the last of a group first, then those between."""
    return [end - 1, *range(start, end - 1)]


def test_frames_that_never_come_out_are_passed_by() -> None:
    plan = FramePlan(RecordingClock(Milliseconds(), 0, None), FramePicker(10.0), enabled=True)
    for pts in range(0, 400, 40):
        plan.read(Times(pts, pts))
    assert plan.chosen(Times(0, 0)) is True
    assert plan.chosen(Times(40, 40)) is False
    first = plan.out(0)
    later = plan.out(200)
    assert (first.number, later.number) == (0, 5)
    assert plan.num_frames == 5  # the one at 80 ms was chosen and did not come out: it was lost
    plan.finish()
    assert plan.last_s == pytest.approx(0.36)


# Packets that owe nothing to any before.


@pytest.mark.parametrize(
    ("encoding", "suffix", "starts"),
    [
        ("short closed groups", "mp4", 13),
        ("short closed groups", "ts", 13),
        ("open groups", "mp4", 1),
        ("no key frames after the first", "ts", 1),
        ("HEVC, closed groups", "mp4", 4),
        ("HEVC, closed groups", "ts", 4),
        ("HEVC, open groups", "ts", 1),
        ("MPEG-4", "mp4", 0),
    ],
)
def test_a_start_is_told_from_a_key_frame_that_still_needs_others(
    tmp_path: Path, encoding: str, suffix: str, starts: int
) -> None:
    with av.open(str(moving_clip(tmp_path / f"clip.{suffix}", encoding))) as container:
        stream = container.streams.video[0]
        reader = NalReader(stream.codec_context.name, stream.codec_context.extradata)
        found = sum(reader.starts_anew(bytes(packet)) for packet in container.demux(stream) if packet.size)
    assert found == starts


@given(st.sampled_from(["h264", "hevc", "av1"]), st.binary(max_size=40), st.binary(max_size=60))
def test_any_bytes_are_looked_into_without_an_error(codec: str, extradata: bytes, packet: bytes) -> None:
    assert NalReader(codec, extradata).starts_anew(packet) in (True, False)
