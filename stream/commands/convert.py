"""`hoistream convert`: official checkpoints to hoistream's own format, once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def convert(
    source: Annotated[Path, typer.Argument(help="Official checkpoint (.pth).")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Model to write, .safetensors; by default beside SOURCE, under its name."),
    ] = None,
    detr: Annotated[
        bool, typer.Option("--detr", help="SOURCE is DETR-R50: write a detector initialisation for training.")
    ] = False,
    half: Annotated[bool, typer.Option("--half", help="Store matrices in half precision: half the size.")] = False,
) -> None:
    """Convert an official HOICLIP checkpoint (HICO-DET, V-COCO or zero-shot) to safetensors and a model card.

    The variant is recognised from the keys and shapes. No code in the file is ever run.

    Example: hoistream convert official.pth --out models/hoiclip/model.safetensors
    """
    from hoiclip.checkpoint import build, convert_detr, file_sha256, read_state_dict
    from hoiclip.checkpoint import convert as convert_weights
    from hoiclip.errors import InputError

    out = out or source.with_suffix(".safetensors")
    if out.suffix != ".safetensors":
        raise InputError(f"--out {out}: expected a name that ends in .safetensors")
    official = read_state_dict(source)
    if detr:
        from safetensors.torch import save_file

        weights = convert_detr(official, str(source))
        out.parent.mkdir(parents=True, exist_ok=True)
        save_file(weights, out, {"format": "hoistream-detector-1", "source_sha256": file_sha256(source)})
        typer.echo(f"{out}: {len(weights)} detector weights from DETR")
        return
    from hoiclip.weights import save_model

    converted = convert_weights(official, str(source))
    typer.echo(f"{source}: {converted.variant}; encoding {converted.config.num_interactions} prompts", err=True)
    model, heads = build(converted)
    card = {
        "name": converted.config.name,
        "variant": converted.variant,
        "vocabulary": converted.config.vocabulary,
        "source": source.name,
        "source_sha256": file_sha256(source),
        "dropped_keys": converted.dropped,
        "license": "the checkpoint's own; ask its authors",
    }
    fingerprint = save_model(out, model, heads, card, half=half)
    typer.echo(
        f"{out}: {converted.variant}, {len(converted.weights)} weights, "
        f"{len(converted.dropped)} keys dropped, fingerprint {fingerprint}"
    )
