"""Watch cameras and recordings from a program: events as they happen."""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hoiclip.errors import InputError
from hoistream.choices import (
    CallbackSink,
    Location,
    Words,
    checked,
    layout_of,
    rules_of,
    sinks_of,
    sources_of,
    tracker_of,
    vocabulary_of,
)
from hoistream.feed import EventFeed
from hoistream.models import EngineChoice, Model, load_model
from stream.events.schema import Event
from stream.run.config import RunConfig
from stream.run.deployment import Deployment
from stream.run.event_sink import EventSink
from stream.run.models import DEMO
from stream.track.settings import TrackerSettings

logger = logging.getLogger(__name__)


def watch(
    sources: Location | Iterable[Location] | Mapping[str, Location],
    *,
    model: Model | str | Path = DEMO,
    vocabulary: Words | str | Path | None = None,
    on_event: Callable[[Event], object] | None = None,
    sinks: Iterable[str | EventSink] = (),
    tracker: TrackerSettings | Mapping[str, Any] | None = None,
    target_fps: float | None = 5.0,
    engine: EngineChoice | None = None,
    precision: str | None = None,
    canvases: Sequence[str] = (),
    zones: Mapping[str, Any] | str | Path | None = None,
    rules: Mapping[str, Any] | str | Path | None = None,
    max_batch: int = 8,
    enhancement: bool = False,
    spool_dir: str | Path | None = None,
    buffer: int = 1000,
) -> Watch:
    """Watch cameras and recordings; return an iterator of events, which is a context manager as well.

    Cameras reconnect for ever, recordings end; the iteration ends when every source has. Leaving the ``with`` block
    stops decoders, threads and engines and flushes the sinks. Works the same in a script, a notebook, a thread, and
    with ``async with`` and ``async for`` beside other tasks; any number may run at once.

    Args:
        sources: URLs of cameras and paths of recordings: one, several, or a mapping that names each (the name is the
            events' ``source_id``; by default that of the file or camera). A `hoistream.Source` says more about one.
        model: from `hoistream.load_model`, or what that takes.
        vocabulary: what to look for: words, or a YAML file; all that the model knows when None.
        on_event: called with each event, from a thread of hoistream's, instead of iterating. What it raises stops the
            watch and is raised by `Watch.wait` or on leaving the ``with`` block.
        sinks: where else events go: ``redis://…``, ``jsonl:PATH``, ``stdout:``, or objects with ``write(event)`` and
            ``close()``.
        tracker: thresholds and times, as `hoistream.TrackerSettings` or a mapping of those that differ.
        target_fps: frames a second to look at; None for every frame.
        engine: what runs the model: a name, or a function that opens an engine for a `Canvas`; the model's when None.
        precision: arithmetic; the model's when None.
        canvases: frame sizes as HEIGHTxWIDTH; the model's when empty.
        zones: what is drawn on the picture of sources that say nothing of it, as a YAML file or a
            mapping with ``zones``, ``lines`` and ``masks``; see docs/zones.md.
        rules: what is an alert, as a YAML file or a mapping with ``rules``; see docs/rules.md.
        max_batch: most frames in one batch, across sources; never changes an event.
        enhancement: use CLIP's view of the whole frame as well.
        spool_dir: where events wait for Redis; the user's state folder when None.
        buffer: how many events may wait for the iteration. When they are more, nothing is dropped: the sources are held
            up (recordings wait, cameras drop frames and count them), and a warning is logged.

    Raises InputError for what cannot be right, at once or on entering the ``with`` block.

    Example:
        >>> import hoistream
        >>> with hoistream.watch({"door": clip}, vocabulary=["ride bicycle"]) as events:
        ...     for event in events:
        ...         if event.type == "started":
        ...             print(event.source_id, event.interaction)
        door ride bicycle

        >>> heard = []
        >>> with hoistream.watch(clip, on_event=heard.append, target_fps=4) as running:
        ...     running.wait()
        True
        >>> {event.type for event in heard} >= {"started", "ended"}
        True
    """
    opened = model if isinstance(model, Model) else None
    if opened is None and not isinstance(model, str | Path):
        raise InputError(f"model: expected a hoistream.Model, a name or a path, got {type(model)}")
    urls, own_sinks = sinks_of(sinks)
    if on_event is not None:
        own_sinks.append(CallbackSink(on_event))
    if buffer < 1:
        raise InputError(f"buffer: expected at least 1, got {buffer}")
    settings = checked(
        RunConfig,
        {
            "model": None if opened else str(model),
            "vocabulary": vocabulary_of(vocabulary),
            "canvases": list(canvases),
            "tracker": tracker_of(tracker),
            "rules": rules_of(rules),
            "sinks": urls,
            "spool_dir": spool_dir,
            "enhancement": enhancement,
            "sources": sources_of(sources, target_fps, layout_of(zones)),
            "engine": {"max_batch": max_batch},
        },
        "watch",
    )
    return Watch(
        settings,
        model=opened,
        engine=engine,
        precision=precision,
        own_sinks=own_sinks,
        feed=EventFeed(buffer) if on_event is None else None,
    )


class Watch:
    """A running watch; `watch` returns one.

    States: made, started (on entering ``with`` or at the first event), ended (every source has ended, or it was
    stopped, or it failed). An error is raised once: by the iteration, by `wait`, or on leaving the ``with`` block.
    """

    def __init__(
        self,
        settings: RunConfig,
        *,
        model: Model | None,
        engine: EngineChoice | None,
        precision: str | None,
        own_sinks: Sequence[EventSink],
        feed: EventFeed | None,
    ) -> None:
        self._settings, self._model = settings, model
        self._engine, self._precision = engine, precision
        self._own_sinks = tuple(own_sinks)
        self._is_iterated = feed is not None
        self._feed = feed or EventFeed(1)  # carries the end alone where a callback takes the events
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._deployment: Deployment | None = None
        self._thread: threading.Thread | None = None
        # A watch that is forgotten half way must not go on watching: its thread knows only the event and the feed.
        self._finalizer = weakref.finalize(self, _abandon, self._stop, self._feed)

    def start(self) -> None:
        """Open everything and begin; entering ``with`` and iterating do it as well. Does nothing when started already.

        Raises InputError for what cannot be right, HoistreamError for what does not work here.
        """
        with self._starting:
            if self._thread is not None:
                return
            model = self._model or load_model(self._settings.model or DEMO)
            config, own_engine = model.engine_for(self._engine, self._precision, self._settings.engine.max_batch)
            sinks = [*self._own_sinks, _FeedSink(self._feed)] if self._is_iterated else list(self._own_sinks)
            deployment = Deployment(
                self._settings.model_copy(update={"engine": config}),
                model=model.loaded,
                own_engine=own_engine,
                own_sinks=sinks,
            )
            self._deployment = deployment
            self._thread = threading.Thread(
                target=_run, args=(deployment, self._stop, self._feed), name="hoistream-watch", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Ask the watch to end; returns at once. The iteration goes on to the last event."""
        self._stop.set()
        self._feed.release()

    def close(self) -> None:
        """Stop, forget events that nobody took, and wait until everything is closed; safe to call twice.

        Raises what ended the watch, unless it was raised before.
        """
        self.stop()
        self._feed.discard()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._feed.get()  # raises an error that nobody has seen

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until every source has ended; return whether that was so within `timeout_s`.

        Events that were not taken by then are forgotten (the sinks have them). Raises what ended the watch.
        """
        self.start()
        return self._feed.wait_finished(timeout_s)

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._thread is not None and self._thread.is_alive()

    def health(self) -> dict[str, Any]:
        """Return how sources and sinks are, as the command's ``/health`` does; empty before the start."""
        return self._deployment.health.document() if self._deployment is not None else {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_after(error)

    def __iter__(self) -> Self:
        self._check_iterated()
        return self

    def __next__(self) -> Event:
        self._check_iterated()
        self.start()
        event = self._feed.get()
        if event is None:
            self.close()
            raise StopIteration
        return event

    async def __aenter__(self) -> Self:
        await _finished_whatever_happens(asyncio.to_thread(self.start), self.stop)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await _finished_whatever_happens(asyncio.to_thread(self._close_after, error), self.stop)

    def __aiter__(self) -> Self:
        self._check_iterated()
        return self

    async def __anext__(self) -> Event:
        self._check_iterated()
        if self._thread is None:
            await _finished_whatever_happens(asyncio.to_thread(self.start), self.stop)
        event = await self._feed.get_async()
        if event is None:
            await asyncio.to_thread(self.close)
            raise StopAsyncIteration
        return event

    def _close_after(self, error: BaseException | None) -> None:
        try:
            self.close()
        except Exception as own:
            if error is None:
                raise
            logger.debug("the watch had failed as well: %s", own)

    def _check_iterated(self) -> None:
        if not self._is_iterated:
            raise InputError("`on_event` takes the events of this watch; leave it out to iterate, or use `wait()`")

    def __repr__(self) -> str:
        state = "running" if self.is_running else "made" if self._thread is None else "ended"
        return f"<hoistream.Watch {', '.join(source.id for source in self._settings.sources)}: {state}>"


class _FeedSink:
    """Puts events into a feed."""

    def __init__(self, feed: EventFeed) -> None:
        self.write = feed.put

    def close(self) -> None:
        """The feed ends with the run's thread."""


def _run(deployment: Deployment, stop: threading.Event, feed: EventFeed) -> None:
    """Run to the end, close everything, and only then say that it is over."""
    error: BaseException | None = None
    try:
        deployment.run(stop)
    except BaseException as failure:
        error = failure
    try:
        deployment.close()
    except BaseException as failure:
        error = error or failure
    feed.finish(error)


def _abandon(stop: threading.Event, feed: EventFeed) -> None:
    stop.set()
    feed.discard()


async def _finished_whatever_happens(work: Any, on_cancel: Callable[[], None]) -> None:
    """Await `work`, which runs in a thread that cannot be interrupted; when cancelled, ask it to end soon."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        on_cancel()
        raise
