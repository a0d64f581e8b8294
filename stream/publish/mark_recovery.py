"""Find in the stream itself how far it goes, where a server lost the marks beside it: what it has is not sent again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress

from hoiclip.foreign_json import UNFIT, parse_json
from stream.events.entries import entries_of
from stream.events.lua import load_script
from stream.events.redis_pipe import RedisPipe
from stream.publish.records import source_of

_RAISE = load_script("stream.publish", "raise_marks.lua")
_PAGE = 500
_MOST_ENTRIES = 50_000  # looked at, newest first: a few minutes of a busy server


def newest_in_stream(pipe: RedisPipe, stream: bytes, sources: Collection[bytes]) -> dict[bytes, int]:
    """Return the highest seq that the stream's newest entries have of each of `sources`; those it has not are missing.

    Raises redis.RedisError.
    """
    found: dict[bytes, int] = {}
    position = b"+"
    for _ in range(_MOST_ENTRIES // _PAGE):
        entries = entries_of(pipe.call("XREVRANGE", stream, position, "-", "COUNT", _PAGE))
        for entry in entries:
            with suppress(*UNFIT):  # entries of others are no events
                event = parse_json(entry.fields[b"event"])
                source = source_of(event["run_id"], event["source_id"])
                if source in sources:
                    found[source] = max(found.get(source, 0), int(event["seq"]))
        if len(entries) < _PAGE or len(found) == len(sources):
            break
        position = b"(" + entries[-1].id
    return found


def raise_marks(pipe: RedisPipe, marks: Mapping[tuple[bytes, bytes], int], ttl_s: int) -> None:
    """Give a server marks back: by hash and field, each at least as high as given. Raises redis.RedisError."""
    keys: dict[bytes, int] = {}
    arguments: list[bytes | int] = [ttl_s]
    for (key, name), seq in marks.items():
        arguments += (keys.setdefault(key, len(keys) + 1), name, seq)
    pipe.run(_RAISE, list(keys), arguments)
