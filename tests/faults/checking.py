"""Read spool and stream of a run that is over, and prove: nothing lost, doubled, mixed up, unended or untold.

Needs neither the run nor its program: events count themselves (`seq`), tell their losses (`events_lost`), name their
interactions and the stretches in which a source was blind.

Run: python -m tests.faults.checking redis://… SPOOL_DIR
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

import redis

from stream.events.redis_connection import parse_redis_url
from stream.events.schema import (
    CoverageGapEvent,
    Event,
    EventsLostEvent,
    InteractionEvent,
    SourceStateEvent,
    parse_event,
)
from stream.publish.records import Record
from stream.publish.segments import read_folder

BLIND_S = 1.0  # a source that was away for longer must have told a gap
Run = tuple[str, str]  # run and source


@dataclass(frozen=True)
class Findings:
    """What is wrong, counted; `accounted` is no fault: it was lost, and told."""

    lost: int = 0  # events that are nowhere and that no `events_lost` accounts for
    doubled: int = 0  # entries that repeat an event
    out_of_order: int = 0  # entries of a source behind one with a higher number
    unended: int = 0  # interactions that started and never ended, though nothing of their source was lost
    untold: int = 0  # stretches in which a source was away and no coverage gap says so
    health_lied: int = 0  # stretches in which the run said ok while something was wrong
    accounted: int = 0
    events: int = 0

    @property
    def faultless(self) -> bool:
        """Whether nothing is wrong."""
        return not any((self.lost, self.doubled, self.out_of_order, self.unended, self.untold, self.health_lied))

    def __str__(self) -> str:
        return ", ".join(f"{field.name.replace('_', ' ')} {getattr(self, field.name)}" for field in fields(self))


def stream_events(url: str) -> list[Event]:
    """Return the events of a stream, in its order; what is none is passed over: an event of ours would be missing."""
    target = parse_redis_url(url)
    client = redis.Redis.from_url(target.url)
    found: list[Event] = []
    position = "-"
    while entries := client.xrange(target.stream, position, "+", count=1000):
        for _, entry in entries:
            with suppress(ValueError):
                found.append(parse_event(entry.get(b"event", b"")))
        position = f"({entries[-1][0].decode()}"
    return found


def spool_events(directory: Path) -> list[Event]:
    """Return the events that a spool keeps, in its order."""
    return [parse_event(Record.unpack(payload).json) for _, payload in read_folder(directory)]


def trimmed_entries(url: str) -> int:
    """Return how many entries hoistream's own trimming removed from a stream: every group had finished them."""
    target = parse_redis_url(url)
    return int(redis.Redis.from_url(target.url).hget(f"{{{target.stream}}}:account", "trimmed") or 0)


def check(streamed: list[Event], spooled: list[Event], reports: Iterable[Event] = (), *, trimmed: int = 0) -> Findings:
    """Compare a stream with the spool it came from.

    `reports` are events of another sink, losses that were told among them; `trimmed` entries went rightly.
    """
    seen: dict[Run, set[int]] = defaultdict(set)
    newest: dict[Run, int] = defaultdict(int)
    doubled = out_of_order = 0
    for event in streamed:
        run = (event.run_id, event.source_id)
        if event.seq in seen[run]:
            doubled += 1
        elif event.seq < newest[run]:
            out_of_order += 1
        seen[run].add(event.seq)
        newest[run] = max(newest[run], event.seq)
    reports = list(reports)
    others = [event for event in reports if not isinstance(event, EventsLostEvent)]
    for event in (*spooled, *others):
        run = (event.run_id, event.source_id)
        newest[run] = max(newest[run], event.seq)
    missing = {run: newest[run] - len(seen[run]) for run in newest}
    told = {event.event_id: event for event in (*streamed, *spooled, *reports) if isinstance(event, EventsLostEvent)}
    accounted = sum(event.count for event in told.values())
    return Findings(
        lost=max(0, sum(missing.values()) - accounted - trimmed),
        doubled=doubled,
        out_of_order=out_of_order,
        unended=_unended(streamed, {run for run, count in missing.items() if count}),
        untold=_untold(streamed),
        accounted=accounted,
        events=len(streamed),
    )


def _unended(events: list[Event], with_losses: set[Run]) -> int:
    """Count interactions without an end, and ends without a start, of runs that lost nothing."""
    balance: Counter[tuple[Run, str]] = Counter()
    for event in events:
        run = (event.run_id, event.source_id)
        if isinstance(event, InteractionEvent) and event.type != "updated" and run not in with_losses:
            balance[run, event.interaction_id] += 1 if event.type == "started" else -1
    return sum(count != 0 for count in balance.values())


def _untold(events: list[Event]) -> int:
    """Count stretches from `lost` to `up` that no coverage gap of the source covers."""
    away: dict[Run, float] = {}
    stretches: list[tuple[Run, float, float]] = []
    gaps: dict[Run, list[tuple[float, float]]] = defaultdict(list)
    for event in events:
        run = (event.run_id, event.source_id)
        if isinstance(event, CoverageGapEvent):
            gaps[run].append((event.from_media_s, event.to_media_s))
        elif isinstance(event, SourceStateEvent) and event.state == "lost":
            away.setdefault(run, event.media_time_s)
        elif isinstance(event, SourceStateEvent) and event.state == "up" and run in away:
            stretches.append((run, away.pop(run), event.media_time_s))
    return sum(
        not any(begin <= since + BLIND_S and until <= end + BLIND_S for begin, end in gaps[run])
        for run, since, until in stretches
        if until - since > BLIND_S
    )


def main() -> None:
    """Check one stream and one spool; exit with 1 when something is wrong."""
    url, directory = sys.argv[1], Path(sys.argv[2])
    findings = check(stream_events(url), spool_events(directory), trimmed=trimmed_entries(url))
    print(findings)
    raise SystemExit(0 if findings.faultless else 1)


if __name__ == "__main__":
    main()
