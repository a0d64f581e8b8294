"""Where events go beside the sinks that a URL names: an object of the caller's own."""

from __future__ import annotations

from typing import Protocol

from stream.events.schema import Event


class EventSink(Protocol):
    """Takes every event of a run, from one thread, each source's in order.

    What `write` raises ends the run. A `write` that takes long slows the pipeline: recordings wait, cameras drop frames
    and count them.
    """

    def write(self, event: Event) -> object:
        """Take one event; `published_time` is set."""
        ...

    def close(self) -> object:
        """Called once, when the run is over or could not begin."""
        ...
