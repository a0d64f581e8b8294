"""`hoistream rules`: check a file of rules, and see what it would have told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Check rules over events, and see what they would have told.")


@app.command()
def check(
    rules: Annotated[Path, typer.Argument(help="The file of rules; see docs/rules.md.")],
    config: Annotated[
        Path | None, typer.Option(help="A configuration of `run`: names must be those of its cameras, zones and words.")
    ] = None,
) -> None:
    """Check a file of rules; what cannot be right is said with its line, and the exit code is 2.

    Example: hoistream rules check rules.yaml --config cameras.yaml
    """
    from stream.rules.language import load_rules

    found = load_rules(rules)
    if config is not None:
        from stream.run.checking import check as check_all
        from stream.run.settings import load_run_config

        check_all(load_run_config(config).model_copy(update={"rules": rules}))
    typer.echo(f"{rules}: valid. {len(found.rules)} rules: {', '.join(rule.name for rule in found.rules)}")


@app.command()
def test(
    rules: Annotated[Path, typer.Argument(help="The file of rules; see docs/rules.md.")],
    events: Annotated[
        list[Path] | None, typer.Option("--events", help="A JSON Lines file of events; may be repeated.")
    ] = None,
    store: Annotated[Path | None, typer.Option(help="An event store, as a sink `store:PATH` fills it.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Only events since then: 7d, 12h or 2026-11-23T14:02.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only events before then.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each alert as one line of JSON.")] = False,
) -> None:
    """Print the alerts that the rules would have given over stored events; alerts among these are left out.

    Example: hoistream rules test rules.yaml --store events.db --from 7d
    """
    import sys
    from collections import Counter
    from collections.abc import Iterator
    from datetime import UTC, datetime
    from itertools import chain

    from hoiclip.errors import InputError
    from stream.commands.support.moments import past_time_option
    from stream.events.files import read_events
    from stream.events.lines import EventPrinter
    from stream.events.schema import Event
    from stream.rules.engine import RulesEngine
    from stream.rules.language import load_rules

    engine = RulesEngine(load_rules(rules))
    begin = past_time_option("--from", start)
    end = past_time_option("--until", until)
    if (store is None) == (not events):
        raise InputError("give the events: --store PATH, or --events FILE")
    if store is not None:
        from stream.store.event_store import EventStore
        from stream.store.queries import StoreQuery

        query = StoreQuery(since=begin, until=end, newest_first=False, limit=None)
        found: Iterator[Event] = (stored.event for stored in EventStore(store, read_only=True).all(query))
    else:
        found = chain.from_iterable(read_events(path) for path in events or ())
    printer, counts, num_events = EventPrinter(sys.stdout, as_json=as_json), Counter[str](), 0
    newest = None
    for event in found:
        when = event.clock
        if when is not None and ((begin is not None and when < begin) or (end is not None and when >= end)):
            continue
        num_events += 1
        newest = max(filter(None, (newest, event.capture_time)), default=None)
        for alert in engine.take(event):
            counts[alert.rule] += 1
            printer.show(alert)
    until_s = min(end or datetime.now(UTC), datetime.now(UTC)).timestamp() if newest is not None else None
    for alert in engine.finish(until_s):
        counts[alert.rule] += 1
        printer.show(alert)
    for rule in engine.rules.rules:
        silent = (
            f", {engine.quiet[rule.name]} kept silent by its schedule or cooldown" if engine.quiet[rule.name] else ""
        )
        typer.echo(f"{rule.name}: {counts[rule.name]} alerts{silent}", err=True)
    late = f"; {engine.late} came late and counted from when they came" if engine.late else ""
    typer.echo(f"{num_events} events judged{late}", err=True)
