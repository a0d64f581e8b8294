"""A consumer that faults happen to: writes the id of each event it handled to a file, by a raw write, then goes on.

Run: python -m tests.faults.consume URL NAME FILE POISON  until SIGTERM; dies of each event that `is_poison`.
"""

from __future__ import annotations

import os
import sys

from stream.events.schema import Event
from stream.subscribe.client import subscribe

MAX_TRIES = 2  # of a poison event, after which it is buried


def is_poison(event: Event, one_in: int) -> bool:
    """Whether the handler dies of `event`; the same events each time."""
    return bool(one_in) and int(event.event_id, 16) % one_in == 0


def main() -> None:
    """Handle events for ever."""
    url, name, path, poison = sys.argv[1:]
    record = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with subscribe(url, group="faults", consumer=name, claim_idle_s=2.0, max_tries=MAX_TRIES) as events:
        for event in events:
            if is_poison(event, int(poison)):
                os._exit(1)
            os.write(record, f"{event.event_id}\n".encode())


if __name__ == "__main__":
    main()
