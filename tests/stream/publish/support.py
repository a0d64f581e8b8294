"""What the tests of publishing share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from stream.events.schema import Event, parse_event

STREAM = "hoistream:events"


def wait_until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Return once `condition` holds; fail after `timeout_s`."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def stored(server: Any, stream: str = STREAM) -> list[Event]:
    """Return the events in a server's stream, in its order."""
    return [parse_event(fields["event"]) for _, fields in server.client.xrange(stream)]


def in_order_without_holes(events: list[Event]) -> bool:
    """Whether each source's events count from 1, each once."""
    last: dict[str, int] = {}
    for event in events:
        if event.seq != last.get(event.source_id, 0) + 1:
            return False
        last[event.source_id] = event.seq
    return True
