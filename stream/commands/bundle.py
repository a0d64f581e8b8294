"""`hoistream bundle`: a model ready to run where torch is not installed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def bundle(
    model: Annotated[str, typer.Option(help="Model to bundle: a path, `demo` or the name of an installed one.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write, NAME.bundle; one that is there goes.")],
    canvas: Annotated[
        list[str] | None,
        typer.Option(help="HEIGHTxWIDTH to make a graph for, the usual one first; the model's own if not given."),
    ] = None,
    vocabulary: Annotated[
        Path | None, typer.Option(help="YAML with what to look for where nothing else is said; lessons come along.")
    ] = None,
    card: Annotated[
        Path | None, typer.Option(help="JSON document with facts for the card: licence, what was measured.")
    ] = None,
) -> None:
    """Put a model, its graphs, text tower and words into one folder that runs without torch.

    Every engine takes it. The manifest holds the SHA-256 of every file, which are checked whenever it is loaded.

    Example: hoistream bundle --model model.safetensors --canvas 480x853 --canvas 853x480 --out street.bundle
    """
    from hoiclip.bundling import write_bundle
    from stream.commands.support.facts import read_facts
    from stream.run.canvases import parse_canvases
    from stream.run.models import open_model

    canvases = parse_canvases(canvas or [])
    facts = read_facts(card) if card is not None else {}
    loaded = open_model(model)
    typer.echo(f"bundling {loaded.path}; a minute for each canvas", err=True)
    folder = write_bundle(loaded, out, canvases=canvases, vocabulary=vocabulary, facts=facts)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    shown = ", ".join(map(str, canvases or loaded.canvases))
    typer.echo(f"{folder}: {size / 1e6:.1f} MB for {shown}, fingerprint {loaded.fingerprint}")
