"""An event store as a sink: ``store:PATH[?keep_days=DAYS&max_rows=NUMBER&max_mb=SIZE]``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import parse_qsl

from hoiclip.errors import HoistreamError, InputError
from stream.publish.records import Record
from stream.publish.spooled import SpooledSinkDownError
from stream.store.event_store import EventStore, StoreLimits

SCHEME = "store:"
_OPTIONS: dict[str, tuple[str, Callable[[float], float | int]]] = {
    "keep_days": ("days", float),
    "max_rows": ("rows", int),
    "max_mb": ("max_bytes", lambda megabytes: int(megabytes * 2**20)),
}


def parse_store_url(url: str) -> tuple[Path, StoreLimits]:
    """Return the file and what is kept in it. Raises InputError."""
    text, _, query = url.removeprefix(SCHEME).partition("?")
    if not text:
        raise InputError("sink store: expected store:PATH")
    values: dict[str, float | int] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            raise InputError(f"sink store: option {name!r} is not known; expected {', '.join(_OPTIONS)}")
        field, convert = _OPTIONS[name]
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not 0 < number < 1e15:
            raise InputError(f"sink store: {name}: expected a number above 0, got {value!r}")
        values[field] = convert(number)
    return Path(text).expanduser(), StoreLimits(**values)  # type: ignore[arg-type]


class StoreSink:
    """Puts events into a store, which takes each once."""

    max_batch = 1000
    give_up_s = None  # a full disk is waited for
    from_now = False

    def __init__(self, url: str) -> None:
        """Open the store. Raises InputError."""
        path, limits = parse_store_url(url)
        self.label = f"{SCHEME}{path}"
        self._store = EventStore(path, limits)

    def append(self, records: Sequence[Record]) -> int:
        """Store records in one transaction; return how many were new. Raises SpooledSinkDownError."""
        try:
            return self._store.add([record.json for record in records])
        except HoistreamError as error:
            raise SpooledSinkDownError(f"{error}; events wait on disk") from error

    def look_after(self) -> None:
        """Forget what is beyond the limits."""
        self._store.forget_old()

    def close(self) -> None:
        """Put everything on the disk and let go; safe to call twice."""
        self._store.close()
