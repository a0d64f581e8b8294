"""`hoistream train`: train a model from a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Annotated[Path, typer.Argument(help="YAML; see configs/train/.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for checkpoints and the model; overrides the configuration.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores when not given.")] = None,
) -> None:
    """Train a model; a killed run resumes from its checkpoints to the same result when started again.

    Several GPUs: torchrun --nproc-per-node 4 -m hoistream train configs/train/hico.yaml

    Example: hoistream train configs/train/world.yaml
    """
    import os

    import torch

    from hoiclip.training.config import load_train_config
    from hoiclip.training.run import train as run
    from stream.commands.support.progress import Counters

    settings = load_train_config(config)
    if threads is not None:
        torch.set_num_threads(threads)
    with Counters() as counters:

        def report(stage: str, step: int, steps: int, values: dict[str, float]) -> None:
            counters.update(stage, step, steps, " ".join(f"{name} {value:.4g}" for name, value in values.items()))

        path = run(settings, out or settings.out, report)
    if os.environ.get("RANK", "0") == "0":  # of torchrun's processes the first has written it
        typer.echo(f"model: {path}")
