"""`hoistream run`: watch cameras (and files) and publish events until told to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    config: Annotated[Path, typer.Argument(help="YAML: sources, model, sinks; see configs/cameras.yaml.")],
    model: Annotated[
        Path | None, typer.Option(help="Converted model; the shipped demonstration model when not given.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after this many seconds.")] = None,
) -> None:
    """Watch the sources of CONFIG and publish their interactions until stopped.

    Cameras reconnect for ever; files end. SIGTERM or Ctrl-C closes what is open, flushes every event and exits with 0.

    Example: hoistream run configs/cameras.yaml
    """
    from hoiclip.yaml_lines import load_config
    from stream.commands.support.signals import stop_on_signals
    from stream.run.config import RunConfig
    from stream.run.deployment import Deployment

    settings = load_config(config, RunConfig)
    if model is not None:
        settings = settings.model_copy(update={"model": model})
    with stop_on_signals(seconds) as stop, Deployment(settings, config) as deployment:
        deployment.run(stop)
