"""`hoistream models`: weights for real footage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="List the models that can be had and get them: official HOICLIP checkpoints for real footage.",
    invoke_without_command=True,
)


@app.callback()
def models(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False
) -> None:
    """List what can be had, what the paper reports for each, and what is installed.

    Example: hoistream models; then hoistream models get hoiclip-hico
    """
    if ctx.invoked_subcommand is not None:
        return
    import json
    from dataclasses import asdict

    from hoistream.official.catalogue import LICENCE, OFFICIAL
    from stream.run.models import installed_models, models_folder

    installed = installed_models()
    if as_json:
        official = [
            {**asdict(m), "page": m.page, "licence": LICENCE, "installed": m.name in installed} for m in OFFICIAL
        ]
        own = {name: str(path) for name, path in installed.items()}
        typer.echo(json.dumps({"official": official, "installed": own, "folder": str(models_folder())}, indent=2))
        return
    width = max(len(name) for name in [*(m.name for m in OFFICIAL), *installed])
    for model in OFFICIAL:
        mark = "installed" if model.name in installed else "         "
        typer.echo(f"{model.name:<{width}}  {mark}  {model.reported}{f' ({model.note})' if model.note else ''}")
    for name in sorted(set(installed) - {m.name for m in OFFICIAL}):
        typer.echo(f"{name:<{width}}  installed  your own")
    typer.echo(f"{'demo':<{width}}  shipped    has only ever seen drawings: for trying things out")
    typer.echo(f"\nLicence of the official ones: {LICENCE}. Their size is not published; the addresses: --json.")
    typer.echo(f"`hoistream models get NAME` downloads, checks, converts and bundles one into {models_folder()}")


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="Such as hoiclip-hico; `hoistream models` lists them.")],
    source: Annotated[
        Path | None,
        typer.Option("--from", help="The checkpoint (.pth), already on this machine: nothing is downloaded."),
    ] = None,
    canvas: Annotated[
        list[str] | None, typer.Option(help="HEIGHTxWIDTH to make a graph for; 480x853 and 800x1333 if not given.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the downloaded checkpoint beside the bundle.")] = False,
    accept_changed: Annotated[
        bool, typer.Option("--accept-changed", help="Take another file than the one recorded the first time.")
    ] = False,
) -> None:
    """Download an official checkpoint, check that it is what it claims to be, convert and bundle it.

    A transfer that breaks off goes on at the next call. Needs the extra `torch`; running the result does not.

    Example: hoistream models get hoiclip-hico
    """
    from hoistream.official.catalogue import official_model
    from hoistream.official.download import download
    from hoistream.official.install import CANVASES, install
    from stream.commands.support.progress import byte_progress
    from stream.run.canvases import parse_canvases
    from stream.run.models import models_folder

    model = official_model(name)
    import torch  # noqa: F401  # so that a missing extra shows before a long download

    canvases = parse_canvases(canvas or []) or CANVASES
    checkpoint = source
    if checkpoint is None:
        with byte_progress(f"downloading {model.name}") as progress:
            checkpoint = download(model, models_folder(), progress)
    typer.echo(f"{model.name}: checking, converting and bundling; a minute for each canvas", err=True)
    bundle = install(model, checkpoint, canvases, accept_changed=accept_changed)
    if source is None and not keep:
        checkpoint.unlink()
    typer.echo(f"{bundle}: ready; use it with --model {model.name}")
