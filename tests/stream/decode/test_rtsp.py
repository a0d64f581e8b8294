"""Cameras over real RTSP: they go away, freeze and come back, and each stretch is accounted for."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest

from hoiclip.types import Canvas
from stream.decode.sources import SourceSettings
from stream.ingest.batcher import Batch, FrameBatcher, FrameMeta
from stream.ingest.supervisor import SourceMessage, SourceSupervisor

SIZE = (Canvas(32, 48),)


def camera(url: str, name: str = "cam", **changes: object) -> SourceSettings:
    values: dict[str, object] = {"canvases": SIZE, "target_fps": 10.0, "timeout_s": 1.0, **changes}
    return SourceSettings(name, url, "live", **values)  # type: ignore[arg-type]


class Watcher:
    """Reads everything on a thread of its own and remembers when it came."""

    def __init__(self, supervisor: SourceSupervisor) -> None:
        self.supervisor = supervisor
        self.frames: list[tuple[float, FrameMeta]] = []
        self.messages: list[tuple[float, SourceMessage]] = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        for item in FrameBatcher(self.supervisor, 4, 0.02).run(self.stop):
            now = time.monotonic()
            if isinstance(item, Batch):
                self.frames += [(now, meta) for meta in item.meta]
            else:
                self.messages.append((now, item))

    def wait(self, condition: Callable[[], Any], limit_s: float) -> float:
        """Return the moment at which `condition` was seen to hold."""
        deadline = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline, (self.messages, len(self.frames))
            time.sleep(0.01)
        return time.monotonic()

    def count(self, name: str = "cam", epoch: int | None = None) -> int:
        return sum(m.source_id == name and epoch in (None, m.epoch) for _, m in list(self.frames))

    def kinds(self, name: str = "cam") -> list[tuple[str, str]]:
        return [(m.kind, m.reason) for _, m in list(self.messages) if m.source_id == name]


@contextmanager
def watching(*sources: SourceSettings) -> Iterator[Watcher]:
    with SourceSupervisor(sources) as supervisor:
        watcher = Watcher(supervisor)
        try:
            yield watcher
        finally:
            watcher.stop.set()
            watcher.thread.join()
        balanced(supervisor)


def balanced(supervisor: SourceSupervisor) -> None:
    for name, account in supervisor.coverage().items():
        accounted = account.skipped + account.delivered + sum(account.dropped.values()) + account.pending
        assert account.decoded == accounted, name


def test_a_camera_comes_back_after_its_server_was_killed_and_its_neighbour_notices_nothing(
    make_camera: Callable[..., Any],
) -> None:
    first, neighbour = make_camera(), make_camera()
    first.start()
    neighbour.start()
    with watching(camera(first.url), camera(neighbour.url, "neighbour")) as watcher:
        watcher.wait(lambda: watcher.count(epoch=1) > 3 and watcher.count("neighbour") > 3, 10)
        first.kill()
        watcher.wait(lambda: ("lost", "refused") in watcher.kinds(), 5)
        time.sleep(1.5)
        first.start()
        opened_s = time.monotonic()
        assert watcher.wait(lambda: watcher.count(epoch=2) > 0, 10) - opened_s <= 6.0
        assert ("lost", "end_of_stream") in watcher.kinds()
        gaps = [m.gap for _, m in watcher.messages if m.gap is not None and m.source_id == "cam"]
        assert [gap.reason for gap in gaps] == ["end_of_stream"]
        before = [m.pts_s for _, m in watcher.frames if m.source_id == "cam" and m.epoch == 1]
        after = [m.pts_s for _, m in watcher.frames if m.source_id == "cam" and m.epoch == 2]
        assert (gaps[0].from_media_s, gaps[0].to_media_s) == (before[-1], after[0])
        assert gaps[0].blind_s == pytest.approx(gaps[0].to_wall_s - gaps[0].from_wall_s, abs=0.3)
        assert watcher.supervisor.coverage()["cam"].blind_s == gaps[0].blind_s
        times = [now for now, m in watcher.frames if m.source_id == "neighbour"]
        assert max(b - a for a, b in pairwise(times)) < 1.5
        assert watcher.kinds("neighbour") == [("connecting", ""), ("opened", "")]
        states = [m.state for _, m in watcher.messages if m.source_id == "cam" and m.state is not None]
        assert states == ["connecting", "up", "lost", "lost", "up"]  # end of stream, then refused


def test_a_camera_that_freezes_is_found_out_and_named_stalled(make_camera: Callable[..., Any]) -> None:
    server = make_camera()
    server.start()
    with watching(camera(server.url)) as watcher:
        watcher.wait(lambda: watcher.count() > 3, 10)
        server.freeze()
        frozen_s = time.monotonic()
        found_s = watcher.wait(lambda: ("lost", "stalled") in watcher.kinds(), 10)
        assert found_s - frozen_s <= 2 * 1.0 + 1.0
        assert watcher.supervisor.connected() == {"cam": False}
        status = watcher.supervisor.status()["cam"]
        assert (status.state, status.reason) == ("lost", "stalled")
        time.sleep(0.3)
        open_gap = watcher.supervisor.close_accounts()[0].gap
        assert open_gap is not None
        assert open_gap.reason == "stalled"
        assert open_gap.blind_s == pytest.approx(time.monotonic() - frozen_s, abs=0.5)


def test_why_a_camera_cannot_be_opened_is_told_apart_and_told_once(
    make_camera: Callable[..., Any], free_tcp_port: int
) -> None:
    server = make_camera()
    server.start()
    refused = camera(f"rtsp://user:s3cret@127.0.0.1:{free_tcp_port}/a.mp4", "refused", backoff_max_s=0.5)
    absent = camera(server.url.replace("camera", "another"), "absent", backoff_max_s=0.5)
    with watching(refused, absent) as watcher:
        watcher.wait(lambda: len(watcher.kinds("refused")) + len(watcher.kinds("absent")) == 4, 10)
        time.sleep(1.5)  # several more attempts
        assert watcher.kinds("refused") == [("connecting", ""), ("lost", "refused")]
        assert watcher.kinds("absent") == [("connecting", ""), ("lost", "not_found")]
        assert "s3cret" not in str(watcher.messages)
        assert watcher.supervisor.coverage()["refused"].blind_s > 1.0


def test_a_slow_engine_sees_the_newest_frames_and_every_drop_is_counted(make_camera: Callable[..., Any]) -> None:
    server = make_camera()
    server.start()
    source = camera(server.url, target_fps=None, slots=4, staleness_s=0.3)
    ages = []
    with SourceSupervisor([source]) as supervisor:
        end_s = None
        for item in FrameBatcher(supervisor, 1, 0.0):
            if not isinstance(item, Batch):
                continue
            end_s = end_s or time.monotonic() + 3
            if time.monotonic() > end_s:
                break
            assert item.meta[0].capture_wall_s is not None
            ages.append(time.time() - item.meta[0].capture_wall_s)
            time.sleep(0.2)  # 5 frames/s for a camera of 25
        balanced(supervisor)
        account = supervisor.coverage()["cam"]
    assert sum(account.dropped.values()) > 30
    assert account.dropped["overwritten"] > 0
    assert 0 < account.seen < 0.5
    assert max(ages) < 0.6


def test_a_file_plays_as_a_camera_over_and_over_and_a_killed_decoder_is_replaced(make_clip: Callable[..., Any]) -> None:
    clip = make_clip(seconds=1)
    with watching(camera(str(clip))) as watcher:
        started_s = watcher.wait(lambda: watcher.count() > 0, 10)
        ended_s = watcher.wait(lambda: watcher.count(epoch=3) > 0, 10)
        assert 1.8 < ended_s - started_s < 4.0  # in real time
        os.kill(watcher.supervisor.pids()["cam"], signal.SIGKILL)
        watcher.wait(lambda: ("gap", "crashed") in watcher.kinds(), 10)
        watcher.wait(lambda: watcher.count(epoch=4) > 3, 10)
        times = [m.pts_s for _, m in watcher.frames]
        assert times == sorted(set(times))
