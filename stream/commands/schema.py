"""`hoistream schema`: the events' format for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def schema(
    asyncapi: Annotated[bool, typer.Option("--asyncapi", help="Print AsyncAPI (YAML) instead of JSON Schema.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write both documents into this folder instead.")] = None,
) -> None:
    """Print the JSON Schema of the published events.

    Example: hoistream schema > event.schema.json
    """
    from hoiclip.errors import InputError
    from stream.events.asyncapi import ASYNCAPI_NAME, JSON_SCHEMA_NAME, documents

    if out is None:
        typer.echo(documents()[ASYNCAPI_NAME if asyncapi else JSON_SCHEMA_NAME], nl=False)
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in documents().items():
            (out / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror})") from error
