"""Events in JSON Lines files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from hoiclip.errors import InputError
from stream.events.schema import Event, UnknownEventTypeError, parse_event

logger = logging.getLogger(__name__)


def read_events(path: Path) -> Iterator[Event]:
    """Yield the events of a file in its order.

    Kinds of events of a newer version, and the half line of a writer that was killed, are passed over. Raises
    InputError for a file that cannot be read, and for another line that is no event, with its number.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    yield parse_event(line)
                except UnknownEventTypeError as error:
                    logger.debug("%s:%d: %s", path, number, error)
                except ValueError as error:
                    if not line.endswith(b"\n"):
                        return
                    raise InputError(f"{path}:{number}: no event: {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
