"""Rules at work: events in, alerts out. The same for cameras, recordings and the stored past.

What it returns follows from the events and their order in each source alone: clocks on the wall only let it know that
time has passed.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hoiclip.hashes import short_hash
from stream.events.schema import AlertEvent, Event, EventNumbers
from stream.rules.lanes import Found, Lane
from stream.rules.language import Rule, RulesFile
from stream.rules.operators import Match
from stream.rules.schedule import is_on

logger = logging.getLogger(__name__)

LATENESS_S = 2.0  # how long events of one camera may come after later ones of another
_MOST_RUNS = 4096  # runs of sources whose last seq is remembered
_WALL = ""  # the lane of all cameras


class RulesEngine:
    """Judge events by `rules`; used from one thread.

    Events of one source and run come in order of their `seq`; one that was taken before is passed over, so events may
    be fed again. Alerts, and events of runs that are not cameras', are left alone.
    """

    def __init__(self, rules: RulesFile, lateness_s: float = LATENESS_S) -> None:
        self.rules = rules
        self.quiet: Counter[str] = Counter()  # matches by rule that schedule or cooldown kept silent
        self._lateness_s = lateness_s
        numbered = list(enumerate(rules.rules))
        self._own = [(i, rule) for i, rule in numbered if rule.scope != "any"]
        self._shared = [(i, rule) for i, rule in numbered if rule.scope == "any"]
        self._lanes: dict[str, Lane] = {}  # by source for cameras, by run for recordings
        self._all = Lane(self._shared, lateness_s)
        self._clockless: set[str] = set()  # names of lanes of recordings
        self._seen: OrderedDict[tuple[str, str], int] = OrderedDict()  # by run and source: the last seq
        self._numbers: OrderedDict[tuple[str, str], int] = OrderedDict()  # by run and source: alerts so far
        self._spoke_s: dict[tuple[str, str], float] = {}  # by rule and camera: when it last gave an alert

    @property
    def late(self) -> int:
        """Events that came when their time was over; they counted from when they came."""
        return self._all.late + sum(lane.late for lane in self._lanes.values())

    def take(self, event: Event) -> list[AlertEvent]:
        """Take the next event; return the alerts that are due by it."""
        if isinstance(event, AlertEvent) or not self._is_new(event):
            return []
        has_clock = event.capture_time is not None
        lane = self._lane(event.source_id if has_clock else f"run {event.run_id}", has_clock=has_clock)
        alerts = self._alerts(lane.take(event), has_clock=has_clock)
        if has_clock and self._shared:
            alerts += self._alerts(self._all.take(event), has_clock=True)
        return alerts

    def advance(self, wall_s: float) -> list[AlertEvent]:
        """Let the cameras' time pass: the clock on the wall says `wall_s` (seconds since 1970)."""
        until_s, alerts = wall_s - self._lateness_s, []
        for name, lane in self._lanes.items():
            if name not in self._clockless:
                alerts += self._alerts(lane.advance(until_s), has_clock=True)
        if self._shared:
            alerts += self._alerts(self._all.advance(until_s), has_clock=True)
        return alerts

    def finish(self, wall_s: float | None = None) -> list[AlertEvent]:
        """Nothing more will come: take what still waits, and let the cameras' time come to `wall_s`, if given."""
        alerts = self._alerts(self._all.finish(), has_clock=True) if self._shared else []
        if wall_s is None:
            return alerts
        return alerts + self.advance(wall_s + self._lateness_s)

    def _is_new(self, event: Event) -> bool:
        key = (event.run_id, event.source_id)
        if event.seq <= self._seen.get(key, 0):
            return False
        self._seen[key] = event.seq
        self._seen.move_to_end(key)
        if len(self._seen) > _MOST_RUNS:
            self._seen.popitem(last=False)
        return True

    def _lane(self, name: str, *, has_clock: bool) -> Lane:
        if name not in self._lanes:
            # A recording is alone in its time, so that all of it is one lane.
            self._lanes[name] = Lane(self._own if has_clock else sorted([*self._own, *self._shared]))
            if not has_clock:
                self._clockless.add(name)
        return self._lanes[name]

    # Alerts

    def _alerts(self, found: list[Found], *, has_clock: bool) -> list[AlertEvent]:
        return [
            self._alert(rule, match)
            for rule, match in ((self.rules.rules[number], match) for number, match in found)
            if self._speaks(rule, match, has_clock=has_clock)
        ]

    def _speaks(self, rule: Rule, match: Match, *, has_clock: bool) -> bool:
        camera = "" if rule.scope == "any" else match.moments[-1].source_id
        if not has_clock:
            camera = f"{camera} {match.moments[-1].run_id}"
        last_s = self._spoke_s.get((rule.name, camera))
        is_quiet = last_s is not None and 0 <= match.time_s - last_s < rule.cooldown_s
        if not is_quiet and rule.schedule is not None:
            is_quiet = not has_clock or not is_on(rule.schedule, match.time_s, self.rules.timezone)
        if is_quiet:
            self.quiet[rule.name] += 1
            return False
        if rule.cooldown_s > 0:
            self._spoke_s[rule.name, camera] = match.time_s
        return True

    def _alert(self, rule: Rule, match: Match) -> AlertEvent:
        last = match.moments[-1]
        run_id = short_hash("alerts", self.rules.fingerprint, last.run_id)
        key = (run_id, last.source_id)
        numbers = EventNumbers(run_id, last.source_id, self._numbers.get(key, 0)).next()
        self._numbers[key] = numbers["seq"]
        self._numbers.move_to_end(key)
        if len(self._numbers) > _MOST_RUNS:
            self._numbers.popitem(last=False)
        event_ids = tuple(moment.event_id for moment in match.moments)
        numbers["event_id"] = short_hash("alert", rule.fingerprint, *event_ids)
        has_clock = f"run {last.run_id}" not in self._clockless
        return AlertEvent(
            **numbers,
            media_time_s=max(0.0, last.media_time_s + match.time_s - last.time_s),
            capture_time=datetime.fromtimestamp(match.time_s, UTC) if has_clock else None,
            rule=rule.name,
            severity=rule.severity,
            reason=next(name for name in ("lasts", "sequence", "absence", "count") if getattr(rule, name) is not None),
            why=match.why,
            event_ids=event_ids,
            interaction_ids=_each_once(moment.interaction_id for moment in match.moments),
            interactions=_each_once(moment.interaction for moment in match.moments),
            sources=_each_once(moment.source_id for moment in match.moments),
            human_ids=_each_once(moment.human_id for moment in match.moments),
            zones=_each_once(zone for moment in match.moments for zone in moment.zones),
        )

    # Memory

    def record(self) -> dict[str, Any]:
        """Return all of the cameras' memory as JSON; recordings are processed again."""
        return {
            "lanes": {name: lane.record() for name, lane in self._lanes.items() if name not in self._clockless},
            "all": self._all.record(),
            "seen": [[*key, seq] for key, seq in self._seen.items()],
            "numbers": [[*key, seq] for key, seq in self._numbers.items()],
            "spoke_s": [[*key, time_s] for key, time_s in self._spoke_s.items()],
        }

    def restore(self, record: Mapping[str, Any]) -> None:
        """Take over what `record` returned; rules that have changed since begin without memory."""
        for name, lane in record["lanes"].items():
            self._lane(name, has_clock=True).restore(lane)
        self._all.restore(record["all"])
        self._seen = OrderedDict(((run, source), seq) for run, source, seq in record["seen"])
        self._numbers = OrderedDict(((run, source), seq) for run, source, seq in record["numbers"])
        self._spoke_s = {(rule, camera): time_s for rule, camera, time_s in record["spoke_s"]}

    def restarted(self) -> None:
        """The process died and begins anew: what went on is over, people have other ids, nobody watched meanwhile."""
        for lane in (self._all, *self._lanes.values()):
            lane.restarted()


def _each_once(values: Any) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))
