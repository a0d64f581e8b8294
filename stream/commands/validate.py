"""`hoistream validate`: check a configuration before it runs anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def validate(
    config: Annotated[Path, typer.Argument(help="The YAML file that `hoistream run` would take.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the full configuration, defaults included.")] = False,
) -> None:
    """Check a configuration without connecting to anything: all that `hoistream run` would refuse, and its line.

    Example: hoistream validate configs/cameras.yaml
    """
    import json

    from stream.redaction import redact
    from stream.run.checking import check
    from stream.run.settings import load_run_config

    settings = load_run_config(config)
    check(settings)
    if as_json:
        typer.echo(redact(json.dumps(settings.model_dump(mode="json"), indent=2)))
        return
    live = sum(source.live for source in settings.sources)
    typer.echo(
        f"{config}: valid. {live} live, {len(settings.sources) - live} file; sinks: {redact(', '.join(settings.sinks))}"
    )
