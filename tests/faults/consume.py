"""A consumer that faults happen to: writes the id of each event it handled to a file, by a raw write, then goes on.

Run: python -m tests.faults.consume URL NAME FILE  until SIGTERM.
"""

from __future__ import annotations

import os
import sys

from stream.subscribe.client import subscribe


def main() -> None:
    """Handle events for ever."""
    url, name, path = sys.argv[1:]
    record = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with subscribe(url, group="faults", consumer=name, claim_idle_s=2.0) as events:
        for event in events:
            os.write(record, f"{event.event_id}\n".encode())


if __name__ == "__main__":
    main()
