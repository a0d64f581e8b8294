"""`hoistream subscribe`: see the events of a server as they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

Value = TypeVar("Value")


def subscribe(
    url: Annotated[
        str,
        typer.Option(
            envvar="HOISTREAM_REDIS_URL",
            help=r"redis://\[user:password@]host\[:port]\[/db]\[?stream=NAME]; better in the variable than here.",
            show_default=True,
        ),
    ] = "redis://127.0.0.1:6379/0",
    group: Annotated[
        str | None,
        typer.Option(help="Consumer group: share events with its other consumers and keep a place. Else only look."),
    ] = None,
    consumer: Annotated[str | None, typer.Option(help="Name in the group; host and process when not given.")] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="beginning, new, 10m, 2h or 2026-11-23T14:02; a group's start when it is made."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Without a group: stop at this time, such as 5m or 2026-11-23T14:10.")
    ] = None,
    follow: Annotated[bool, typer.Option(help="Wait for more at the end, or stop there.")] = True,
    source: Annotated[list[str] | None, typer.Option(help="Only this source; may be repeated.")] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--type", help="Only started, updated, ended, coverage_gap, source_state or events_lost."),
    ] = None,
    verb: Annotated[list[str] | None, typer.Option(help="Only this verb, such as ride; may be repeated.")] = None,
    object_: Annotated[list[str] | None, typer.Option("--object", help="Only this object, such as bicycle.")] = None,
    interaction: Annotated[list[str] | None, typer.Option(help="Only this one, such as 'ride bicycle'.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as one line of JSON.")] = False,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after this many events.")] = None,
) -> None:
    """Print events as they come; with --group each event goes to one consumer, and is acknowledged once printed.

    Example: hoistream subscribe --from 10m --verb ride --type started
    """
    import sys

    from hoiclip.errors import HoistreamError, InputError
    from stream.commands.support.moments import parse_moment, past_time
    from stream.events.lines import EventPrinter
    from stream.events.redis_connection import parse_redis_url
    from stream.events.schema import EVENT_TYPES
    from stream.subscribe.client import SubscriptionError
    from stream.subscribe.client import subscribe as open_subscription

    if sys.stdout is None:
        raise InputError("standard output is closed; send it somewhere")
    if group is not None and until is not None:
        raise InputError("--until only goes without --group, which keeps its own place")
    if unknown := sorted(set(kind or ()) - set(EVENT_TYPES)):
        raise InputError(f"--type: {unknown[0]!r} is not known; expected {', '.join(EVENT_TYPES)}")
    begin = _option("--from", start or ("new" if group is None else "beginning"), parse_moment)
    end = _option("--until", until, past_time) if until is not None else None
    _option("--url", url, parse_redis_url)
    printer = EventPrinter(sys.stdout, as_json=as_json)
    try:
        with open_subscription(
            url,
            group=group,
            consumer=consumer,
            start=begin,
            until=end,
            follow=follow,
            sources=source or (),
            types=kind or (),
            verbs=verb or (),
            objects=object_ or (),
            interactions=interaction or (),
        ) as events:
            for number, event in enumerate(events, start=1):
                printer.show(event)
                if number == count:
                    break
    except SubscriptionError as error:
        raise HoistreamError(str(error)) from None


def _option(name: str, text: str, read: Callable[[str], Value]) -> Value:
    from hoiclip.errors import InputError

    try:
        return read(text)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None
