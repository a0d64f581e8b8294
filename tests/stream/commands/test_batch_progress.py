from __future__ import annotations

from pathlib import Path

import pytest

from stream.commands.support.batch_progress import BatchProgress
from stream.commands.support.job_meter import WINDOW_S, JobMeter
from stream.recordings.job_types import Progress, VideoResult
from stream.recordings.media import Video


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def videos(tmp_path: Path) -> list[Video]:
    """Of 1000, 2000 and 1000 bytes."""
    found = []
    for name, size in (("a", 1000), ("b", 2000), ("c", 1000)):
        path = tmp_path / f"{name}.mp4"
        path.write_bytes(bytes(size))
        found.append(Video(path, name))
    return found


def test_the_whole_is_measured_by_bytes_and_its_time_left_by_what_was_done(videos: list[Video]) -> None:
    clock = Clock()
    meter = JobMeter(videos, clock)
    assert (meter.part, meter.left_s, meter.frames_a_second) == (0.0, None, None)
    a, b, c = videos
    meter.over(VideoResult(c, "skipped"))
    assert (meter.part, meter.left_s, meter.num_done) == (0.25, None, 1)
    meter.note(Progress(a, "reading", 500, 1000))
    assert meter.part == 0.25
    meter.note(Progress(a, "watching", 0.0, 10.0, 0))
    clock.now_s += 5.0
    meter.note(Progress(a, "watching", 5.0, 10.0, 50))
    meter.note(Progress(b, "watching", 0.0, 20.0, 0))
    assert meter.part == pytest.approx(0.375)
    assert meter.left_s == pytest.approx(25.0)  # 500 bytes in 5 s, 2500 left
    assert meter.frames_a_second == pytest.approx(10.0)
    assert [bar.part for bar in meter.bars()] == [0.5, 0.0]
    meter.over(VideoResult(a, "done"))
    assert meter.part == pytest.approx(0.5)
    assert [bar.label for bar in meter.bars()] == ["b.mp4"]
    assert meter.whole().label == "2 of 3 videos"
    assert meter.whole().note == "10.0 frames/s, 0:00:10 left"


def test_a_video_that_goes_on_in_its_middle_makes_the_job_no_faster(videos: list[Video]) -> None:
    clock = Clock()
    meter = JobMeter(videos[:1], clock)
    meter.note(Progress(videos[0], "watching", 8.0, 10.0, 1))
    clock.now_s += 4.0
    meter.note(Progress(videos[0], "watching", 9.0, 10.0, 9))
    assert meter.left_s == pytest.approx(4.0)


def test_frames_a_second_are_those_of_the_last_seconds(videos: list[Video]) -> None:
    clock = Clock()
    meter = JobMeter(videos, clock)
    frames = 0
    for step in range(300):
        frames += 10 if step < 150 else 1
        meter.note(Progress(videos[0], "watching", step / 10, 30.0, frames))
        clock.now_s += 0.2
    assert WINDOW_S < 150 * 0.2
    assert meter.frames_a_second == pytest.approx(5.0, rel=0.1)


def test_without_a_terminal_a_line_says_how_far_all_are(
    videos: list[Video], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.commands.support.batch_progress._PLAIN_EVERY_S", -1.0)
    monkeypatch.setattr("stream.commands.support.batch_progress._SHOWN_EVERY_S", -1.0)
    with BatchProgress(videos) as bars:
        bars.progress(Progress(videos[0], "watching", 2.0, 10.0, 3))
        bars.progress(Progress(videos[1], "reading", 0, 2000))
        bars.done(VideoResult(videos[0], "done", frames=20, events=3, seconds=2.0))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("0 of 3 videos, 5%")
    assert lines[0].endswith("; a.mp4 20%")
    assert lines[1].endswith("; a.mp4 20%, b.mp4: reading 0%")
    assert "done: a.mp4: 20 frames, 3 events, 10.0 frames/s" in lines
    assert lines[-1].startswith("1 of 3 videos, 25%")


def test_a_terminal_has_a_bar_for_each_video_under_way_and_one_for_all(
    videos: list[Video], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with BatchProgress(videos) as bars:
        bars.progress(Progress(videos[0], "watching", 2.0, 10.0, 3))
        bars.done(VideoResult(videos[2], "skipped"))
        bars.progress(Progress(videos[1], "watching", 2.0, 10.0, 3))
        bars.done(VideoResult(videos[1], "done"))
    text = capsys.readouterr().err
    assert "skipped: c.mp4" in text
    last = text[text.rindex("done: b.mp4") :]
    assert "2 of 3 videos" in last
    assert "a.mp4" in last
