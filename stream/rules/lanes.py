"""Lanes: events that are judged in one order, by one clock.

A rule about one human, object, pair or camera has a lane for each source, whose events come in order. A rule over all
cameras (`any`) has one lane for all of them, in which events wait for those of slower cameras. Events of recordings
know no clock on the wall: each run over one is a lane of its own.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from stream.events.schema import CoverageGapEvent, Event, SourceStateEvent, parse_event
from stream.rules.language import Rule
from stream.rules.moments import PairEvent
from stream.rules.operators import Match, Operator, make_operator

BLIND_S = 1.0  # a camera that was blind for so long may have missed what was to come
_AWAY = frozenset({"lost", "failed", "removed", "ended"})


class Found(NamedTuple):
    """A match of a rule."""

    rule: int
    match: Match


def event_time_s(event: Event) -> float:
    """Return when an event was: seconds since 1970 where it knows the clock on the wall, else of media time."""
    return event.capture_time.timestamp() if event.capture_time is not None else event.media_time_s


class Lane:
    """The memories of several rules, and a clock. With `lateness_s` above 0 events wait so long to be put in order."""

    def __init__(self, rules: Sequence[tuple[int, Rule]], lateness_s: float = 0.0) -> None:
        self._operators: list[tuple[int, Rule, Operator]] = [(i, rule, make_operator(rule)) for i, rule in rules]
        self._lateness_s = lateness_s
        self._waiting: list[tuple[float, str, str, int, Event]] = []  # a heap
        self.now_s = float("-inf")
        self.late = 0  # events that came when their time was over; they count from when they came

    def take(self, event: Event) -> list[Found]:
        """Take the next event; return what matches by it and by what waited."""
        if self._lateness_s == 0.0:
            return self._judge(event)
        time_s = event_time_s(event)
        heapq.heappush(self._waiting, (time_s, event.source_id, event.run_id, event.seq, event))
        return self.advance(time_s - self._lateness_s)

    def advance(self, until_s: float) -> list[Found]:
        """Let time come to `until_s`: everything up to then is known."""
        found = []
        while self._waiting and self._waiting[0][0] <= until_s:
            found += self._judge(heapq.heappop(self._waiting)[-1])
        if until_s > self.now_s:
            found += self._fire(until_s, is_settled=True)
            self.now_s = until_s
        return found

    def finish(self) -> list[Found]:
        """Take what still waits: nothing more will come before it."""
        found = []
        while self._waiting:
            found += self._judge(heapq.heappop(self._waiting)[-1])
        return found

    def restarted(self) -> None:
        """The process died and begins anew."""
        for _, _, operator in self._operators:
            operator.restarted()

    def _judge(self, event: Event) -> list[Found]:
        time_s = event_time_s(event)
        if time_s < self.now_s:
            self.late += 1
            time_s = self.now_s
        found = self._fire(time_s, is_settled=False)
        self.now_s = time_s
        if isinstance(event, PairEvent):
            for number, _, operator in self._operators:
                found += [Found(number, match) for match in operator.take(event, time_s)]
        elif _is_blind(event):
            for _, _, operator in self._operators:
                operator.blind(event.source_id)
        return found

    def _fire(self, until_s: float, *, is_settled: bool) -> list[Found]:
        found = [
            Found(number, match)
            for number, _, operator in self._operators
            for match in operator.fire(until_s, is_settled=is_settled)
        ]
        return sorted(found, key=lambda each: each.match.time_s)

    def record(self) -> dict[str, Any]:
        """Return the memory as JSON."""
        return {
            "now_s": self.now_s if self.now_s > float("-inf") else None,
            "waiting": [entry[-1].model_dump(mode="json") for entry in sorted(self._waiting, key=lambda e: e[:4])],
            "rules": {rule.fingerprint: operator.record() for _, rule, operator in self._operators},
        }

    def restore(self, record: Mapping[str, Any]) -> None:
        """Take over what `record` returned, for the rules that are still the same."""
        self.now_s = record["now_s"] if record["now_s"] is not None else float("-inf")
        for document in record["waiting"]:
            event = parse_event(json.dumps(document))
            heapq.heappush(self._waiting, (event_time_s(event), event.source_id, event.run_id, event.seq, event))
        for _, rule, operator in self._operators:
            if rule.fingerprint in record["rules"]:
                operator.restore(record["rules"][rule.fingerprint])


def _is_blind(event: Event) -> bool:
    if isinstance(event, CoverageGapEvent):
        return event.blind_s >= BLIND_S
    return isinstance(event, SourceStateEvent) and event.state in _AWAY
