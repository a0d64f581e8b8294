"""A slow oracle of the rules, written from docs/rules.md: every moment against every other, nothing remembered.

It judges the finished list of one source's events and knows the whole future: no timers, no windows, no state.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

from stream.events.schema import InteractionEvent, LineCrossedEvent
from stream.rules.language import Absence, Condition, Count, Lasts, Rule, Scope, Sequence

PairEvent = InteractionEvent | LineCrossedEvent


class Stretch(NamedTuple):
    """An interaction as a condition sees it: places in the list of events; `end` is None where it goes on."""

    begin: int
    end: int | None


def agrees(condition: Condition, event: PairEvent) -> bool:
    crossing = isinstance(event, LineCrossedEvent)
    if crossing != bool(condition.line or condition.direction):
        return False
    if crossing:
        if condition.line and event.line not in condition.line:
            return False
        if condition.direction and event.direction != condition.direction:
            return False
    named = {"camera": event.source_id, "interaction": event.interaction, "verb": event.verb, "object": event.object}
    for key, value in named.items():
        if getattr(condition, key) and value not in getattr(condition, key):
            return False
    if condition.zone and not set(condition.zone) & set(event.zones):
        return False
    return event.peak_score >= condition.min_score


def stretches(condition: Condition, events: list[PairEvent]) -> list[Stretch]:
    found = []
    for i, event in enumerate(events):
        if isinstance(event, LineCrossedEvent):
            if agrees(condition, event):
                found.append(Stretch(i, i))
            continue
        own = [
            j
            for j, e in enumerate(events)
            if isinstance(e, InteractionEvent) and e.interaction_id == event.interaction_id
        ]
        before = [j for j in own if j < i]
        was = bool(before) and events[before[-1]].type != "ended" and agrees(condition, events[before[-1]])
        if event.type != "ended" and agrees(condition, event) and not was:
            over = [j for j in own if j > i and (events[j].type == "ended" or not agrees(condition, events[j]))]
            found.append(Stretch(i, over[0] if over else None))
    return found


def moments(condition: Condition, events: list[PairEvent]) -> list[int]:
    each = stretches(condition, events)
    if condition.on == "begins":
        return sorted(s.begin for s in each)
    return sorted(s.end for s in each if s.end is not None)


def group(event: PairEvent, scope: Scope) -> object:
    numbers = {"human": event.human_id, "object": event.object_id, "pair": event.pair_id}
    return numbers.get(scope, 0)


def time_of(event: PairEvent) -> float:
    return event.media_time_s


def matches(rule: Rule, events: list[PairEvent], end_s: float) -> list[tuple[float, tuple[str, ...]]]:
    """Return time and event ids of every match of `rule` in one source's `events`; its time is known up to `end_s`."""
    operator = rule.operator
    if isinstance(operator, Lasts):
        found = lasts(operator, events, end_s)
    elif isinstance(operator, Sequence):
        found = sequences(operator, events)
    elif isinstance(operator, Absence):
        found = absences(operator, events, end_s)
    else:
        found = counts(operator, events)
    return sorted((time_s, tuple(events[i].event_id for i in places)) for time_s, places in found)


def lasts(rule: Lasts, events: list[PairEvent], end_s: float) -> list[tuple[float, list[int]]]:
    found = []
    for begin, end in stretches(rule.what, events):
        event = events[begin]
        since_s = time_of(event)
        if event.type == "started":
            dwells = [event.dwell_s[zone] for zone in rule.what.zone if zone in event.dwell_s]
            since_s -= min(event.duration_s, max(dwells, default=0.0)) if rule.what.zone else event.duration_s
        due_s = since_s + rule.for_s
        if due_s <= end_s and (end is None or time_of(events[end]) >= due_s or due_s <= time_of(event)):
            found.append((max(due_s, time_of(event)), [begin]))
    return found


def sequences(rule: Sequence, events: list[PairEvent]) -> list[tuple[float, list[int]]]:
    steps = [moments(step, events) for step in rule.steps]
    between = moments(rule.without, events) if rule.without else []
    used: dict[object, int] = {}  # by group: up to which event everything is used up
    found = []
    for last in range(len(events)):
        key = group(events[last], rule.same)
        own = [i for i in range(used.get(key, -1) + 1, last + 1) if group(events[i], rule.same) == key]
        chains = []
        for firsts in combinations(own[:-1] if own and own[-1] == last else own, len(rule.steps) - 1):
            chain = [*firsts, last]
            if (
                all(i in step for i, step in zip(chain, steps, strict=True))
                and time_of(events[last]) - time_of(events[chain[0]]) <= rule.within_s
                and not any(chain[0] < i < last and i in between for i in own)
            ):
                chains.append(chain)
        if chains:
            found.append((time_of(events[last]), max(chains)))
            used[key] = last
    return found


def absences(rule: Absence, events: list[PairEvent], end_s: float) -> list[tuple[float, list[int]]]:
    found = []
    for i in moments(rule.after, events):
        key, due_s = group(events[i], rule.same), time_of(events[i]) + rule.within_s
        came = [
            j
            for j in moments(rule.missing, events)
            if j >= i and group(events[j], rule.same) == key and time_of(events[j]) <= due_s
        ]
        goes_on = rule.missing.on == "begins" and any(
            s.begin < i and (s.end is None or s.end > i) and group(events[s.begin], rule.same) == key
            for s in stretches(rule.missing, events)
            if not isinstance(events[s.begin], LineCrossedEvent)
        )
        if due_s <= end_s and not came and not goes_on:
            found.append((due_s, [i]))
    return found


def counts(rule: Count, events: list[PairEvent]) -> list[tuple[float, list[int]]]:
    found = []
    used: set[int] = set()
    for i in moments(rule.what, events):
        window = [
            j
            for j in moments(rule.what, events)
            if j <= i
            and j not in used
            and group(events[j], rule.per) == group(events[i], rule.per)
            and time_of(events[j]) >= time_of(events[i]) - rule.within_s
        ]
        if len(window) >= rule.at_least:
            found.append((time_of(events[i]), window))
            used |= set(window)
    return found
