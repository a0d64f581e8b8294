"""Recordings through real decoder processes: nothing is lost, the same every time, bad files fail in one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from hoiclip.types import Canvas
from stream.decode.frame_times import FramePicker
from stream.decode.sources import SourceSettings
from stream.ingest.batcher import Batch, FrameBatcher, FrameMeta
from stream.ingest.coverage import Coverage
from stream.ingest.supervisor import SourceMessage, SourceSupervisor

WIDE, TALL = Canvas(32, 48), Canvas(48, 32)
Frames = list[tuple[FrameMeta, np.ndarray]]
MakeClip = Callable[..., Path]


def recording(path: Path, name: str = "file", **changes: object) -> SourceSettings:
    values: dict[str, object] = {"canvases": (WIDE, TALL), "target_fps": None, **changes}
    return SourceSettings(name, str(path), "file", **values)  # type: ignore[arg-type]


def read(
    sources: Sequence[SourceSettings], max_batch: int = 4, on_batch: Callable[[SourceSupervisor], None] | None = None
) -> tuple[dict[str, Frames], list[SourceMessage], dict[str, Coverage]]:
    """Read the sources to their ends; fails after 30 s instead of waiting for ever."""
    frames: dict[str, Frames] = {source.id: [] for source in sources}
    messages = []
    too_late = threading.Event()
    alarm = threading.Timer(30.0, too_late.set)
    alarm.start()
    with SourceSupervisor(sources) as supervisor:
        for item in FrameBatcher(supervisor, max_batch, 0.01).run(too_late):
            if isinstance(item, Batch):
                assert 1 <= len(item.meta) <= max_batch
                assert item.frames.shape == (len(item.meta), *item.canvas, 3)
                for meta, picture in zip(item.meta, item.frames, strict=True):
                    assert all(
                        m.source_id != meta.source_id or m.kind in ("opened", "gap", "restarted") for m in messages
                    )
                    frames[meta.source_id].append((meta, picture))
                if on_batch:
                    on_batch(supervisor)
            else:
                messages.append(item)
        coverage = supervisor.coverage()
    alarm.cancel()
    assert not too_late.is_set(), messages
    for account in coverage.values():
        assert account.decoded == account.skipped + account.delivered + sum(account.dropped.values()) + account.pending
    return frames, messages, coverage


def last(messages: list[SourceMessage], name: str) -> SourceMessage:
    return [message for message in messages if message.source_id == name][-1]


def test_every_frame_of_several_files_comes_once_in_order_whatever_the_batch_size(make_clip: MakeClip) -> None:
    clips = [recording(make_clip(f"{i}.mp4", seconds=2 + i), f"s{i}") for i in range(2)]
    seen = [read(clips, max_batch) for max_batch in (1, 8)]
    for frames, messages, coverage in seen:
        for i in range(2):
            metas = [meta for meta, _ in frames[f"s{i}"]]
            assert [meta.frame_index for meta in metas] == list(range(25 * (2 + i)))
            assert [meta.pts_s for meta in metas] == pytest.approx([n / 25 for n in range(25 * (2 + i))])
            assert all(not meta.corrupt and meta.capture_wall_s is None for meta in metas)
            assert last(messages, f"s{i}").kind == "ended"
            assert coverage[f"s{i}"].delivered == 25 * (2 + i)
            assert coverage[f"s{i}"].dropped == {}
    for name in ("s0", "s1"):
        for (one, picture), (other, same) in zip(seen[0][0][name], seen[1][0][name], strict=True):
            assert one.pts_s == other.pts_s
            assert np.array_equal(picture, same)


def test_a_slow_engine_makes_a_file_wait_and_loses_nothing(make_clip: MakeClip) -> None:
    frames, _, coverage = read([recording(make_clip(seconds=1))], 2, on_batch=lambda _: time.sleep(0.02))
    assert len(frames["file"]) == 25
    assert coverage["file"].dropped == {}


def test_frames_show_what_was_filmed(make_clip: MakeClip) -> None:
    frames, _, _ = read([recording(make_clip(seconds=1))])
    for meta, picture in frames["file"]:
        assert picture[20:, 20:].mean() == pytest.approx(8 * meta.frame_index, abs=5)
        assert picture[2:6, 2:8].min() > 200  # the white corner, top left


@pytest.mark.parametrize(("fps", "target", "expected"), [(25, 5.0, 10), (30, 4.0, 8), (10, 25.0, 20), (7, 3.5, 7)])
def test_frames_are_chosen_by_time(make_clip: MakeClip, fps: int, target: float, expected: int) -> None:
    frames, _, coverage = read([recording(make_clip(fps=fps), target_fps=target)])
    times = [meta.pts_s for meta, _ in frames["file"]]
    assert len(times) == expected
    assert np.diff(times) == pytest.approx(1 / min(fps, target), abs=1.01 / fps)
    assert coverage["file"].skipped == 2 * fps - expected


def test_a_jittering_camera_at_the_target_rate_loses_no_frame() -> None:
    jitter = np.random.default_rng(0).uniform(-0.04, 0.04, 200)
    picker = FramePicker(5.0)
    assert all(picker.choose(i * 0.2 + jitter[i]) for i in range(200))


def test_rotation_is_applied(make_clip: MakeClip) -> None:
    path = make_clip(seconds=1)
    one, zero = b"\0\1\0\0", b"\0\0\0\0"
    upright = one + zero * 3 + one + zero * 3 + b"\x40\0\0\0"
    clockwise = zero + one + zero + b"\xff\xff\0\0" + zero * 4 + b"\x40\0\0\0"
    movie, track = (part := path.read_bytes().split(upright))[0], part[1]  # two matrices: the movie's and the track's
    path.write_bytes(movie + upright + track + clockwise + upright.join(part[2:]))
    frames, _, _ = read([recording(path)])
    meta, picture = frames["file"][0]
    assert (meta.width, meta.height) == (64, 96)
    assert picture.shape == (*TALL, 3)
    assert picture[2:8, -6:-2].min() > 200  # the corner has moved to the top right
    assert picture[2:8, 2:6].max() < 60


def test_odd_sizes_are_scaled(make_clip: MakeClip) -> None:
    path = make_clip("odd.mkv", seconds=0.4, width=321, height=241, codec="ffv1")
    frames, _, _ = read([recording(path)])
    assert [(meta.width, meta.height) for meta, _ in frames["file"]] == [(321, 241)] * 10


def test_a_change_of_size_in_mid_stream_changes_the_canvas(make_clip: MakeClip, tmp_path: Path) -> None:
    parts = [make_clip("a.h264", seconds=1), make_clip("b.h264", seconds=1, width=64, height=96)]
    joined = tmp_path / "joined.h264"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames, messages, _ = read([recording(joined)])
    sizes = [(meta.width, meta.height, picture.shape[:2]) for meta, picture in frames["file"]]
    assert sizes == [(96, 64, WIDE)] * 25 + [(64, 96, TALL)] * 25
    assert last(messages, "file").kind == "ended"
    assert np.diff([meta.pts_s for meta, _ in frames["file"]]).min() > 0


@pytest.mark.parametrize("codec", ["mpeg4", "libx265"])
def test_a_change_of_codec_size_and_frame_rate_in_mid_file_is_followed_and_the_seam_is_a_gap(
    make_clip: MakeClip, tmp_path: Path, codec: str
) -> None:
    parts = [
        make_clip("a.ts", seconds=2),
        make_clip("b.ts", seconds=4, fps=30, width=192, height=288, codec=codec),
        make_clip("c.ts", seconds=2),
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames, messages, coverage = read([recording(joined)])
    metas = [meta for meta, _ in frames["file"]]
    sizes = [(meta.width, meta.height) for meta in metas]
    small, tall = (96, 64), (192, 288)
    before, after = sizes.index(tall), sizes[::-1].index(tall)
    assert sizes == [small] * before + [tall] * sizes.count(tall) + [small] * after
    assert 2 * 50 - 4 <= sizes.count(small) <= 2 * 50
    assert 120 - 4 <= sizes.count(tall) <= 120
    assert np.diff([meta.pts_s for meta in metas]).min() > 0
    clean = [n for n, meta in enumerate(metas) if not meta.corrupt]
    assert len(clean) > 0.85 * len(metas)
    for n in clean:
        picture = frames["file"][n][1]
        assert picture.shape == (*(WIDE if sizes[n] == small else TALL), 3)
        assert picture[2:6, 2:6].min() > 180  # a whole picture: the white corner is there
    assert last(messages, "file").kind == "ended"
    account = coverage["file"]
    assert (account.decoded, account.dropped) == (account.delivered, {})
    for seam_s in (metas[before - 1].pts_s, metas[-after - 1].pts_s):  # a frame may be lost there, so it is told
        assert any(gap.from_media_s <= seam_s < gap.to_media_s for gap in account.gaps)


def test_damage_costs_few_frames_marks_suspect_ones_and_is_reported(make_clip: MakeClip) -> None:
    path = make_clip(seconds=4)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    middle = (start + end) // 2
    data[middle : middle + 200] = bytes(np.random.default_rng(1).integers(0, 256, 200, dtype=np.uint8))
    path.write_bytes(data)
    frames, messages, coverage = read([recording(path)])
    metas = [meta for meta, _ in frames["file"]]
    suspect = [meta.pts_s for meta in metas if meta.corrupt]
    assert len(metas) > 85
    assert coverage["file"].errors > 0
    assert metas[-1].corrupt is False  # key frames come after the damage
    gaps = [message.gap for message in messages if message.gap is not None]
    assert gaps
    assert {gap.reason for gap in gaps} == {"corrupt"}
    assert all(any(gap.from_media_s < pts_s < gap.to_media_s for gap in gaps) for pts_s in suspect)
    again, _, _ = read([recording(path)], max_batch=1)
    assert [meta.corrupt for meta, _ in again["file"]] == [meta.corrupt for meta in metas]


def test_bad_files_fail_in_one_line_each_and_the_good_one_is_read(make_clip: MakeClip, tmp_path: Path) -> None:
    good = make_clip(seconds=1)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello " * 100)
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:1,\nfile://{good}\n")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        sound = container.add_stream("aac", rate=16000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 16000
        container.mux(sound.encode(silence))
        container.mux(sound.encode())
    names = ("cut", "empty", "text", "list", "sound", "absent")
    sources = [recording(tmp_path / f"{name}.mp4", name) for name in names]
    frames, messages, _ = read([*sources, recording(good, "good")])
    assert len(frames["good"]) == 25
    assert last(messages, "good").kind == "ended"
    expected = {"empty": "empty (0 bytes)", "sound": "no video stream (audio only)", "absent": "does not exist"}
    for name in names:
        failed = [m for m in messages if m.source_id == name]
        assert [m.kind for m in failed] == ["failed"]
        assert f"{name}.mp4: " in failed[0].detail
        assert expected.get(name, "is not a video") in failed[0].detail
        assert "\n" not in failed[0].detail


def test_a_recording_that_is_cut_off_after_its_index_is_read_and_reported(make_clip: MakeClip, tmp_path: Path) -> None:
    whole = tmp_path / "whole.mp4"
    with (
        av.open(str(make_clip(seconds=4))) as source,
        av.open(str(whole), "w", options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    frames, messages, _ = read([recording(cut)])
    assert 10 < len(frames["file"]) < 90
    final = last(messages, "file")
    assert (final.kind, final.reason) == ("failed", "truncated")
    assert "cut off at" in final.detail
    assert final.gap is not None


def test_a_picture_that_is_too_large_is_refused(make_clip: MakeClip) -> None:
    _, messages, _ = read([recording(make_clip(seconds=0.4), max_pixels=1000)])
    assert last(messages, "file").reason == "too_large"


def test_a_decoder_that_is_killed_goes_on_where_it_was(make_clip: MakeClip) -> None:
    killed: list[int] = []

    def kill_once(supervisor: SourceSupervisor) -> None:
        if not killed:
            killed.append(supervisor.pids()["file"])
            os.kill(killed[0], signal.SIGKILL)

    frames, messages, coverage = read([recording(make_clip(seconds=3), target_fps=10.0)], 2, kill_once)
    assert "restarted" in [message.kind for message in messages]
    assert [meta.pts_s for meta, _ in frames["file"]] == pytest.approx([n / 10 for n in range(30)], abs=0.021)
    assert [picture[20:, 20:].mean() for _, picture in frames["file"]] == pytest.approx(
        [8 * (meta.frame_index % 25) for meta, _ in frames["file"]], abs=5
    )
    assert coverage["file"].delivered == 30


def test_a_source_that_is_removed_stops_and_another_goes_on(make_clip: MakeClip) -> None:
    path = make_clip(seconds=2)
    counts = {"a": 0, "b": 0}
    removed: list[Coverage] = []
    with SourceSupervisor([recording(path, "a")]) as supervisor:
        for item in FrameBatcher(supervisor, 1, 0.0):
            if isinstance(item, Batch):
                counts[item.meta[0].source_id] += 1
                if counts["a"] == 3 and not removed:
                    supervisor.add(recording(path, "b"))
                    removed.append(supervisor.remove("a"))
        assert set(supervisor.coverage()) == {"b"}
    assert counts == {"a": 3, "b": 50}
    account = removed[0]
    assert account.delivered == 3
    assert account.decoded == account.delivered + account.dropped.get("stopped", 0)


def test_the_decoder_starts_without_torch_and_goes_with_its_pipeline(make_clip: MakeClip) -> None:
    code = (
        "import sys, stream.decode.decoder; print(any(name in sys.modules for name in ('torch', 'pydantic', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
    path = make_clip(seconds=2)
    supervisor = SourceSupervisor([recording(path, f"s{i}") for i in range(3)])
    deadline = time.monotonic() + 10
    while len(pids := supervisor.pids()) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    started = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - started < 3
    for pid in pids.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_decoders_go_when_their_pipeline_is_killed(make_clip: MakeClip) -> None:
    code = f"""
import time
from hoiclip.types import Canvas
from stream.decode.sources import SourceSettings
from stream.ingest.supervisor import SourceSupervisor
supervisor = SourceSupervisor([SourceSettings("a", {str(make_clip())!r}, "live", (Canvas(32, 48),))])
deadline_s = time.monotonic() + 20
while not supervisor.connected()["a"] and time.monotonic() < deadline_s:
    time.sleep(0.01)
print(*supervisor.pids().values(), flush=True)
time.sleep(60)
"""
    root = Path(__file__).resolve().parents[3]
    pipeline = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root)
    assert pipeline.stdout is not None
    pid = int(pipeline.stdout.readline())
    os.kill(pid, 0)
    pipeline.kill()
    pipeline.wait()
    deadline = time.monotonic() + 5
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether a process still works; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_decoder_that_hangs_is_killed_and_replaced(make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.ingest.supervisor.SILENCE_S", 1.5)
    frozen: list[int] = []

    def freeze_once(supervisor: SourceSupervisor) -> None:
        if not frozen:
            frozen.append(supervisor.pids()["file"])
            os.kill(frozen[0], signal.SIGSTOP)

    frames, messages, _ = read([recording(make_clip(seconds=2))], 2, freeze_once)
    assert "no sign of life" in next(message.detail for message in messages if message.kind == "restarted")
    assert [meta.frame_index for meta, _ in frames["file"]] == list(range(50))
