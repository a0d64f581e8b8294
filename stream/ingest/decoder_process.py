"""Start, read and end one decoder process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stream.decode.ring import Ring
from stream.decode.sources import SourceSettings
from stream.redaction import redact

HUNG_EXIT_CODE = 75  # how `stream.decode.decoder` ends itself when FFmpeg does not come back
_ROOT = Path(__file__).resolve().parents[2]


class DecoderProcess:
    """A running `stream.decode.decoder`: a fresh interpreter, no fork, without torch or the pipeline's locks."""

    def __init__(self, settings: SourceSettings, ring: Ring, job: dict[str, Any]) -> None:
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "stream.decode.decoder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=(ring.fd,),
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C in the terminal reaches the pipeline alone
        )
        assert self._popen.stdin and self._popen.stdout and self._popen.stderr
        self._slots, self.messages, self.errors = self._popen.stdin, self._popen.stdout, self._popen.stderr
        self._partial = b""
        self._last_words = b""
        line = json.dumps({**job, "settings": settings.to_json(), "ring_fd": ring.fd}) + "\n"
        with contextlib.suppress(BrokenPipeError):  # the settings go by the pipe: a command line shows passwords
            self._slots.write(line.encode())
        os.set_blocking(self.messages.fileno(), False)
        os.set_blocking(self.errors.fileno(), False)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    def read(self) -> list[dict[str, Any]] | None:
        """Return the messages that have arrived; None when the process has closed its end."""
        try:
            data = os.read(self.messages.fileno(), 1 << 16)
        except BlockingIOError:
            return []
        if not data:
            return None
        *lines, self._partial = (self._partial + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def read_errors(self) -> bool:
        """Take in what the process wrote to stderr; return False at its end."""
        try:
            data = os.read(self.errors.fileno(), 1 << 14)
        except BlockingIOError:
            return True
        self._last_words = (self._last_words + data)[-2000:]
        return bool(data)

    def release(self, slots: Iterable[int]) -> None:
        """Tell the decoder that slots are free again; together, since each write wakes it."""
        with contextlib.suppress(OSError, ValueError):  # it has ended: its successor learns by the job
            self._slots.write(bytes(slots))

    def end(self, patience_s: float) -> str:
        """End the process, by force after `patience_s`; return in one line how it ended and its last words."""
        with contextlib.suppress(OSError):
            self._slots.close()
        try:
            code = self._popen.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            code = self._popen.wait()
        with contextlib.suppress(OSError, ValueError):
            self.read_errors()
        self.messages.close()
        self.errors.close()
        if code == HUNG_EXIT_CODE:
            return "it hung"
        words = self._last_words.decode(errors="replace").strip().splitlines()
        return f"signal {-code}" if code < 0 else f"exit code {code}" + (f", {redact(words[-1])}" if words else "")

    def ask_to_end(self) -> None:
        """Close the pipe the decoder lives by; `end` waits."""
        with contextlib.suppress(OSError):
            self._slots.close()

    def kill(self) -> None:
        """End a process that hangs."""
        self._popen.kill()
