from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import hoistream
from engines.base import BaseEngine
from engines.null_engine import NullEngine
from hoiclip.types import Outputs
from tests.hoistream.conftest import EAGER

Watching = Callable[..., hoistream.Watch]


class Memory:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.events: list[hoistream.Event] = []
        self.closed = 0

    def write(self, event: hoistream.Event) -> None:
        assert not self.closed
        self.events.append(event)

    def close(self) -> None:
        self.closed += 1


def kinds(events: list[Any]) -> list[str]:
    return [event.type for event in events if event.type in ("started", "ended")]


def test_events_of_a_recording_come_typed_in_order_and_end(watch: Watching, clip: Path) -> None:
    with watch({"door": clip}) as events:
        found = list(events)
    assert kinds(found).count("started") == kinds(found).count("ended") > 0
    assert {event.source_id for event in found} == {"door"}
    assert [event.seq for event in found] == list(range(1, len(found) + 1))
    assert all(event.published_time is not None for event in found)
    assert isinstance(found[0], hoistream.InteractionEvent | hoistream.SourceStateEvent)


def test_iteration_needs_no_with_block(watch: Watching, clip: Path) -> None:
    running = watch(clip)
    assert not running.is_running
    found = list(running)
    assert kinds(found)
    assert not running.is_running
    assert list(running) == []


def test_a_callback_gets_every_event_and_wait_waits_for_the_end(watch: Watching, clip: Path) -> None:
    heard: list[Any] = []
    with watch(clip, on_event=heard.append) as running:
        assert running.wait()
    with watch(clip) as events:
        found = list(events)
    assert [event.event_id for event in heard] == [event.event_id for event in found]
    assert {threading.current_thread()} != {None}


def test_a_watch_with_a_callback_cannot_be_iterated(watch: Watching, clip: Path) -> None:
    with pytest.raises(hoistream.InputError, match="on_event"):
        iter(watch(clip, on_event=print))


def test_asyncio_iterates_beside_other_tasks(watch: Watching, clip: Path) -> None:
    async def main() -> tuple[list[Any], int]:
        ticks, done = 0, asyncio.Event()

        async def tick() -> None:
            nonlocal ticks
            while not done.is_set():
                ticks += 1
                await asyncio.sleep(0.005)

        beside = asyncio.create_task(tick())
        async with watch(clip) as events:
            found = [event async for event in events]
        done.set()
        await beside
        return found, ticks

    found, ticks = asyncio.run(asyncio.wait_for(main(), 60))
    assert kinds(found)
    assert ticks > 10


def test_a_cancelled_task_stops_the_watch(watch: Watching, long_clip: Path) -> None:
    memory = Memory()

    async def consume() -> None:
        async with watch(long_clip, sinks=[memory]) as events:
            async for _ in events:
                raise_later.set()
                await asyncio.sleep(0.01)

    raise_later = asyncio.Event()

    async def main() -> None:
        task = asyncio.create_task(consume())
        await raise_later.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(main(), 60))
    assert memory.closed == 1
    assert kinds(memory.events).count("started") == kinds(memory.events).count("ended")


def test_two_watches_run_at_once_in_one_process_and_in_threads(watch: Watching, clip: Path) -> None:
    found: dict[str, list[Any]] = {}
    expected = [event.event_id for event in watch({"a": clip})]

    def work(name: str) -> None:
        with watch({"a": clip}) as events:
            found[name] = [event.event_id for event in events]

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {"0": expected, "1": expected, "2": expected}


def test_leaving_half_way_ends_what_is_open_and_closes_the_sinks(watch: Watching, long_clip: Path) -> None:
    memory = Memory()
    with watch(long_clip, sinks=[memory]) as events:
        next(events)
    assert not events.is_running
    assert memory.closed == 1
    assert kinds(memory.events).count("started") == kinds(memory.events).count("ended") > 0
    assert memory.events[-1].media_time_s < 59


def test_stop_lets_the_iteration_go_on_to_the_last_event(watch: Watching, long_clip: Path) -> None:
    with watch(long_clip) as events:
        found = [next(events)]
        events.stop()
        found += list(events)
    assert kinds(found).count("started") == kinds(found).count("ended")
    reasons = {event.reason for event in found if event.type == "ended"}
    assert reasons <= {"stopped", "lost", "score"} and "stopped" in reasons


def test_a_consumer_that_is_slower_than_the_events_loses_none(watch: Watching, clip: Path) -> None:
    quick = [event.event_id for event in watch(clip, tracker=EAGER | {"update_interval_s": 0.0})]
    slow = []
    with watch(clip, tracker=EAGER | {"update_interval_s": 0.0}, buffer=1) as events:
        for event in events:
            slow.append(event.event_id)
            time.sleep(0.002)
    assert len(quick) > 50
    assert slow == quick


def test_an_exception_in_the_body_is_the_one_that_is_raised(watch: Watching, long_clip: Path) -> None:
    def fail(event: Any) -> None:
        raise OSError("the callback failed")

    with pytest.raises(ValueError, match="mine"), watch(long_clip) as events:
        next(events)
        raise ValueError("mine")
    with pytest.raises(ValueError, match="mine"), watch(long_clip, on_event=fail) as running:
        while running.is_running:
            time.sleep(0.01)
        raise ValueError("mine")


@pytest.mark.parametrize("way", ["wait", "leave"])
def test_an_exception_in_the_callback_stops_the_watch_and_is_raised_once(
    watch: Watching, long_clip: Path, way: str
) -> None:
    calls: list[Any] = []

    def fail(event: Any) -> None:
        calls.append(event)
        raise OSError("the callback failed")

    with pytest.raises(OSError, match="the callback failed"), watch(long_clip, on_event=fail) as running:
        if way == "wait":
            running.wait()
        while running.is_running:
            time.sleep(0.01)
    assert len(calls) == 1
    running.close()


def test_a_sink_of_ones_own_that_fails_ends_the_watch_with_its_error(watch: Watching, long_clip: Path) -> None:
    class Broken(Memory):
        def write(self, event: hoistream.Event) -> None:
            raise ConnectionError("the sink is gone")

    sink = Broken()
    with pytest.raises(ConnectionError, match="the sink is gone"), watch(long_clip, sinks=[sink]) as events:
        list(events)
    assert sink.closed == 1


def test_a_recording_that_fails_is_raised_after_the_others_are_done(
    watch: Watching, clip: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video" * 200)
    found: list[Any] = []
    with pytest.raises(hoistream.HoistreamError, match=r"bad\.mp4"), watch([bad, clip]) as events:
        found.extend(events)
    assert {event.source_id for event in found if event.type == "ended"} == {"clip"}


def test_a_camera_that_is_away_is_no_error(watch: Watching, free_tcp_port: int) -> None:
    with watch(f"rtsp://viewer:secret@127.0.0.1:{free_tcp_port}/one") as events:
        deadline = time.monotonic() + 20
        while not events.health()["sources"] and time.monotonic() < deadline:
            time.sleep(0.02)
        health = events.health()
        assert "secret" not in repr(events)
    assert health["ok"] is False
    assert list(health["sources"]) == ["127.0.0.1-one"]


def test_a_live_camera_gives_events_with_the_time_of_capture(watch: Watching, make_camera: Callable[..., Any]) -> None:
    camera = make_camera(seconds=4.0)
    camera.start()
    with watch({"gate": camera.url}, target_fps=8) as events:
        event = next(e for e in events if e.type == "started")
    assert event.source_id == "gate"
    assert event.capture_time is not None


def test_events_go_to_urls_and_to_objects(watch: Watching, clip: Path, tmp_path: Path, server: Any) -> None:
    file, memory = tmp_path / "events.jsonl", Memory()
    with watch(clip, sinks=[f"jsonl:{file}", memory, server.url], spool_dir=tmp_path / "spool") as events:
        ids = [event.event_id for event in events]
    assert [json.loads(line)["event_id"] for line in file.read_text().splitlines()] == ids
    assert [event.event_id for event in memory.events] == ids
    with hoistream.subscribe(server.url, follow=False) as stream:
        assert [event.event_id for event in stream] == ids


def test_an_engine_of_ones_own_runs_the_frames(watch: Watching, tiny: hoistream.Model, clip: Path) -> None:
    class Counting(NullEngine):
        frames = 0

        def _run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
            Counting.frames += len(frames)
            return super()._run(frames)

    opened: list[hoistream.Canvas] = []

    def own(canvas: hoistream.Canvas) -> BaseEngine:
        opened.append(canvas)
        return Counting(tiny.loaded.config, canvas)

    found = list(watch(clip, engine=own, canvases=["64x112"]))
    assert opened == [hoistream.Canvas(64, 112)]
    assert Counting.frames == 51  # 50 and the blank one that warms it up
    assert kinds(found)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (["gone.mp4"], {}, r"source 'gone': gone\.mp4: no such file"),
        ([], {}, "no sources"),
        ({"a b": "rtsp://h/1"}, {}, r"source 'a b', `id`"),
        (["ftp://host/file"], {}, "cannot read ftp://"),
        (["rtsp://h/1"], {"target_fps": 0}, r"`target_fps`"),
        (["rtsp://h/1"], {"tracker": {"enter_scroe": 1}}, r"tracker, `enter_scroe`"),
        (["rtsp://h/1"], {"tracker": {"enter_score": 0.2, "leave_score": 0.4}}, "must not be above"),
        (["rtsp://h/1"], {"vocabulary": ["ride bicylce"]}, "did you mean `ride bicycle`"),
        (["rtsp://h/1"], {"sinks": ["kafka://host"]}, "sink 'kafka'"),
        (["rtsp://h/1"], {"sinks": [3]}, "sink 3: expected a URL, or an object"),
        (["rtsp://h/1"], {"engine": "openvno"}, "engine, `kind`"),
        (["rtsp://h/1"], {"canvases": ["big"]}, "HEIGHTxWIDTH"),
        (["rtsp://h/1"], {"buffer": 0}, "buffer"),
        (["rtsp://h/1"], {"model": 3}, "model: expected"),
        (["rtsp://h/1"], {"model": "yolo"}, "no model called 'yolo'"),
    ],
)
def test_what_cannot_be_right_is_one_line_before_anything_runs(
    watch: Watching, arguments: Any, options: dict[str, Any], message: str
) -> None:
    before = set(threading.enumerate())
    with pytest.raises(hoistream.InputError, match=message) as caught, watch(arguments, **options):
        pass
    assert "\n" not in str(caught.value)
    assert set(threading.enumerate()) == before


def test_sources_get_names_of_their_own_without_passwords(watch: Watching, clip: Path) -> None:
    urls = ["rtsp://u:secret@192.0.2.1:554/stream 1?token=x", "rtsp://192.0.2.1/stream 1", clip, str(clip)]
    text = repr(watch(urls))
    assert text == "<hoistream.Watch 192.0.2.1-stream-1, 192.0.2.1-stream-1-2, clip, clip-2: made>"
    source = hoistream.Source(id="gate", url=str(clip), target_fps=2)
    assert repr(watch([source, clip])) == "<hoistream.Watch gate, clip: made>"


def test_the_callers_logging_is_left_alone(watch: Watching, clip: Path, capfd: pytest.CaptureFixture[str]) -> None:
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    list(watch(clip))
    assert (logging.getLogger().handlers, logging.getLogger().level) == (handlers, level)
    assert capfd.readouterr() == ("", "")


def test_zones_are_those_of_sources_that_have_none_of_their_own(watch: Watching, clip: Path) -> None:
    whole = {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]], "settle_s": 0}
    own = hoistream.Source(id="own", url=str(clip), zones={"mine": whole})
    with watch([clip, own], zones={"zones": {"everywhere": whole}}) as events:
        found = {(event.source_id, event.zones) for event in events if event.type == "started"}
    assert found == {("clip", ("everywhere",)), ("own", ("mine",))}


def test_alerts_come_among_the_events(watch: Watching, clip: Path, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    condition = "{camera: clip, zone: all}"
    file.write_text(f"rules:\n  - name: often\n    count: {{what: {condition}, at_least: 2, within_s: 60}}\n")
    whole = {"zones": {"all": {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]], "settle_s": 0}}}
    with watch(clip, rules=file, zones=whole, sinks=[f"jsonl:{tmp_path / 'events.jsonl'}"]) as events:
        heard = list(events)
    alerts = [event for event in heard if event.type == "alert"]
    assert alerts
    starts = [event.event_id for event in heard if event.type == "started"]
    assert list(alerts[0].event_ids) == starts[:2]
    assert heard.index(alerts[0]) > [event.event_id for event in heard].index(starts[1])
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["event_id"] for line in lines] == [event.event_id for event in heard]


def test_rules_of_a_live_camera_keep_their_memory_beside_the_spool(
    watch: Watching, make_camera: Callable[..., Any], tmp_path: Path
) -> None:
    camera = make_camera(seconds=4.0)
    camera.start()
    zones = {"zones": {"all": {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]], "settle_s": 0}}}
    rules = {"rules": [{"name": "long", "lasts": {"what": {"zone": "all"}, "for_s": 0.5}}]}
    with watch({"gate": camera.url}, rules=rules, zones=zones, spool_dir=tmp_path) as events:
        alert = next(event for event in events if event.type == "alert")
    assert (alert.source_id, alert.rule, alert.zones) == ("gate", "long", ("all",))
    assert alert.capture_time is not None
    record = json.loads((tmp_path / "rules.json").read_text())
    assert list(record["lanes"]) == ["gate"]
