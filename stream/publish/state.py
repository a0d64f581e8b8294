"""How publishing stands, for health and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Condition = Literal[
    "ok",
    "redis_down",
    "redis_full",
    "sink_down",
    "disk_full",
    "spool_unreadable",
    "stalled",
    "events_deleted",
    "failed",
]


@dataclass(frozen=True)
class PublisherState:
    """A snapshot; docs/events.md says what each `state` asks for."""

    state: Condition
    spooled: int  # events accepted by `publish`
    published: int  # events new to a server; replays of known ones do not count
    lag: int  # events that the slowest server does not have yet
    spool_bytes: int
    replays: int  # how often a server had lost events
    damaged: int  # places of the spool with damaged bytes
    lost: int  # events that can never come, each reported as an `events_lost` event
    deleted: int  # entries that something else deleted from a stream
    last_error: str  # one line, without passwords; "" while all is well
    dead: int = 0  # events that a sink never took, put aside beside the spool

    @property
    def ok(self) -> bool:
        """Whether every sink takes events and nobody took any away."""
        return self.state == "ok"
