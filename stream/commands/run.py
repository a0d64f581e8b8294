"""`hoistream run`: watch cameras (and files) and publish events until told to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    config: Annotated[Path, typer.Argument(help="YAML: sources, model, sinks; see configs/cameras.yaml.")],
    model: Annotated[
        str | None,
        typer.Option(help="In the place of the file's: an installed name, a path, or demo."),
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after this many seconds.")] = None,
) -> None:
    """Watch the sources of CONFIG and publish their interactions until stopped.

    Cameras reconnect for ever; files end. SIGTERM or Ctrl-C closes what is open, flushes every event and exits with 0.

    Example: hoistream run configs/cameras.yaml
    """
    from stream.commands.support.signals import stop_on_signals
    from stream.ingest.source_state import SourceMessage
    from stream.run.deployment import Deployment
    from stream.run.settings import load_run_config

    def say(message: SourceMessage) -> None:
        if message.kind in ("opened", "resumed"):  # what goes wrong is in the log, which is on stderr as well
            typer.echo(f"{message.source_id}: {message.kind}", err=True)

    settings = load_run_config(config, model=model)
    with stop_on_signals(seconds) as stop, Deployment(settings, on_message=say) as deployment:
        if deployment.metrics_url is not None:
            typer.echo(f"metrics and health: {deployment.metrics_url}", err=True)
        deployment.run(stop)
