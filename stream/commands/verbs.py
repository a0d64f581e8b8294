"""`hoistream verbs`: verb classifiers from labelled pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def verbs(
    pictures: Annotated[
        Path, typer.Argument(help="Folder with annotations.json in HICO-DET's form, as `synth` leaves it.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Model file to write, with the new verb rows.")],
    model: Annotated[str, typer.Option(help="demo, an installed name or a path; see `hoistream models`.")] = "demo",
    per_interaction: Annotated[int, typer.Option(min=1, help="Most examples of one interaction.")] = 150,
) -> None:
    """Make verb rows by visual semantic arithmetic: what person and object show together, less the object alone.

    Verbs without an example keep the row they have.

    Example: hoistream synth --pictures 500 --out /tmp/world && hoistream verbs /tmp/world/pictures --out m.safetensors
    """
    from hoiclip.training.verb_rows import rows_from_folder
    from hoiclip.weights import save_model, torch_model
    from stream.run.models import open_model

    loaded = torch_model(open_model(model))
    heads, made = rows_from_folder(loaded, pictures, per_interaction)
    save_model(out, loaded.module, heads, {**loaded.card, "verbs": f"visual semantic arithmetic on {pictures.name}"})
    typer.echo(f"{out}: {made} of {len(loaded.vocabulary.verbs)} verb rows made from pictures")
