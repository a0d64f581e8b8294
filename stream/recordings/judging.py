"""Rules over a video that is done: its stored events, judged again without looking at it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from hoiclip.errors import HoistreamError
from stream.events.files import read_events
from stream.events.schema import AlertEvent, Event
from stream.recordings.results import Receipt, ResultPaths, write_results
from stream.rules.engine import RulesEngine
from stream.rules.language import RulesFile


def judge_again(
    paths: ResultPaths,
    receipt: Receipt,
    rules: RulesFile | None,
    *,
    title: str,
    sink: Callable[[Event], object] | None = None,
) -> Receipt:
    """Write the results of a video with the alerts of other rules, which go to `sink`; return their receipt.

    Raises HoistreamError when they cannot be written.
    """
    engine = RulesEngine(rules) if rules is not None else None
    events: list[Event] = []
    for event in read_events(paths.events):
        if isinstance(event, AlertEvent):
            continue
        alerts = engine.take(event) if engine is not None else []
        events += [event, *alerts]
        if sink is not None:
            for alert in alerts:
                sink(alert)
    judged = replace(receipt, rules=rules.fingerprint if rules is not None else None, events=len(events))
    try:
        write_results(paths, events, title=title, receipt=judged)
    except OSError as error:
        raise HoistreamError(
            f"{paths.events.parent}: results of {title} cannot be written: {error.strerror}"
        ) from error
    return judged


def one_at_a_time(sink: Callable[[Event], object]) -> Callable[[Event], object]:
    """Return `sink` for several threads."""
    lock = threading.Lock()

    def write(event: Event) -> None:
        with lock:
            sink(event)

    return write
