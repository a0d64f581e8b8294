"""Subscribe to events from any Python program; needs redis and pydantic, and no torch.

```python
from stream.subscribe.client import subscribe

with subscribe("redis://localhost:6379/0", group="alarms", verbs={"ride"}) as events:
    for event in events:
        print(event.source_id, event.type, event.interaction)
```

An event counts as handled when the loop comes for the next one; when the body raises, it is delivered again, here or to
another consumer of the group. `subscribe_async` is the same for asyncio.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Collection
from dataclasses import fields
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

from redis.exceptions import RedisError, ResponseError

from stream.events.redis_connection import RedisUrl, connect_raw_async, parse_redis_url
from stream.events.redis_pipe import RedisPipe, harmless
from stream.events.schema import Event
from stream.subscribe.group_reading import GroupReader
from stream.subscribe.looking import LookingReader
from stream.subscribe.reader import Reader
from stream.subscribe.settings import EventFilter, ReadSettings, Start, SubscriptionError
from stream.subscribe.steps import Call, HandOver, Pause, Steps, resume

__all__ = [
    "AsyncSubscription",
    "Event",
    "EventFilter",
    "Options",
    "Subscription",
    "SubscriptionError",
    "subscribe",
    "subscribe_async",
]


class Options(TypedDict, total=False):
    """How to subscribe; everything has a default."""

    group: str | None
    """Consumers of one group share the events; without one (the default) events are only looked at."""
    consumer: str | None
    """This consumer's name in its group; host and process id by default."""
    start: Start
    """Where a new group, or looking, begins: ``"beginning"`` (the default), ``"new"``, a datetime, or a timedelta
    before now."""
    until: datetime | None
    """Without a group: stop at this time."""
    follow: bool
    """Wait for more at the end (the default) or stop there."""
    sources: Collection[str]
    """Only events of these sources; everything when empty. The same goes for the four below."""
    types: Collection[str]
    verbs: Collection[str]
    objects: Collection[str]
    interactions: Collection[str]
    claim_idle_s: float
    """Take over what another consumer has held for so long (30 s)."""
    max_tries: int
    """How often one event is handed over again, unacknowledged (5), before it goes to the stream ``NAME:dead``."""
    deduplicate: bool
    """Leave out events that this subscription has acknowledged already (the default)."""


def subscribe(url: str, **options: Unpack[Options]) -> Subscription:
    """Yield the events at ``redis://[user:password@]host[:port][/db][?stream=NAME]``, typed; see `Options`.

    With a `group`, consumers share the events: each one is delivered to one of them, acknowledged once handled, taken
    over after `claim_idle_s` from a consumer that crashed, and put into the stream ``NAME:dead`` when it was handed
    over `max_tries` times again and never acknowledged. Without a group, events are only looked at, from `start` to
    `until`. ``follow=False`` stops at the end. Lost connections are mended for ever. Raises SubscriptionError for what
    waiting does not mend, such as options that contradict each other, and TypeError for one that does not exist.

    Example:
        >>> import hoistream
        >>> with hoistream.subscribe(redis_url, group="alarms", verbs={"ride"}, follow=False) as events:
        ...     for event in events:
        ...         print(event.source_id, event.type, event.interaction)
        cam started ride bicycle
        cam started ride bicycle
    """
    return Subscription(url, _settings(url, options))


def subscribe_async(url: str, **options: Unpack[Options]) -> AsyncSubscription:
    """The same as `subscribe`, for ``async with`` and ``async for``.

    Example:
        >>> import asyncio, hoistream
        >>> async def first():
        ...     async with hoistream.subscribe_async(redis_url) as events:
        ...         async for event in events:
        ...             return event.interaction
        >>> asyncio.run(first())
        'ride bicycle'
    """
    return AsyncSubscription(url, _settings(url, options))


def _settings(url: str, options: Options) -> ReadSettings:
    values: dict[str, Any] = dict(options)
    wanted = EventFilter(
        **{field.name: values.pop(field.name) for field in fields(EventFilter) if field.name in values}
    )
    if values.get("consumer") is None:
        values.pop("consumer", None)
    return ReadSettings(stream=_parse(url).stream, filter=wanted, **values)


def _parse(url: str) -> RedisUrl:
    try:
        return parse_redis_url(url)
    except ValueError as error:
        raise SubscriptionError(f"redis URL: {error}") from None


class _Counters:
    """What both kinds of subscription report."""

    def __init__(self, settings: ReadSettings) -> None:
        group = settings.group
        self._reader: Reader = LookingReader(settings) if group is None else GroupReader(settings, group)
        self._steps = self._reader.steps()
        self._waiting = False  # an event was handed out and not yet handled

    @property
    def lost_ids(self) -> int:
        """Entries deleted before they were handled: above 0, something other than hoistream trims the stream."""
        return self._reader.lost_ids

    @property
    def buried(self) -> int:
        """Entries moved to the dead-letter stream."""
        return self._reader.buried

    @property
    def duplicates(self) -> int:
        """Repeated events that were left out."""
        return self._reader.duplicates

    def _finish(self, handled: bool) -> Steps:
        """Return the steps that are left to do."""
        last = self._reader.finish(self._steps, handled=handled and self._waiting)
        self._waiting = False
        return last


class Subscription(_Counters):
    """An iterator of events, and a context manager; leaving it without an exception acknowledges the last event.

    Used from one thread, but for `close`: called while another thread waits for the next event, it ends the iteration
    there.
    """

    def __init__(self, url: str, settings: ReadSettings) -> None:
        super().__init__(settings)
        self._pipe = RedisPipe(_parse(url).url)
        self._reading_thread: int | None = None
        self._stopped = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        self._waiting = False
        self._reading_thread = threading.get_ident()
        try:
            handed = self._run(self._steps)
        except RedisError:
            if not self._stopped:
                raise
            handed = None
        finally:
            self._reading_thread = None
        if handed is None:
            raise StopIteration
        self._waiting = True
        return handed.event

    def _run(self, steps: Steps) -> HandOver | None:
        """Do what `steps` ask for until there is an event, or until they end."""
        try:
            step = next(steps)
            while not isinstance(step, HandOver):
                if self._stopped:
                    return None
                if isinstance(step, Pause):
                    if step.reconnect:
                        self._pipe.drop()
                    time.sleep(step.seconds)
                    step = next(steps)
                else:
                    step = resume(steps, self._ask(step))
        except StopIteration:
            return None
        return step

    def _ask(self, call: Call) -> Any:
        """Return the server's reply, or the error in its place."""
        try:
            return self._pipe.call(*call.arguments)
        except RedisError as error:
            if self._stopped:  # `close` took the connection away: nothing to try again
                raise
            return error

    def close(self, *, handled: bool = True) -> None:
        """Acknowledge what was handled, with `handled` the last event too, and disconnect; safe to call twice."""
        if self._reading_thread not in (None, threading.get_ident()):
            self._stopped = True
            self._pipe.abort()
            return
        try:
            self._run(self._finish(handled))
        except RedisError:
            pass  # what could not be acknowledged is delivered again
        finally:
            self._pipe.drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(handled=error is None)


class AsyncSubscription(_Counters):
    """The asyncio counterpart of `Subscription`."""

    def __init__(self, url: str, settings: ReadSettings) -> None:
        super().__init__(settings)
        self._client = connect_raw_async(_parse(url).url)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        self._waiting = False
        handed = await self._run(self._steps)
        if handed is None:
            raise StopAsyncIteration
        self._waiting = True
        return handed.event

    async def _run(self, steps: Steps) -> HandOver | None:
        try:
            step = next(steps)
            while not isinstance(step, HandOver):
                if isinstance(step, Pause):
                    if step.reconnect:
                        await self._client.connection_pool.disconnect()
                    await asyncio.sleep(step.seconds)
                    step = next(steps)
                else:
                    step = resume(steps, await self._ask(step))
        except StopIteration:
            return None
        return step

    async def _ask(self, call: Call) -> Any:
        try:
            return await self._client.execute_command(*call.arguments)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            return error
        except Exception as error:  # a server may send anything
            return harmless(error)

    async def close(self, *, handled: bool = True) -> None:
        """Acknowledge what was handled, with `handled` the last event too, and disconnect; safe to call twice."""
        try:
            await self._run(self._finish(handled))
        except RedisError:
            pass  # what could not be acknowledged is delivered again
        finally:
            await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(handled=error is None)
