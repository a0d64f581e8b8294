"""Stretches of a recording that threads decode side by side: what comes is what one thread gives."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest

from stream.decode import recording as recording_module
from stream.decode.opening import SourceFailureError
from stream.decode.packet_decoder import PacketDecoder
from stream.decode.recording import Recording, Share
from stream.decode.scaling import CanvasScaler
from stream.decode.stretches import StretchedRecording
from stream.decode.wire import Counts, Resume
from tests.support.clips import ENCODINGS, moving_clip, source_of

NOT_CUT = {"open groups", "no key frames after the first", "HEVC, open groups", "MPEG-4"}


class Seen(NamedTuple):
    number: int
    media_s: float
    corrupt: bool
    size: tuple[int, int]
    checksum: int  # of the scaled picture; 0 of a damaged one, which FFmpeg mends with whatever it decoded before
    counts: Counts


@pytest.fixture(autouse=True)
def _short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_module, "STRETCH_S", 0.3)


def by_one(path: Path, fps: float | None, resume: Resume | None = None) -> list[Seen]:
    source, scaler, found = source_of(path), CanvasScaler(), []
    with Recording(source, fps, resume=resume) as recording:
        for frame in recording.frames():
            pixels = np.empty((*source.canvases[0], 3), np.uint8)
            scaler.write(frame.picture, frame.quarter_turns, pixels)
            checksum = 0 if frame.corrupt else zlib.crc32(pixels)
            found.append(Seen(frame.number, frame.media_s, frame.corrupt, frame.size, checksum, recording.counts))
        recording.check_complete()
        found.append(Seen(-1, recording.last_s, False, (0, 0), 0, recording.counts))
    return found


def by_threads(path: Path, fps: float | None, threads: int, resume: Resume | None = None) -> list[Seen]:
    source, found = source_of(path, threads=threads), []
    with StretchedRecording(source, fps, resume=resume) as recording:
        for frame in recording.frames():
            checksum = 0 if frame.corrupt else zlib.crc32(frame.pixels)
            found.append(Seen(frame.number, frame.media_s, frame.corrupt, frame.size, checksum, recording.counts))
        recording.check_complete()
        found.append(Seen(-1, recording.last_s, False, (0, 0), 0, recording.counts))
    return found


@pytest.fixture
def decoders(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """The threads that have decoded something."""
    names: set[str] = set()
    decode = PacketDecoder.decode

    def note(self: PacketDecoder, packet: Any, *, skippable: bool = False) -> Iterator[av.VideoFrame]:
        names.add(threading.current_thread().name)
        return decode(self, packet, skippable=skippable)

    monkeypatch.setattr(PacketDecoder, "decode", note)
    yield names


@pytest.mark.parametrize("suffix", ["mp4", "ts"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_frames_pixels_and_counts_are_those_of_one_thread(
    tmp_path: Path, encoding: str, suffix: str, decoders: set[str]
) -> None:
    path = moving_clip(tmp_path / f"clip.{suffix}", encoding)
    for fps in (5.0, None):
        one = by_one(path, fps)
        for threads in (2, 3):
            decoders.clear()
            assert by_threads(path, fps, threads) == one
            if encoding not in NOT_CUT:
                assert len(decoders) >= 2


@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if name != "MPEG-4"])
def test_pixels_are_those_of_ffmpegs_plain_decoding(tmp_path: Path, encoding: str) -> None:
    path = moving_clip(tmp_path / "clip.mp4", encoding)
    with av.open(str(path)) as container:
        plain = [zlib.crc32(frame.to_ndarray().tobytes()) for frame in container.decode(video=0)]
    with Recording(source_of(path)) as recording:
        assert [zlib.crc32(frame.picture.to_ndarray().tobytes()) for frame in recording.frames()] == plain


@pytest.mark.parametrize("encoding", ["B frames", "HEVC, closed groups"])
def test_of_a_recording_of_uneven_rate_too(tmp_path: Path, encoding: str) -> None:
    path = moving_clip(tmp_path / "clip.mp4", encoding, jitter=True)
    assert by_threads(path, 6.0, 2) == by_one(path, 6.0)


@pytest.mark.parametrize("encoding", ["without B frames", "B frames", "short closed groups", "HEVC, closed groups"])
def test_damage_is_told_at_the_same_frames(tmp_path: Path, encoding: str) -> None:
    whole = moving_clip(tmp_path / "whole.ts", encoding).read_bytes()
    random = np.random.default_rng(7)
    errors = 0
    for number in range(6):
        data = bytearray(whole)
        at = int(random.integers(len(data) // 10, len(data) * 9 // 10))
        data[at : at + 60] = random.integers(0, 256, 60, dtype=np.uint8).tobytes()
        path = tmp_path / f"damaged{number}.ts"
        path.write_bytes(data)
        for fps in (5.0, None):
            one = by_one(path, fps)
            errors += one[-1].counts.errors
            assert by_threads(path, fps, 2) == one
    assert errors > 0


def test_they_go_on_in_the_middle(tmp_path: Path) -> None:
    path = moving_clip(tmp_path / "clip.mp4", "short closed groups")
    for fps, step in ((5.0, 4), (None, 23)):
        whole = by_one(path, fps)
        for frame in whole[:-1:step]:
            resume = Resume(frame.media_s, frame.counts)
            assert by_threads(path, fps, 2, resume) == by_one(path, fps, resume)


def test_a_file_that_is_cut_off_is_told_as_one(tmp_path: Path) -> None:
    path = moving_clip(tmp_path / "whole.mp4", "short closed groups", seconds=8.0)
    data = path.read_bytes()
    with av.open(str(path)) as old, av.open(str(tmp_path / "cut.mp4"), "w", options={"movflags": "faststart"}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    data = (tmp_path / "cut.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 2 // 3])
    failures = []
    for read in (lambda: by_one(tmp_path / "cut.mp4", 5.0), lambda: by_threads(tmp_path / "cut.mp4", 5.0, 2)):
        with pytest.raises(SourceFailureError, match="is cut off at") as failure:
            read()
        failures.append(failure.value.detail)
    assert failures[0] == failures[1]


@pytest.mark.parametrize(
    ("failing", "after", "came"), [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 8), (0, 9, 8), (1, 9, 16)]
)
def test_a_thread_that_fails_fails_the_reading_at_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int, after: int, came: int
) -> None:
    path = moving_clip(tmp_path / "clip.mp4", "short closed groups")
    frames_of = Recording.frames_of

    def broken(self: Recording, share: Share | None) -> Iterator[Any]:
        for number, item in enumerate(frames_of(self, share)):
            if share is not None and share.first == failing and number == after:
                raise SourceFailureError("invalid", "cannot be read further")
            yield item

    monkeypatch.setattr(Recording, "frames_of", broken)
    numbers = []
    with (
        pytest.raises(SourceFailureError, match="cannot be read further"),
        StretchedRecording(source_of(path, threads=2), None) as recording,
    ):
        numbers.extend(frame.number for frame in recording.frames())
    assert numbers == list(range(came))


def test_who_stops_early_waits_for_no_thread(tmp_path: Path) -> None:
    path = moving_clip(tmp_path / "clip.mp4", "short closed groups", seconds=8.0)
    before = threading.active_count()
    with StretchedRecording(source_of(path, threads=3), None) as recording:
        assert next(recording.frames()).number == 0
    assert threading.active_count() == before
