"""What rules keep of an event: when it was, who did it, where; and the begins and ends of what a condition means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Self

from stream.events.schema import InteractionEvent, LineCrossedEvent
from stream.rules.language import Condition, Scope

PairEvent = InteractionEvent | LineCrossedEvent
MOST_HELD = 10_000  # interactions that a condition follows at once; `ended` events that never came would fill it


@dataclass(frozen=True)
class Moment:
    """An event at which something began or ended."""

    time_s: float  # by the clock of its lane
    since_s: float  # when it really began: evidence comes before the event
    event_id: str
    interaction_id: str
    source_id: str
    run_id: str
    pair_id: int
    human_id: int
    object_id: int
    interaction: str
    zones: tuple[str, ...]
    media_time_s: float

    def key(self, scope: Scope) -> str:
        """Return what it shares with the moments that belong together with it."""
        if scope == "any":
            return ""
        if scope == "camera":
            return self.source_id
        number = {"human": self.human_id, "object": self.object_id, "pair": self.pair_id}[scope]
        return f"{self.source_id} {self.run_id} {number}"

    def record(self) -> dict[str, Any]:
        """Return it as JSON; `of_record` is the inverse."""
        return asdict(self)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """Return the moment that `record` returned."""
        return cls(**{**record, "zones": tuple(record["zones"])})


class Edge(NamedTuple):
    """Something that a condition means has begun or ended."""

    kind: Literal["begins", "ends"]
    moment: Moment


class Follower:
    """Follow what one condition means through the events of a lane."""

    def __init__(self, condition: Condition) -> None:
        self.condition = condition
        self.held: dict[str, Moment] = {}  # what has begun and not ended, by interaction id, oldest first

    def take(self, event: PairEvent, time_s: float) -> Edge | None:
        """Return what begins or ends with an event, if anything. A crossing begins, and is over."""
        condition = self.condition
        if isinstance(event, LineCrossedEvent):
            crosses = condition.is_crossing and _is_meant(condition, event)
            return Edge("begins", _moment(condition, event, time_s)) if crosses else None
        if condition.is_crossing:
            return None
        known, is_meant = event.interaction_id in self.held, event.type != "ended" and _is_meant(condition, event)
        if is_meant == known:
            return None
        moment = _moment(condition, event, time_s)
        if known:
            del self.held[event.interaction_id]
            return Edge("ends", moment)
        self.held[event.interaction_id] = moment
        if len(self.held) > MOST_HELD:
            del self.held[next(iter(self.held))]
        return Edge("begins", moment)


def _is_meant(condition: Condition, event: PairEvent) -> bool:
    if isinstance(event, LineCrossedEvent) and (
        (condition.line and event.line not in condition.line)
        or (condition.direction is not None and event.direction != condition.direction)
    ):
        return False
    return (
        (not condition.camera or event.source_id in condition.camera)
        and (not condition.interaction or event.interaction in condition.interaction)
        and (not condition.verb or event.verb in condition.verb)
        and (not condition.object or event.object in condition.object)
        and (not condition.zone or not set(condition.zone).isdisjoint(event.zones))
        and event.peak_score >= condition.min_score
    )


def _moment(condition: Condition, event: PairEvent, time_s: float) -> Moment:
    before_s = 0.0
    if event.type == "started":
        before_s = event.duration_s
        if condition.zone:
            before_s = min(before_s, max((event.dwell_s.get(zone, 0.0) for zone in condition.zone), default=0.0))
    return Moment(
        time_s=time_s,
        since_s=time_s - before_s,
        event_id=event.event_id,
        interaction_id=event.interaction_id,
        source_id=event.source_id,
        run_id=event.run_id,
        pair_id=event.pair_id,
        human_id=event.human_id,
        object_id=event.object_id,
        interaction=event.interaction,
        zones=event.zones,
        media_time_s=event.media_time_s,
    )
