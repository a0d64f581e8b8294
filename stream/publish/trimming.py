"""Trim a stream without dropping what a consumer group has not finished, as `XADD MAXLEN` would."""

from __future__ import annotations

import time
from typing import NamedTuple

from stream.events.lua import load_script
from stream.events.redis_pipe import RedisPipe, fields_of

_TRIM = load_script("stream.publish", "trim.lua")


def account_key(stream: bytes) -> bytes:
    """Return the hash that says what became of a stream's entries; the braces put it into the stream's cluster slot."""
    return b"{%b}:account" % stream


class Trimmed(NamedTuple):
    """What a trim did."""

    removed: int
    held_by: str  # the group whose unread or pending entries kept older ones from going; "" if none


def trim(pipe: RedisPipe, stream: bytes, keep_s: float, *, only_read: bool = False) -> Trimmed:
    """Remove entries older than `keep_s` that every group has finished.

    With `only_read` nothing goes while no group exists: nobody can have read it. Raises redis.RedisError.
    """
    oldest = f"{max(0, int((time.time() - keep_s) * 1000))}-0"
    reply = pipe.run(_TRIM, [stream, account_key(stream)], [oldest, "read" if only_read else "any"])
    removed, holder = fields_of(reply, int, bytes)
    return Trimmed(removed, holder.decode(errors="replace"))
