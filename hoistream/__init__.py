"""Who does what with which object: human-object interactions from pictures, cameras and recorded video.

| | |
|---|---|
| `load_model` | a model: `Model.predict` finds interactions in a picture |
| `watch` | cameras and recordings, as an iterator of events while they happen |
| `process` | recorded videos, as a table |
| `subscribe`, `subscribe_async` | events that another process publishes on Redis Streams |
| `demo_clip` | a recording to try them with |

Importing this package loads nothing: NumPy, video, engines and torch are imported by the function that needs them, and
`subscribe` needs none of them. Messages go to the loggers ``hoistream``, ``stream``, ``engines`` and ``hoiclip``;
nothing prints but the progress bar of `process`. Errors are `InputError` for input that cannot be right and
`HoistreamError` for work that failed; each message says what to do.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stream.safe_logs import redact_logs

if TYPE_CHECKING:
    from hoiclip.errors import HoistreamError, InputError
    from hoiclip.found import Interaction
    from hoiclip.types import Canvas, Engine, Outputs
    from hoistream.demo import demo_clip
    from hoistream.models import Model, load_model
    from hoistream.processing import ProcessError, process
    from hoistream.watching import Watch, watch
    from stream.events.schema import CoverageGapEvent, Event, EventsLostEvent, InteractionEvent, SourceStateEvent
    from stream.run.config import SourceConfig as Source
    from stream.run.event_sink import EventSink
    from stream.subscribe.client import subscribe, subscribe_async
    from stream.track.settings import TrackerSettings

    __version__: str

__all__ = [
    "Canvas",
    "CoverageGapEvent",
    "Engine",
    "Event",
    "EventSink",
    "EventsLostEvent",
    "HoistreamError",
    "InputError",
    "Interaction",
    "InteractionEvent",
    "Model",
    "Outputs",
    "ProcessError",
    "Source",
    "SourceStateEvent",
    "TrackerSettings",
    "Watch",
    "__version__",
    "demo_clip",
    "load_model",
    "process",
    "subscribe",
    "subscribe_async",
    "watch",
]

_HOMES = {
    "Canvas": "hoiclip.types",
    "CoverageGapEvent": "stream.events.schema",
    "Engine": "hoiclip.types",
    "Event": "stream.events.schema",
    "EventSink": "stream.run.event_sink",
    "EventsLostEvent": "stream.events.schema",
    "HoistreamError": "hoiclip.errors",
    "InputError": "hoiclip.errors",
    "Interaction": "hoiclip.found",
    "InteractionEvent": "stream.events.schema",
    "Model": "hoistream.models",
    "Outputs": "hoiclip.types",
    "ProcessError": "hoistream.processing",
    "SourceStateEvent": "stream.events.schema",
    "TrackerSettings": "stream.track.settings",
    "Watch": "hoistream.watching",
    "demo_clip": "hoistream.demo",
    "load_model": "hoistream.models",
    "process": "hoistream.processing",
    "subscribe": "stream.subscribe.client",
    "subscribe_async": "stream.subscribe.client",
    "watch": "hoistream.watching",
}


redact_logs()  # no line of our loggers ever holds a password, whatever handlers an application has


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562); the next look finds it at once.

    Raises InputError with the line that installs what is missing.
    """
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("hoistream")
    elif name == "Source":
        value = _imported("stream.run.config", name).SourceConfig
    elif name in _HOMES:
        value = getattr(_imported(_HOMES[name], name), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def _imported(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        from hoiclip.extras import missing_extra

        missing = missing_extra(error, f"hoistream.{name}")
        if missing is None:
            raise
        raise missing from error


def __dir__() -> list[str]:
    return sorted(__all__)
