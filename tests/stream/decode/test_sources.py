from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from hoiclip.errors import InputError
from hoiclip.types import Canvas
from stream.backoff import Backoff
from stream.decode.frame_times import LiveClock, RecordingClock
from stream.decode.ring import Ring
from stream.decode.sources import SourceSettings, camera_without_scheme, canvas_for

WIDE, SQUARE, TALL = Canvas(256, 448), Canvas(256, 256), Canvas(448, 256)


class Ticks:
    numerator, denominator = 1, 1000


@pytest.mark.parametrize(
    ("size", "canvas"),
    [((1920, 1080), WIDE), ((1200, 1000), SQUARE), ((1080, 1920), TALL), ((500, 510), SQUARE), ((4000, 100), WIDE)],
)
def test_a_source_takes_the_canvas_of_the_nearest_aspect_ratio(size: tuple[int, int], canvas: Canvas) -> None:
    assert canvas_for(*size, [WIDE, SQUARE, TALL]) == canvas


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "gopher://x/"}, "cannot read gopher://"),
        ({"kind": "file"}, "no file's path"),
        ({"canvases": ()}, "no canvas"),
        ({"target_fps": 0.0}, "target_fps"),
        ({"slots": 2}, "slots"),
        ({"timeout_s": 0.0}, "timeout_s"),
        ({"timeout_s": math.inf}, "finite"),
        ({"url": "user:s3cret@cam/live"}, r"no scheme; did you mean rtsp://\*\*\*@cam/live\?"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], words: str) -> None:
    good: dict[str, Any] = {"id": "cam", "url": "rtsp://cam/", "kind": "live", "canvases": (WIDE,)}
    with pytest.raises(InputError, match=words):
        SourceSettings(**{**good, **changes})


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("192.168.1.5/stream1", "rtsp://192.168.1.5/stream1"),
        ("10.0.0.7", "rtsp://10.0.0.7"),
        ("cam.local:554/a?x=1", "rtsp://cam.local:554/a?x=1"),
        ("camera:8554", "rtsp://camera:8554"),
        ("admin:s3cret@cam/live", "rtsp://***@cam/live"),
        ("[fe80::1]:554/a", "rtsp://[fe80::1]:554/a"),
        ("rtsp://cam/a", None),
        ("file:///videos/a.mp4", None),
        ("videos/a.mp4", None),
        ("/videos/10.0.0.7/a.mp4", None),
        ("10.0.0.7.mp4", None),
        ("a.mp4", None),
        ("C:\\videos\\a.mp4", None),
    ],
)
def test_a_camera_without_its_scheme_is_told_from_a_path(url: str, meant: str | None) -> None:
    assert camera_without_scheme(url) == meant


def test_a_file_that_is_there_is_a_file_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("10.0.0.7").touch()
    assert camera_without_scheme("10.0.0.7") is None


def test_delays_grow_to_the_limit_with_jitter_and_begin_anew() -> None:
    backoff = Backoff(0.5, 4.0)
    delays = [backoff.next() for _ in range(8)]
    for delay, nominal in zip(delays, [0.5, 1, 2, 4, 4, 4, 4, 4], strict=True):
        assert 0.75 * nominal <= delay <= nominal
    assert len(set(delays[3:])) == 5
    backoff.reset()
    assert backoff.next() <= 0.5


def test_a_ring_is_shared_through_its_descriptor_and_slots_do_not_overlap() -> None:
    canvas = Canvas(4, 6)
    ring = Ring(3, 72)
    other = Ring(3, 72, fd=ring.fd)
    for slot in range(3):
        other.frame(slot, canvas)[:] = slot + 1
    assert [int(ring.frame(slot, canvas).min()) for slot in range(3)] == [1, 2, 3]
    assert [int(ring.frame(slot, canvas).max()) for slot in range(3)] == [1, 2, 3]
    with pytest.raises(IndexError):
        ring.frame(3, canvas)
    ring.close()
    ring.close()


def test_times_of_a_recording_count_from_its_start_and_never_go_back() -> None:
    clock = RecordingClock(Ticks(), 80, None)
    times = [clock.at(pts).media_s for pts in (80, 120, 160, None, 0, 40)]
    assert times == pytest.approx([0.0, 0.04, 0.08, 0.12, 0.16, 0.20])


def test_times_of_a_recording_go_on_however_often_they_step_back() -> None:
    clock = RecordingClock(Ticks(), 0, None)
    times = [clock.at(pts).media_s for pts in (0, 40, 80, 0, 40, 80, 0, 100, 140)]  # three files joined
    assert times == pytest.approx([0.0, 0.04, 0.08, 0.12, 0.16, 0.2, 0.24, 0.34, 0.38])


def test_a_camera_frame_that_waited_in_a_buffer_shows_its_age() -> None:
    clock = LiveClock(Ticks(), 1000.0, 0.0)
    first = clock.at(5000, 1010.0)
    late = clock.at(5040, 1010.84)
    assert first.captured_s == 1010.0
    assert first.media_s == pytest.approx(10.0)
    assert late.captured_s == pytest.approx(1010.04, abs=0.001)
    assert late.media_s == pytest.approx(10.04)


def test_a_camera_that_sets_its_clock_starts_a_new_time_line() -> None:
    clock = LiveClock(Ticks(), 1000.0, 0.0)
    clock.at(5000, 1010.0)
    for pts in (500_000, 20):
        jumped = clock.at(pts, 1010.04)
        assert jumped.captured_s == pytest.approx(1010.04)
        assert 10.0 < jumped.media_s < 10.1


def test_the_first_frame_may_have_no_pts() -> None:
    clock = LiveClock(Ticks(), 1000.0, 0.0)
    assert clock.at(None, 1002.0).media_s == pytest.approx(2.0)
    assert clock.at(40, 1002.04).media_s == pytest.approx(2.04)


def test_media_time_goes_on_increasing_over_a_reconnection() -> None:
    clock = LiveClock(Ticks(), 1000.0, last_media_s=12.5)
    assert clock.at(0, 1012.4).media_s > 12.5
