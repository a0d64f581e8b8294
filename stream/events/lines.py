"""Events as lines for people: in colour on a terminal, plain in a pipe."""

from __future__ import annotations

from typing import IO

from rich.console import Console
from rich.text import Text

from stream.events.schema import CoverageGapEvent, Event, InteractionEvent

_STYLES = {
    "started": "bold green",
    "updated": "cyan",
    "ended": "yellow",
    "coverage_gap": "bold red",
    "source_state": "magenta",
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
    """Return time, source, type and what happened, in columns."""
    when, what = _parts(event)
    return f"{when}  {event.source_id:<14} {event.type:<12} {what}"


def _coloured(event: Event) -> Text:
    when, what = _parts(event)
    return Text.assemble(
        (f"{when}  ", "dim"), f"{event.source_id:<14} ", (f"{event.type:<12} ", _STYLES[event.type]), what
    )


def _parts(event: Event) -> tuple[str, str]:
    # A recording's own time says more about it than the time at which it was processed.
    if event.capture_time is not None:
        when = event.capture_time.astimezone().strftime("%H:%M:%S")
    else:
        when = f"{int(event.media_time_s // 60):3d}:{event.media_time_s % 60:04.1f}"
    if isinstance(event, InteractionEvent):
        length = f" after {event.duration_s:.1f} s" if event.type == "ended" else ""
        return when, f"human {event.human_id}  {event.interaction}{length}  {event.score:.2f}  ({event.why})"
    if isinstance(event, CoverageGapEvent):
        return when, f"blind for {event.blind_s:.1f} s: {event.why or event.reason}"
    return when, f"{event.state}{f': {event.why}' if event.why else ''}"
