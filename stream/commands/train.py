"""`hoistream train`: train a model from a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Annotated[Path, typer.Argument(help="YAML; see configs/train/world.yaml.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for checkpoints and the model; overrides the configuration.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores when not given.")] = None,
) -> None:
    """Train a model; a killed run resumes from its checkpoints to the same result when started again.

    Example: hoistream train configs/train/world.yaml
    """
    import torch

    from hoiclip.training.config import TrainConfig
    from hoiclip.training.run import train_from
    from hoiclip.yaml_lines import load_config

    settings = load_config(config, TrainConfig)
    if threads is not None:
        torch.set_num_threads(threads)
    path = train_from(settings, out or settings.out, lambda line: typer.echo(line, err=True))
    typer.echo(f"model: {path}")
