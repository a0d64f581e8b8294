"""What the spool stores for an event: its place in its source's order, and its JSON."""

from __future__ import annotations

from typing import NamedTuple

from stream.events.schema import Event

_SEPARATOR = b"\x1f"  # events refuse control characters in ids


class Record(NamedTuple):
    """One event, ready for a sink that need not parse its JSON."""

    run_id: bytes
    source_id: bytes
    seq: int
    json: bytes

    @classmethod
    def of(cls, event: Event) -> Record:
        """Serialise `event`."""
        return cls(event.run_id.encode(), event.source_id.encode(), event.seq, event.model_dump_json().encode())

    def pack(self) -> bytes:
        """Return the spool's payload; `unpack` is the inverse."""
        return _SEPARATOR.join((self.run_id, self.source_id, b"%d" % self.seq, self.json))

    @classmethod
    def unpack(cls, payload: bytes) -> Record:
        """Return the record in a payload of `pack`."""
        run_id, source_id, seq, json = payload.split(_SEPARATOR, 3)
        return cls(run_id, source_id, int(seq), json)
