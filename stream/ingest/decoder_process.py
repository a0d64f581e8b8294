"""Start, read and end one decoder process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from stream.decode.ring import Ring
from stream.decode.wire import HUNG_EXIT_CODE, Job, Message, MessageReader, encode_job, encode_slots
from stream.foreign_text import harmless
from stream.redaction import redact

_ROOT: Final = Path(__file__).resolve().parents[2]  # of the checkout, or site-packages

# Isolated (-I): neither the working directory nor PYTHONPATH nor the user's site decides what is imported. These very
# packages are taken from where they lie; PyAV and NumPy are looked for where this interpreter has its own, then where
# the pipeline has them.
_BOOT: Final = """
import sys
sys.path.insert(0, sys.argv[1])
import hoiclip, stream
del sys.path[0]
sys.path += sys.argv[2:]
"""
_DECODE: Final = "from stream.decode.decoder import main; main()"
_CONFINE: Final = """
from stream.decode.sandbox import confine
from stream.decode.sources import SourceSettings
print(*confine(SourceSettings("none", "/nowhere", "file", ((2, 2),))), sep="\\n")
"""

# What a decoder sees of the environment: nothing that may hold a secret.
_ENVIRONMENT: Final = frozenset(
    {
        "DYLD_LIBRARY_PATH",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "LD_LIBRARY_PATH",
        "LOCALDOMAIN",  # how names are resolved
        "OPENBLAS_CORETYPE",
        "OPENBLAS_L2_SIZE",
        "RES_OPTIONS",
        "SYSTEMROOT",
        "TZ",
    }
)
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class DecoderProcess:
    """A running `stream.decode.decoder`: a fresh interpreter, no fork, without torch or the pipeline's locks.

    Raises OSError when the machine has no process, memory or descriptors left.
    """

    def __init__(self, job: Job, ring: Ring) -> None:
        self._popen = subprocess.Popen(
            _command(_DECODE),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=(ring.fd,),
            env=_environment(),
            start_new_session=True,  # Ctrl-C in the terminal reaches the pipeline alone
        )
        assert self._popen.stdin and self._popen.stdout and self._popen.stderr
        self._slots, self.messages, self.errors = self._popen.stdin, self._popen.stdout, self._popen.stderr
        self._reader = MessageReader()
        self._last_words = b""
        with contextlib.suppress(BrokenPipeError):  # the job goes by the pipe: a command line shows passwords
            self._slots.write(encode_job(job))
        os.set_blocking(self.messages.fileno(), False)
        os.set_blocking(self.errors.fileno(), False)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    def read(self) -> Iterator[Message] | None:
        """Return the messages that have arrived; None when the process has closed its end.

        The iterator raises WireError at what is no message.
        """
        try:
            data = os.read(self.messages.fileno(), 1 << 16)
        except BlockingIOError:
            return iter(())
        return self._reader.feed(data) if data else None

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
            self._slots.write(encode_slots(slots))

    def ask_to_end(self) -> None:
        """Close the pipe that the decoder lives by."""
        with contextlib.suppress(OSError):
            self._slots.close()

    def kill(self) -> None:
        """End the process at once."""
        self._popen.kill()

    def how_it_ended(self, patience_s: float = 0.0) -> str | None:
        """Return in one line how the process ended, with its last words; None while it has not.

        Its pipes are closed then.
        """
        try:
            code = self._popen.wait(patience_s)
        except subprocess.TimeoutExpired:
            return None
        with contextlib.suppress(OSError, ValueError):
            self.read_errors()
        for pipe in (self._slots, self.messages, self.errors):
            with contextlib.suppress(OSError):
                pipe.close()
        if code == HUNG_EXIT_CODE:
            return "it hung"
        words = self._last_words.decode(errors="replace").strip().splitlines()
        last = f", {harmless(redact(words[-1]))}" if words else ""
        return f"signal {-code}" if code < 0 else f"exit code {code}{last}"

    def end(self, patience_s: float) -> None:
        """Ask the process to end, and end it by force after `patience_s`."""
        self.ask_to_end()
        if self.how_it_ended(patience_s) is None:
            self.kill()
            self.how_it_ended(patience_s=5.0)


def confinement() -> list[str]:
    """Return in words what a recording's decoder is kept from on this machine; for people who ask."""
    done = subprocess.run(_command(_CONFINE), capture_output=True, text=True, env=_environment(), timeout=30.0)
    return done.stdout.splitlines()


def _command(entry: str) -> list[str]:
    return [sys.executable, "-I", "-c", _BOOT + entry, str(_ROOT), *_import_folders()]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in _ENVIRONMENT} | _ONE_THREAD


def _import_folders() -> list[str]:
    """Return where the pipeline looks for packages, but for its working directory."""
    here = Path.cwd()
    return [folder for folder in sys.path if folder and Path(folder).is_dir() and Path(folder).resolve() != here]
