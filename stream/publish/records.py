"""What the spool stores for an event: its place in its source's order, and its JSON."""

from __future__ import annotations

from typing import NamedTuple

from stream.events.schema import Event

# Events refuse control characters in ids.
_IN_SOURCE, _SEPARATOR = b"\x1e", b"\x1f"


class Record(NamedTuple):
    """One event, ready for a sink that need not parse its JSON."""

    source: bytes  # run id and source id, as `split_source` takes them apart: `seq` counts within both
    seq: int
    json: bytes

    @classmethod
    def of(cls, event: Event) -> Record:
        """Serialise `event`."""
        return cls(
            source_of(event.run_id, event.source_id), event.seq, type(event).__pydantic_serializer__.to_json(event)
        )

    def pack(self) -> bytes:
        """Return the spool's payload; `unpack` is the inverse."""
        return b"%b\x1f%d\x1f%b" % self

    @classmethod
    def unpack(cls, payload: bytes) -> Record:
        """Return the record in a payload of `pack`. Raises ValueError for anything else."""
        source, seq, json = payload.split(_SEPARATOR, 2)
        split_source(source)
        return cls(source, int(seq), json)


def source_of(run_id: str, source_id: str) -> bytes:
    """Return the `Record.source` of a run's source; `split_source` is the inverse."""
    return f"{run_id}\x1e{source_id}".encode()


def split_source(source: bytes) -> tuple[bytes, bytes]:
    """Return run id and source id of a `Record.source`. Raises ValueError for anything else."""
    run_id, source_id = source.split(_IN_SOURCE)
    return run_id, source_id
