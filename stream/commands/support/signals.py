"""Turn the signals that end a program, and a time limit, into one event that every stage watches."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# A closed terminal and Ctrl-\ end as cleanly as the others: what is open gets its end.
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


@contextmanager
def stop_on_signals(seconds: float | None = None) -> Iterator[threading.Event]:
    """Yield an event that SIGTERM, SIGINT, SIGHUP, SIGQUIT or `seconds` sets; a second Ctrl-C interrupts at once.

    What is ignored stays so: `nohup` ignores SIGHUP, so that the program outlives its terminal.
    """
    stop = threading.Event()

    def request(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    heeded = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, request) for number in heeded}
    timer = threading.Timer(seconds, stop.set) if seconds is not None else None
    if timer:
        timer.daemon = True
        timer.start()
    try:
        yield stop
    finally:
        if timer:
            timer.cancel()
        for number, handler in previous.items():
            signal.signal(number, handler)
