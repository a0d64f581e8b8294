"""`hoistream events`: ask an event store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def events(
    store: Annotated[Path, typer.Argument(help="The file that a sink `store:PATH` fills.")],
    start: Annotated[str | None, typer.Option("--from", help="Since then: 7d, 12h or 2026-11-23T14:02.")] = None,
    until: Annotated[str | None, typer.Option(help="Before then.")] = None,
    source: Annotated[list[str] | None, typer.Option(help="Only this source; may be repeated, like others.")] = None,
    run_id: Annotated[list[str] | None, typer.Option(help="Only this run.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--type", help="Only started, updated, ended, alert, …")] = None,
    interaction: Annotated[list[str] | None, typer.Option(help="Only this one, such as 'ride bicycle'.")] = None,
    verb: Annotated[list[str] | None, typer.Option(help="Only this verb.")] = None,
    object_: Annotated[list[str] | None, typer.Option("--object", help="Only this object.")] = None,
    human: Annotated[list[int] | None, typer.Option(help="Only this human; of one --run-id.")] = None,
    zone: Annotated[list[str] | None, typer.Option(help="Only in this zone.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Only what people called so.")] = None,
    starred: Annotated[bool, typer.Option("--starred", help="Only what is starred.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="At most so many; 0 for all.")] = 100,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="In the order in which it happened.")] = False,
    star: Annotated[str | None, typer.Option(help="Star the event of this id, and print nothing.")] = None,
    unstar: Annotated[str | None, typer.Option(help="Take its star away.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as one line of JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a table with the main columns.")] = False,
) -> None:
    """Print the events of a store, newest first; it may be written meanwhile.

    Example: hoistream events events.db --from 2d --zone door --type started
    """
    import csv
    import sys

    from hoiclip.errors import InputError
    from stream.commands.support.moments import past_time_option
    from stream.events.lines import EventPrinter
    from stream.events.schema import EVENT_TYPES
    from stream.store.event_store import EventStore
    from stream.store.queries import StoreQuery

    if as_json and as_csv:
        raise InputError("--json and --csv: give one of them")
    if unknown := sorted(set(kind or ()) - set(EVENT_TYPES)):
        raise InputError(f"--type: {unknown[0]!r} is not known; expected {', '.join(EVENT_TYPES)}")
    for event_id, starring in ((star, True), (unstar, False)):
        if event_id is not None:
            if not store.exists():
                raise InputError(f"store {store}: does not exist")
            with EventStore(store) as opened:
                if not opened.mark(event_id, starred=starring):
                    raise InputError(f"store {store}: no event {event_id!r}")
            return
    query = StoreQuery(
        sources=tuple(source or ()),
        runs=tuple(run_id or ()),
        types=tuple(kind or ()),
        interactions=tuple(interaction or ()),
        verbs=tuple(verb or ()),
        objects=tuple(object_ or ()),
        humans=tuple(human or ()),
        zones=tuple(zone or ()),
        labels=tuple(label or ()),
        starred=starred,
        since=past_time_option("--from", start),
        until=past_time_option("--until", until),
        newest_first=not oldest_first,
        limit=limit or None,
    )
    printer, table = EventPrinter(sys.stdout, as_json=as_json), csv.writer(sys.stdout, lineterminator="\n")
    if as_csv:
        table.writerow((*_COLUMNS, "starred", "label"))
    with EventStore(store, read_only=True) as opened:
        for stored in opened.all(query):
            if as_csv:
                values = stored.event.model_dump(mode="json")
                cells = [" ".join(v) if isinstance(v := values.get(name), list) else v for name in _COLUMNS]
                table.writerow([*cells, int(stored.starred), stored.label])
            else:
                printer.show(stored.event)


_COLUMNS = (
    "event_id", "capture_time", "media_time_s", "source_id", "run_id", "type", "interaction", "human_id", "object",
    "score", "duration_s", "zones", "rule", "severity", "reason", "why",
)  # fmt: skip
