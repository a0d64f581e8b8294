"""The state of one subscription, and what reading with and without a group have in common."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections import OrderedDict

from pydantic import ValidationError
from redis.exceptions import AuthenticationError, AuthorizationError, RedisError, ResponseError

from stream.backoff import Backoff
from stream.events.entries import Entry
from stream.events.schema import Event, UnknownEventTypeError, parse_event
from stream.subscribe.settings import ReadSettings, SubscriptionError
from stream.subscribe.steps import Pause, Steps

logger = logging.getLogger(__name__)

_STEADY_S = 4.0  # work that went well for so long begins with short waits again
_REMEMBERED = 20_000  # event ids kept for deduplication


class Reader(ABC):
    """Reads by steps that a client drives; counters may be read at any time."""

    def __init__(self, settings: ReadSettings) -> None:
        self.settings = settings
        self.lost_ids = 0  # entries that were deleted before they were handled: an alarm
        self.buried = 0  # entries moved to the dead-letter stream
        self.duplicates = 0  # events left out because their id was acknowledged before
        self._known: OrderedDict[str, None] = OrderedDict()  # ids of events that were handled, oldest first

    def steps(self) -> Steps:
        """Yield steps for ever, or to the end where the settings say so. Raises SubscriptionError."""
        waits = Backoff(0.05, 2.0)
        while True:
            began = time.monotonic()
            try:
                yield from self._read()
                return
            except (AuthenticationError, AuthorizationError) as error:
                raise SubscriptionError(f"{error}; check the user and password in the URL") from None
            except RedisError as error:
                if str(error).startswith("WRONGTYPE"):
                    raise SubscriptionError(f"`{self.settings.stream}` is not a stream on this server") from None
                if time.monotonic() - began > _STEADY_S:
                    waits.reset()
                if not waits.attempt:
                    logger.warning("stream %s: %s; trying again until it works", self.settings.stream, error)
                reconnect = not isinstance(error, ResponseError)
            # An acknowledgement may have been lost with the connection: its event comes again and is recognised.
            yield Pause(waits.next(), reconnect)

    @abstractmethod
    def _read(self) -> Steps:
        """Yield the steps of one connection."""

    @abstractmethod
    def finish(self, steps: Steps, *, handled: bool) -> Steps:
        """Stop `steps`, and return those that are left to do, with `handled` for the current event too."""

    def _event_of(self, entry: Entry) -> Event | str | None:
        """Return the event in an entry; None for a kind newer than this reader; text where it is no event."""
        try:
            return parse_event(entry.fields[b"event"])
        except UnknownEventTypeError as error:
            logger.debug("stream %s, entry %s passed over: %s", self.settings.stream, entry.id.decode(), error)
            return None
        except KeyError:
            return "not an event of schema version 1: no field `event`"
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            return f"not an event of schema version 1: {place}: {first['msg']}"

    def _is_wanted(self, event: Event) -> bool:
        """Whether the application gets `event`."""
        return not self._is_repeat(event) and self.settings.filter.passes(event)

    def _is_repeat(self, event: Event) -> bool:
        return self.settings.deduplicate and event.event_id in self._known

    def _remember(self, event: Event) -> None:
        """An event was handled, or needs no handling."""
        self.duplicates += self._is_repeat(event)
        self._known[event.event_id] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
