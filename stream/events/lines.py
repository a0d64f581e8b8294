"""Events as lines for people: in colour on a terminal, plain in a pipe."""

from __future__ import annotations

from typing import IO

from rich.console import Console
from rich.text import Text

from stream.events.schema import (
    AlertEvent,
    CoverageGapEvent,
    Event,
    EventsLostEvent,
    InteractionEvent,
    LineCrossedEvent,
)
from stream.foreign_text import harmless

_STYLES = {
    "started": "bold green",
    "updated": "cyan",
    "ended": "yellow",
    "line_crossed": "bold blue",
    "alert": "bold red reverse",
    "coverage_gap": "bold red",
    "source_state": "magenta",
    "events_lost": "bold red",
}


class EventPrinter:
    """Print one line an event to `stream`; with `as_json` the event itself."""

    def __init__(self, stream: IO[str], *, as_json: bool = False) -> None:
        self._stream = stream
        self._console = Console(file=stream, soft_wrap=True, highlight=False) if stream.isatty() else None
        self._as_json = as_json

    def show(self, event: Event) -> None:
        """Print `event` at once. Raises BrokenPipeError when the reader has left."""
        if self._as_json:
            line = event.model_dump_json()
        elif self._console is not None:
            self._console.print(_coloured(event))
            return
        else:
            line = event_line(event)
        print(line, file=self._stream, flush=True)


def event_line(event: Event) -> str:
    """Return time, source, type and what happened, in columns; no character of it moves a terminal's cursor."""
    when, what = _parts(event)
    return f"{when}  {event.source_id:<14} {event.type:<12} {what}"


def _coloured(event: Event) -> Text:
    when, what = _parts(event)
    return Text.assemble(
        (f"{when}  ", "dim"), f"{event.source_id:<14} ", (f"{event.type:<12} ", _STYLES[event.type]), what
    )


def _parts(event: Event) -> tuple[str, str]:
    return _when(event), harmless(_what(event))  # a producer that is not ours may have put anything into a text


def _when(event: Event) -> str:
    # A recording's own time says more about it than the time at which it was processed.
    if event.capture_time is not None:
        return event.capture_time.astimezone().strftime("%H:%M:%S")
    return f"{int(event.media_time_s // 60):3d}:{event.media_time_s % 60:04.1f}"


def _what(event: Event) -> str:
    if isinstance(event, InteractionEvent):
        length = f" after {event.duration_s:.1f} s" if event.type == "ended" else ""
        where = f" in {', '.join(event.zones)}" if event.zones else ""
        return f"human {event.human_id}  {event.interaction}{where}{length}  {event.score:.2f}  ({event.why})"
    if isinstance(event, LineCrossedEvent):
        return f"human {event.human_id}  {event.interaction}  {event.direction} over {event.line}, no. {event.count}"
    if isinstance(event, AlertEvent):
        return f"{event.severity}: {event.rule}  ({event.why})"
    if isinstance(event, CoverageGapEvent):
        return f"blind for {event.blind_s:.1f} s: {event.why or event.reason}"
    if isinstance(event, EventsLostEvent):
        return f"{event.count} events lost in the {event.where}: {event.why or event.reason}"
    return ": ".join(filter(None, (event.state, event.why or event.reason)))
