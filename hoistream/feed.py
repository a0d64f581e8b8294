"""Events on their way from the thread that makes them to whoever iterates: threads, or tasks of an event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque

from stream.events.schema import Event

logger = logging.getLogger(__name__)
_WARN_AFTER_S = 5.0


class EventFeed:
    """A bounded queue with an end.

    Nothing is dropped: when `limit` events wait, `put` waits, the pipeline with it, and its sources apply their policy
    (recordings wait, cameras drop frames and count them). Once `release` was called, `put` never waits: a run that ends
    has little left to say. After `discard` nothing is kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: deque[Event] = deque()
        self._changed = threading.Condition()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._released = self._discarded = self._finished = False
        self._error: BaseException | None = None

    def put(self, event: Event) -> None:
        """Add an event; waits while the feed is full."""
        with self._changed:
            started, warned = time.monotonic(), False
            while len(self._events) >= self._limit and not self._released:
                self._changed.wait(_WARN_AFTER_S)
                if not warned and time.monotonic() - started >= _WARN_AFTER_S:
                    warned = True
                    logger.warning(
                        "nobody takes the events: %d wait and the sources are held up; iterate faster, raise `buffer`, "
                        "or give `on_event`",
                        len(self._events),
                    )
            if not self._discarded:
                self._events.append(event)
                self._notify()

    def finish(self, error: BaseException | None) -> None:
        """Say that nothing follows, and what ended the run, if anything did."""
        with self._changed:
            self._finished, self._error = True, error
            self._notify()

    def release(self) -> None:
        """Let `put` go on from now on, however many events wait."""
        with self._changed:
            self._released = True
            self._notify()

    def discard(self) -> None:
        """Forget what waits and what still comes: nobody will take it."""
        with self._changed:
            self._released = self._discarded = True
            self._events.clear()
            self._notify()

    def get(self) -> Event | None:
        """Wait for the next event; None when there is none any more. Raises, once, what ended the run."""
        with self._changed:
            while not self._events and not self._finished:
                self._changed.wait()
            return self._take()

    async def get_async(self) -> Event | None:
        """Do the same without blocking the event loop; a task that is cancelled meanwhile loses no event."""
        loop = asyncio.get_running_loop()
        while True:
            with self._changed:
                if self._events or self._finished:
                    return self._take()
                woken: asyncio.Future[None] = loop.create_future()
                self._waiting.append((loop, woken))
            await woken

    def wait_finished(self, timeout_s: float | None) -> bool:
        """Take and forget events until the run is over; return whether it is, within `timeout_s`.

        Raises, once, what ended the run.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while not self._finished:
                self._events.clear()
                self._notify()
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)
            self._events.clear()
            self._take()
            return True

    def _take(self) -> Event | None:
        if self._events:
            event = self._events.popleft()
            self._notify()
            return event
        error, self._error = self._error, None
        if error is not None:
            raise error
        return None

    def _notify(self) -> None:
        self._changed.notify_all()
        waiting, self._waiting = self._waiting, []
        for loop, woken in waiting:
            try:
                loop.call_soon_threadsafe(_wake, woken)
            except RuntimeError:  # that loop is closed
                logger.debug("a task that waited for events is gone with its event loop")


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
