"""Programs of this folder as forks of one process that has imported everything: a trial costs a third of what it would.

`start` starts a program, through the zygote that `Zygote` runs where there is one, else by itself.
"""

from __future__ import annotations

import array
import contextlib
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import IO, NoReturn

REPOSITORY = Path(__file__).resolve().parents[2]
ADDRESS = "HOISTREAM_FAULTS_ZYGOTE"  # the variable that names its socket
PROGRAMS = ("tests.faults.trial", "tests.faults.load", "tests.faults.consume")
_NUM_FDS = 2  # standard output and standard error go along


class Forked:
    """A program that the zygote forked, with what is used here of `subprocess.Popen`."""

    def __init__(self, module: str, arguments: list[str], stdout: int, stderr: int) -> None:
        self.stdout: IO[str] | None = None
        self.returncode: int | None = None
        self._answers = b""
        read_end, write_end = os.pipe() if stdout == subprocess.PIPE else (-1, stdout)
        self._zygote = socket.socket(socket.AF_UNIX)
        self._zygote.connect(os.environ[ADDRESS])
        fds = array.array("i", [write_end, stderr])
        request = json.dumps([module, *arguments]).encode() + b"\n"
        self._zygote.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        if stdout == subprocess.PIPE:
            os.close(write_end)
            self.stdout = os.fdopen(read_end)
        self.pid = int(self._answer(None) or 0)

    def _answer(self, timeout_s: float | None) -> str | None:
        """Return the zygote's next line; None when it does not come in time, and when the zygote is gone."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while b"\n" not in self._answers:
            left = None if end is None else max(0.0, end - time.monotonic())
            if not select.select([self._zygote], [], [], left)[0]:
                return None
            data = self._zygote.recv(100)
            if not data:
                return "-9"
            self._answers += data
        line, _, self._answers = self._answers.partition(b"\n")
        return line.decode()

    def poll(self) -> int | None:
        """Return the exit code, minus the signal's number where one ended it; None while it runs."""
        if self.returncode is None and (answer := self._answer(0.0)) is not None:
            self.returncode = int(answer)
            self._zygote.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            answer = self._answer(timeout)
            if answer is None:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            self.returncode = int(answer)
            self._zygote.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start(module: str, arguments: list[str], *, stdout: int | None = None, stderr: int | None = None) -> Forked:
    """Fork a program from the zygote; only where there is one."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        places = [null if place == subprocess.DEVNULL else place for place in (stdout, stderr)]
        return Forked(module, arguments, 1 if places[0] is None else places[0], 2 if places[1] is None else places[1])
    finally:
        os.close(null)


class Zygote:
    """Runs the zygote for the length of a block, for this process and those that it starts."""

    def __enter__(self) -> Zygote:
        self._folder = tempfile.TemporaryDirectory(prefix="zygote-")
        os.environ[ADDRESS] = f"{self._folder.name}/socket"
        command = [sys.executable, "-m", "tests.faults.zygote"]
        self._process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *error: object) -> None:
        del os.environ[ADDRESS]
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._folder.cleanup()


def _serve() -> NoReturn:
    """Fork what is asked for, and say how it ended."""
    for module in PROGRAMS:
        importlib.import_module(module)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    wake_r, wake_w = os.pipe()
    os.set_blocking(wake_w, False)
    signal.set_wakeup_fd(wake_w)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, socket.socket] = {}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.environ[ADDRESS])
        listener.listen(64)
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listener, wake_r], [], [])
            if wake_r in ready:
                os.read(wake_r, 1000)
                _tell_ends(running)
            if listener in ready:
                client, _ = listener.accept()
                words, fds = _request(client)
                if (pid := os.fork()) == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for place, fd in enumerate(fds, 1):
                        os.dup2(fd, place)
                    for fd in (*fds, wake_r, wake_w, listener.fileno(), client.fileno()):
                        os.close(fd)
                    for other in running.values():
                        os.close(other.fileno())
                    _become(words)
                for fd in fds:
                    os.close(fd)
                running[pid] = client
                client.sendall(f"{pid}\n".encode())


def _request(client: socket.socket) -> tuple[list[str], list[int]]:
    received = array.array("i")
    data, ancillary, _, _ = client.recvmsg(1 << 16, socket.CMSG_SPACE(_NUM_FDS * received.itemsize))
    for _, _, content in ancillary:
        received.frombytes(content[: _NUM_FDS * received.itemsize])
    while not data.endswith(b"\n"):
        data += client.recv(1 << 16)
    return json.loads(data), list(received)


def _tell_ends(running: dict[int, socket.socket]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with running.pop(pid) as client, contextlib.suppress(OSError):  # whoever asked may be gone
            client.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _become(words: list[str]) -> NoReturn:
    """Be the program of that name; never returns."""
    code = 1
    try:
        sys.argv = words
        sys.modules[words[0]].main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
