"""A wall clock that jumps: libfaketime's, in the place of the C library's; the monotonic clock stays."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path


def library() -> Path | None:
    """Return libfaketime's library, as the package `libfaketime` builds it; None where it is not installed."""
    found = find_spec("libfaketime")
    if found is None or found.origin is None:
        return None
    return next(iter(sorted(Path(found.origin).parent.rglob("libfaketime.so*"))), None)


class WallClock:
    """The wall clock of the processes that are started under it; `jump` moves it for all of them at once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offset_s = 0.0
        self.jump(0.0)

    def jump(self, seconds: float) -> None:
        """Move the clock, forwards or back."""
        self._offset_s += seconds
        written = self._file.with_suffix(".new")
        written.write_text(f"{self._offset_s:+.0f}\n")
        written.replace(self._file)

    def environment(self) -> dict[str, str]:
        """Return the variables that put a process under this clock."""
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "0",
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    @contextmanager
    def imposed(self) -> Iterator[None]:
        """Put what is started within the block under this clock."""
        before = {name: os.environ.get(name) for name in self.environment()}
        os.environ.update(self.environment())
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
