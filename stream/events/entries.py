"""Entries of a Redis stream as a server sends them."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from stream.events.redis_pipe import GarbageError

_ID: Final = re.compile(rb"[0-9]{1,20}-[0-9]{1,20}")


class Entry(NamedTuple):
    """One entry of a stream; one that was deleted has no fields."""

    id: bytes
    fields: dict[bytes, bytes]


def entries_of(raw: Any) -> list[Entry]:
    """Return the entries in a list of raw ones. Raises GarbageError for anything else."""
    try:
        return [Entry(_identity(identity), _fields(values)) for identity, values in raw or ()]
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


def identities_of(raw: Any) -> list[bytes]:
    """Return the ids in a list of them. Raises GarbageError for anything else."""
    try:
        return [_identity(value) for value in raw or ()]
    except (TypeError, ValueError) as error:
        raise GarbageError("no sound reply: expected ids of entries") from error


def _identity(value: Any) -> bytes:
    if not _ID.fullmatch(_text(value)):
        raise ValueError("no id of an entry")
    return _text(value)


def _fields(values: Any) -> dict[bytes, bytes]:
    texts = [_text(value) for value in values or ()]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _text(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError
    return value
