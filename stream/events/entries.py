"""Entries of a Redis stream as a server sends them."""

from __future__ import annotations

from typing import Any, NamedTuple

from stream.events.redis_pipe import GarbageError


class Entry(NamedTuple):
    """One entry of a stream; one that was deleted has no fields."""

    id: bytes
    fields: dict[bytes, bytes]


def entries_of(raw: Any) -> list[Entry]:
    """Return the entries in a list of raw ones. Raises GarbageError for anything else."""
    try:
        return [Entry(_text(identity), _fields(values)) for identity, values in raw or ()]
    except (TypeError, ValueError) as error:
        raise GarbageError("no sound reply: expected entries of a stream") from error


def stream_entries(reply: Any) -> list[Entry]:
    """Return the entries of the one stream in an XREAD or XREADGROUP reply. Raises GarbageError."""
    if not reply:
        return []
    try:
        ((_, raw),) = reply
    except (TypeError, ValueError) as error:
        raise GarbageError("no sound reply: expected one stream") from error
    return entries_of(raw)


def _fields(values: Any) -> dict[bytes, bytes]:
    texts = [_text(value) for value in values or ()]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _text(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError
    return value
