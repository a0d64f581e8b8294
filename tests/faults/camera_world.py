"""The whole pipeline under faults: `hoistream run` with real cameras over RTSP, decoders, health over HTTP and Redis.

What was wrong, and from when to when, is known from outside: whoever freezes a camera writes it down here.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from stream.events.schema import CoverageGapEvent, Event
from tests.faults.checking import Findings, stream_events
from tests.faults.proxy import Proxy, reserve_port
from tests.faults.world import PATIENCE_S, World, python

TIMEOUT_S = 1.0  # after which a silent camera has stalled
NOTICED_S = 4.0  # by when health must say so: a stall, a decoder without a sign of life
GAP_S = 2.0  # a stretch that is longer must be told
SLACK_S = 1.0  # what waits in buffers, and how long a camera takes to come back


class Camera:
    """A real RTSP server that plays a clip for ever, behind a proxy that can make it lie."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self._folder = name, folder
        self._reserved, self._port = reserve_port()
        folder.mkdir()
        self._process: subprocess.Popen[str] | None = None
        self.start()
        self.proxy = Proxy(("127.0.0.1", self._port))

    @property
    def url(self) -> str:
        """Where the pipeline finds it."""
        return f"rtsp://127.0.0.1:{self.proxy.port}/clip.mp4"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def start(self, *, codec: str = "libx264", width: int = 96, height: int = 64) -> None:
        """Return when its port is open."""
        what = [str(self._folder / "clip.mp4"), str(self._port), codec, str(width), str(height)]
        self._process = python(["tests.faults.camera", *what], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().startswith("rtsp://")

    def kill(self) -> None:
        """End it as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def close(self) -> None:
        """End it for good."""
        self.kill()
        self.proxy.close()
        self._reserved.close()


class CameraWorld(World):
    """One pipeline under faults, with the cameras `one` and `two`; faults happen to `one`."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.cameras = {name: Camera(name, folder / name) for name in ("one", "two")}
        self.wrong: list[tuple[float, float]] = []  # stretches (monotonic) in which health must not say ok
        self.blind: list[tuple[str, float, float]] = []  # camera, and from when to when (wall clock) it showed nothing
        self._health_reserved, self.health_port = reserve_port()
        self._over = threading.Event()
        self._states_before = 0  # answers about health before this pipeline was started
        super().__init__(folder, seed)
        self._watcher = threading.Thread(target=self._ask)
        self._watcher.start()

    @property
    def one(self) -> Camera:
        """The camera that faults happen to."""
        return self.cameras["one"]

    @property
    def fewest_events(self) -> int:
        """How many events a run has that was worth its name."""
        return 40

    def start_publisher(self) -> None:
        """Start the pipeline."""
        settings: dict[str, Any] = {
            "model": "demo",
            "vocabulary": ["ride bicycle", "hold cup", "walk dog"],
            "engine": {"kind": "null"},
            # the engine sees ten pairs in every frame; so short that interactions end and begin all the time
            "tracker": {"enter_score": 0.0, "leave_score": 0.0, "min_pair_score": 0.0, "min_duration_s": 0.0}
            | {"max_event_s": 0.8, "gap_s": 0.5, "update_interval_s": 0.4, "stationary_s": 0.0},
            "sinks": [self.url, *self._files],
            "spool_dir": str(self.spool),
            "metrics": {"port": self.health_port},
            "sources": [
                {"id": camera.name, "url": camera.url, "timeout_s": TIMEOUT_S} for camera in self.cameras.values()
            ],
        }
        self._states_before = len(self.states)
        path = self.folder / "run.yaml"
        path.write_text(json.dumps(settings))  # which is YAML too
        log = (self.folder / "log").open("a")
        with log:
            self.publisher = python(["hoistream", "run", str(path)], stderr=log)

    def is_up(self, pid: int) -> bool:
        """Whether the pipeline of that pid is past its start; also when it has ended."""
        assert self.publisher is not None
        return self.publisher.poll() is not None or len(self.states) > self._states_before

    def _ask(self) -> None:
        """Ask for health ten times a second."""
        while not self._over.is_set():
            asked_s = time.monotonic()
            if (document := self._health()) is not None:
                self.states.append({"at": asked_s, "state": document["publisher"], **document})
            self._over.wait(0.1)

    def _health(self) -> dict[str, Any] | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.health_port, timeout=2.0)
        with suppress(OSError, http.client.HTTPException, ValueError):
            connection.request("GET", "/health")
            document: dict[str, Any] = json.loads(connection.getresponse().read())
            return document
        connection.close()
        return None

    def wait_until_up(self, timeout_s: float = PATIENCE_S) -> None:
        """Return once health says that all is well."""
        seen = len(self.states)
        self.wait_for(lambda: any(said["ok"] for said in self.states[seen:]), timeout_s, "health to be ok")

    def wait_for_state(self, *states: str, timeout_s: float = PATIENCE_S) -> None:
        """Return once the publisher is in one of `states`; where that is ok, once everything is."""
        if states == ("ok",):
            self.wait_until_up(timeout_s)
        else:
            super().wait_for_state(*states, timeout_s=timeout_s)

    def decoders(self) -> list[int]:
        """Return the decoders' process ids, one a camera."""
        self.wait_for(lambda: len(self._decoders()) == len(self.cameras), what="a decoder of each camera")
        return self._decoders()

    def _decoders(self) -> list[int]:
        assert self.publisher is not None
        children = {pid for task in _read(f"/proc/{self.publisher.pid}/task/*/children") for pid in task.split()}
        return [int(pid) for pid in children if "stream.decode.decoder" in "".join(_read(f"/proc/{pid}/cmdline"))]

    # What is wrong, as known from outside

    @contextmanager
    def something_wrong(self) -> Iterator[None]:
        """Health must not say ok within this block, once it has had time to notice."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.wrong.append((began, time.monotonic()))

    @contextmanager
    def away(self, *names: str) -> Iterator[None]:
        """Cameras, `one` if none is named, show nothing within this block."""
        began = time.time()
        try:
            with self.something_wrong():
                yield
        finally:
            self.blind += [(name, began, time.time()) for name in names or ("one",)]

    def tell_open_gaps(self, *names: str) -> None:
        """Note a failure unless an open coverage gap of each of these cameras has been published by now."""
        told = {event.source_id for event in stream_events(self.direct) if isinstance(event, CoverageGapEvent)}
        if missing := set(names) - told:
            self.failures.append(f"no open coverage gap of {', '.join(sorted(missing))}")

    # The end

    def finish(self) -> Findings:
        """End the run in order, deliver what waits, and check what is left."""
        self.wait_until_up()
        findings = super().finish()
        return replace(findings, untold=findings.untold + self._untold(stream_events(self.direct)))

    def lies(self) -> int:
        """Count the stretches in which something was wrong for long and health said ok."""
        lies = 0
        for began, ended in self.wrong:
            said = [one["ok"] for one in self.states if began + NOTICED_S < one["at"] < ended]
            lies += any(said)
        return lies

    def _untold(self, events: list[Event]) -> int:
        """Count the stretches in which a camera showed nothing and no coverage gap says so."""
        gaps = [event for event in events if isinstance(event, CoverageGapEvent) and not event.open]
        untold = 0
        for name, began, ended in self.blind:
            if ended - began <= GAP_S + SLACK_S:
                continue
            covering = [
                gap
                for gap in gaps
                if gap.source_id == name
                and gap.from_time is not None
                and gap.to_time is not None
                and gap.from_time.timestamp() < began + SLACK_S
                and gap.to_time.timestamp() > ended - SLACK_S
            ]
            if not covering:
                untold += 1
                told = [(str(gap.from_time), str(gap.to_time), gap.reason) for gap in gaps if gap.source_id == name]
                print(f"untold: {name} from {began:.1f} to {ended:.1f}; told: {told}", file=sys.stderr)
        return untold

    def close(self) -> None:
        """End every process, however the run went."""
        self._over.set()
        super().close()
        self._watcher.join()
        self._health_reserved.close()
        for camera in self.cameras.values():
            camera.close()


def _read(pattern: str) -> list[str]:
    """Return what the files of `/proc` say that are still there."""
    found = []
    for path in Path("/").glob(pattern.lstrip("/")):
        with suppress(OSError):
            found.append(path.read_text())
    return found
