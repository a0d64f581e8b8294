"""The four operators: each takes the events of one lane in order, and says when its rule matches.

Before an event at a time, and whenever it is known that nothing before a time is still to come, `fire` lets what waited
for that time happen. docs/rules.md says what each means; `tests/stream/rules/oracle.py` is written from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from stream.rules import language
from stream.rules.moments import Edge, Follower, Moment, PairEvent

MOST_WAITING = 10_000  # moments that one rule keeps in one lane; the oldest go first


class Match(NamedTuple):
    """A rule matches."""

    time_s: float
    moments: tuple[Moment, ...]  # what it came from, in order
    why: str


class Operator(Protocol):
    """One rule's memory of one lane."""

    def take(self, event: PairEvent, time_s: float) -> list[Match]:
        """Take the next event."""
        ...

    def fire(self, until_s: float, *, is_settled: bool) -> list[Match]:
        """Let time come to `until_s`; with `is_settled` no event of that very time is still to come."""
        ...

    def blind(self, source_id: str) -> None:
        """A camera could not be seen for a while."""
        ...

    def restarted(self) -> None:
        """The process died and begins anew: what went on is over, and humans have other ids."""
        ...

    def record(self) -> dict[str, Any]:
        """Return the memory as JSON."""
        ...

    def restore(self, record: Mapping[str, Any]) -> None:
        """Take over what `record` returned."""
        ...


class LastsOperator:
    """An interaction that has gone on for `for_s` since it began; told once."""

    def __init__(self, rule: language.Lasts) -> None:
        self._rule = rule
        self._what = Follower(rule.what)
        self._waiting: dict[str, Moment] = {}  # by interaction id

    def take(self, event: PairEvent, time_s: float) -> list[Match]:  # noqa: D102
        edge = self._what.take(event, time_s)
        if edge is not None:
            if edge.kind == "begins":
                self._waiting[edge.moment.interaction_id] = edge.moment
                _drop_oldest(self._waiting)
                return self.fire(time_s, is_settled=False)  # evidence may already be as old
            self._waiting.pop(edge.moment.interaction_id, None)
        return []

    def fire(self, until_s: float, *, is_settled: bool) -> list[Match]:  # noqa: D102
        due = [moment for moment in self._waiting.values() if moment.since_s + self._rule.for_s <= until_s]
        matches = []
        for moment in due:
            del self._waiting[moment.interaction_id]
            where = f" in {', '.join(self._rule.what.zone)}" if self._rule.what.zone else ""
            why = f"{moment.interaction}{where} for {self._rule.for_s:g} s"
            matches.append(Match(max(moment.since_s + self._rule.for_s, moment.time_s), (moment,), why))
        return sorted(matches, key=lambda match: match.time_s)

    def blind(self, source_id: str) -> None:  # noqa: D102
        return  # what went on before ends by the tracker's own patience

    def restarted(self) -> None:  # noqa: D102
        self._waiting.clear()
        self._what.held.clear()

    def record(self) -> dict[str, Any]:  # noqa: D102
        return {"held": _records(self._what.held), "waiting": _records(self._waiting)}

    def restore(self, record: Mapping[str, Any]) -> None:  # noqa: D102
        self._what.held, self._waiting = _by_interaction(record["held"]), _by_interaction(record["waiting"])


class SequenceOperator:
    """Steps one after the other. Of all chains that end now, the one whose first step is latest, then the second, …

    `_chains[key][k]` is that chain for the first k + 1 steps: a later one is never worse for any continuation.
    """

    def __init__(self, rule: language.Sequence) -> None:
        self._rule = rule
        self._steps = [Follower(step) for step in rule.steps]
        self._without = Follower(rule.without) if rule.without is not None else None
        self._chains: dict[str, list[list[Moment]]] = {}  # an empty list where there is none

    def take(self, event: PairEvent, time_s: float) -> list[Match]:  # noqa: D102
        moments = [_wanted(step, step.take(event, time_s)) for step in self._steps]
        between = _wanted(self._without, self._without.take(event, time_s)) if self._without is not None else None
        moment = next((found for found in (*moments, between) if found is not None), None)
        if moment is None:
            return []
        key = moment.key(self._rule.same)
        chains = self._chains.pop(key, None) or [[] for _ in self._steps[1:]]
        chains = [chain if chain and chain[0].time_s >= time_s - self._rule.within_s else [] for chain in chains]
        last = moments[-1]
        if last is not None and chains[-1]:
            return [self._match([*chains[-1], last])]  # and all that came before is used up
        if between is not None:
            chains = [[] for _ in chains]
        for k in range(len(chains) - 1, 0, -1):
            found = moments[k]
            if found is not None and chains[k - 1]:
                chains[k] = [*chains[k - 1], found]
        if moments[0] is not None:
            chains[0] = [moments[0]]
        if any(chains):
            self._chains[key] = chains
            _drop_oldest(self._chains)
        return []

    def _match(self, chain: list[Moment]) -> Match:
        took_s = chain[-1].time_s - chain[0].time_s
        why = ", then ".join(moment.interaction for moment in chain) + f" within {took_s:.1f} s"
        if self._rule.without is not None:
            why += f" without {_named(self._rule.without)}"
        return Match(chain[-1].time_s, tuple(chain), why)

    def fire(self, until_s: float, *, is_settled: bool) -> list[Match]:  # noqa: D102
        if len(self._chains) > MOST_WAITING // 10:  # forget what can be no part of a match any more
            oldest_s = until_s - self._rule.within_s
            self._chains = {
                key: chains
                for key, chains in self._chains.items()
                if any(chain and chain[0].time_s >= oldest_s for chain in chains)
            }
        return []

    def blind(self, source_id: str) -> None:  # noqa: D102
        return

    def restarted(self) -> None:  # noqa: D102
        for follower in (*self._steps, *([self._without] if self._without is not None else [])):
            follower.held.clear()
        if self._rule.same not in ("camera", "any"):
            self._chains.clear()

    def record(self) -> dict[str, Any]:  # noqa: D102
        followers = (*self._steps, *([self._without] if self._without is not None else []))
        chains = {key: [[m.record() for m in chain] for chain in chains] for key, chains in self._chains.items()}
        return {"held": [_records(follower.held) for follower in followers], "chains": chains}

    def restore(self, record: Mapping[str, Any]) -> None:  # noqa: D102
        followers = (*self._steps, *([self._without] if self._without is not None else []))
        for follower, held in zip(followers, record["held"], strict=True):
            follower.held = _by_interaction(held)
        self._chains = {
            key: [[Moment.of_record(m) for m in chain] for chain in chains] for key, chains in record["chains"].items()
        }


class AbsenceOperator:
    """What should follow within `within_s` and neither goes on already nor comes."""

    def __init__(self, rule: language.Absence) -> None:
        self._rule = rule
        self._after, self._missing = Follower(rule.after), Follower(rule.missing)
        self._waiting: list[Moment] = []  # in order

    def take(self, event: PairEvent, time_s: float) -> list[Match]:  # noqa: D102
        came = self._missing.take(event, time_s)
        begun = _wanted(self._after, self._after.take(event, time_s))
        here = _wanted(self._missing, came)
        if here is not None:
            key = here.key(self._rule.same)
            self._waiting = [moment for moment in self._waiting if moment.key(self._rule.same) != key]
        if begun is not None and here is None and not self._goes_on(begun.key(self._rule.same)):
            self._waiting.append(begun)
            del self._waiting[:-MOST_WAITING]
        return []

    def _goes_on(self, key: str) -> bool:
        if self._missing.condition.on == "ends":
            return False
        return any(moment.key(self._rule.same) == key for moment in self._missing.held.values())

    def fire(self, until_s: float, *, is_settled: bool) -> list[Match]:  # noqa: D102
        matches, within_s = [], self._rule.within_s
        while self._waiting:
            moment, due_s = self._waiting[0], self._waiting[0].time_s + within_s
            if due_s > until_s or (due_s == until_s and not is_settled):
                break
            del self._waiting[0]
            why = f"{moment.interaction} without {_named(self._rule.missing)} within {within_s:g} s"
            matches.append(Match(due_s, (moment,), why))
        return matches

    def blind(self, source_id: str) -> None:  # noqa: D102
        self._waiting = [moment for moment in self._waiting if moment.source_id != source_id]

    def restarted(self) -> None:  # noqa: D102
        self._waiting.clear()
        self._after.held.clear()
        self._missing.held.clear()

    def record(self) -> dict[str, Any]:  # noqa: D102
        waiting = [moment.record() for moment in self._waiting]
        return {"after": _records(self._after.held), "missing": _records(self._missing.held), "waiting": waiting}

    def restore(self, record: Mapping[str, Any]) -> None:  # noqa: D102
        self._after.held, self._missing.held = _by_interaction(record["after"]), _by_interaction(record["missing"])
        self._waiting = [Moment.of_record(moment) for moment in record["waiting"]]


class CountOperator:
    """`at_least` moments within `within_s`; those that were counted in a match are used up."""

    def __init__(self, rule: language.Count) -> None:
        self._rule = rule
        self._what = Follower(rule.what)
        self._recent: dict[str, list[Moment]] = {}  # by key, in order

    def take(self, event: PairEvent, time_s: float) -> list[Match]:  # noqa: D102
        moment = _wanted(self._what, self._what.take(event, time_s))
        if moment is None:
            return []
        rule, key = self._rule, moment.key(self._rule.per)
        recent = [m for m in self._recent.pop(key, []) if m.time_s >= time_s - rule.within_s]
        recent.append(moment)
        if len(recent) >= rule.at_least:
            took_s = time_s - recent[0].time_s
            return [Match(time_s, tuple(recent), f"{len(recent)} times {_named(rule.what)} within {took_s:.1f} s")]
        self._recent[key] = recent
        _drop_oldest(self._recent)
        return []

    def fire(self, until_s: float, *, is_settled: bool) -> list[Match]:  # noqa: D102
        if len(self._recent) > MOST_WAITING // 10:
            oldest_s = until_s - self._rule.within_s
            self._recent = {key: recent for key, recent in self._recent.items() if recent[-1].time_s >= oldest_s}
        return []

    def blind(self, source_id: str) -> None:  # noqa: D102
        return

    def restarted(self) -> None:  # noqa: D102
        self._what.held.clear()
        if self._rule.per not in ("camera", "any"):
            self._recent.clear()

    def record(self) -> dict[str, Any]:  # noqa: D102
        recent = {key: [moment.record() for moment in moments] for key, moments in self._recent.items()}
        return {"held": _records(self._what.held), "recent": recent}

    def restore(self, record: Mapping[str, Any]) -> None:  # noqa: D102
        self._what.held = _by_interaction(record["held"])
        self._recent = {key: [Moment.of_record(m) for m in recent] for key, recent in record["recent"].items()}


def make_operator(rule: language.Rule) -> Operator:
    """Return a memory without memories for `rule`."""
    operator = rule.operator
    if isinstance(operator, language.Lasts):
        return LastsOperator(operator)
    if isinstance(operator, language.Sequence):
        return SequenceOperator(operator)
    return AbsenceOperator(operator) if isinstance(operator, language.Absence) else CountOperator(operator)


def _wanted(follower: Follower, edge: Edge | None) -> Moment | None:
    """Return the moment of an edge of the kind that the condition asks for."""
    return edge.moment if edge is not None and edge.kind == follower.condition.on else None


def _named(condition: language.Condition) -> str:
    names = condition.interaction or condition.verb or condition.object or condition.line or condition.zone
    return " or ".join(names) or "a crossing"


def _drop_oldest(kept: dict[str, Any]) -> None:
    if len(kept) > MOST_WAITING:
        del kept[next(iter(kept))]


def _records(held: Mapping[str, Moment]) -> list[dict[str, Any]]:
    return [moment.record() for moment in held.values()]


def _by_interaction(records: list[dict[str, Any]]) -> dict[str, Moment]:
    return {record["interaction_id"]: Moment.of_record(record) for record in records}
