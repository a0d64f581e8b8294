"""`hoistream replay`: put back what somebody deleted from a stream."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def replay(
    url: Annotated[
        str,
        typer.Option(
            envvar="HOISTREAM_REDIS_URL", help="The sink, as in the run's configuration; better in the variable."
        ),
    ] = "redis://127.0.0.1:6379/0",
    spool_dir: Annotated[
        Path | None, typer.Option(help="The run's `spool_dir`; the user's state folder when not given.")
    ] = None,
    send: Annotated[bool, typer.Option("--send/--dry-run", help="Send what is missing, or only count it.")] = True,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what hoistream's own trimming may have removed.")
    ] = False,
) -> None:
    """Append again what was deleted from a stream and is still kept in the spool (ten minutes of events).

    The run may go on meanwhile. Consumers get what is sent as new entries with the events' old ids.

    Example: hoistream replay --dry-run
    """
    from stream.publish.publisher import default_spool_dir
    from stream.publish.replay import replay as replay_spool

    done = replay_spool(spool_dir or default_spool_dir(), url, send=send, everything=everything)
    left_out = f" ({done.left_out} older than the last trimming left out; --all)" if done.left_out else ""
    outcome = f"{done.sent} sent" if send else "none sent"
    typer.echo(f"{done.kept} events kept{left_out}, {done.missing} missing from the stream, {outcome}")
