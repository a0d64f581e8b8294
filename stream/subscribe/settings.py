"""What to read of a stream, and how."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Collection
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Literal

from stream.events.schema import EVENT_TYPES, Event, InteractionEvent

Start = Literal["beginning", "new"] | datetime | timedelta
_LAST_OF_MILLISECOND = 18446744073709551615


class SubscriptionError(Exception):
    """A subscription that cannot go on, such as for a wrong password; lost connections are mended instead."""


@dataclass(frozen=True, kw_only=True)
class EventFilter:
    """Which events to yield; an empty set lets everything pass.

    `verbs`, `objects` and `interactions` select among interaction events, and leave no other kind.
    Raises SubscriptionError for what could match nothing.
    """

    sources: Collection[str] = ()
    types: Collection[str] = ()
    verbs: Collection[str] = ()
    objects: Collection[str] = ()
    interactions: Collection[str] = ()

    def __post_init__(self) -> None:
        for one in fields(self):
            if isinstance(text := getattr(self, one.name), str):
                raise SubscriptionError(f"{one.name}: expected a set of names, got the text {text!r}; try {{{text!r}}}")
        if unknown := sorted(set(self.types) - set(EVENT_TYPES)):
            raise SubscriptionError(f"types: {unknown[0]!r} is not known; expected {', '.join(EVENT_TYPES)}")

    def passes(self, event: Event) -> bool:
        """Whether `event` is wanted."""
        if (self.sources and event.source_id not in self.sources) or (self.types and event.type not in self.types):
            return False
        if not (self.verbs or self.objects or self.interactions):
            return True
        return (
            isinstance(event, InteractionEvent)
            and (not self.verbs or event.verb in self.verbs)
            and (not self.objects or event.object in self.objects)
            and (not self.interactions or event.interaction in self.interactions)
        )


@dataclass(frozen=True, kw_only=True)
class ReadSettings:
    """How to read. Without a `group` the stream is only looked at: nothing is acknowledged or redelivered.

    Raises SubscriptionError for settings that contradict each other.
    """

    stream: str
    group: str | None = None
    consumer: str = field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    start: Start = "beginning"  # with a group: where it begins when it is made; it keeps its place afterwards
    until: datetime | None = None  # without a group: stop at this time
    follow: bool = True  # wait for more at the end
    filter: EventFilter = field(default_factory=EventFilter)
    batch: int = 100
    block_ms: int = 1000  # must be shorter than the socket's timeout
    claim_idle_s: float = 30.0  # entries another consumer has held for so long are taken over
    max_tries: int = 5  # times an entry is handed over again; then it goes to the dead-letter stream
    deduplicate: bool = True  # leave out event ids this subscription has acknowledged already

    def __post_init__(self) -> None:
        if self.group is not None and self.until is not None:
            raise SubscriptionError("until: only goes without a group, which keeps its own place")
        if not (self.claim_idle_s > 0 and self.max_tries >= 1 and self.batch >= 1):
            raise SubscriptionError("expected claim_idle_s above 0, and max_tries and batch of at least 1")
        if self.start != "beginning" and self.start != "new" and not isinstance(self.start, datetime | timedelta):
            raise SubscriptionError(
                f"start: expected 'beginning', 'new', a datetime or a timedelta, got {self.start!r}"
            )

    @property
    def dead_letters(self) -> str:
        """Name of the stream for entries that could not be handled."""
        return f"{self.stream}:dead"


def stream_id(start: Start) -> str:
    """Return the id just before the entries of `start`: a time, a time before now, or the beginning; "$" for new."""
    if isinstance(start, timedelta):
        start_s = time.time() - start.total_seconds()
    elif isinstance(start, datetime):
        start_s = start.timestamp()
    else:
        return "0" if start == "beginning" else "$"
    return f"{max(1, int(start_s * 1000)) - 1}-{_LAST_OF_MILLISECOND}"
