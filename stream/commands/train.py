"""`hoistream train`: train a model from a configuration."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.progress import TaskID

REPORT_EVERY_S = 15.0


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

    settings = load_train_config(config)
    if threads is not None:
        torch.set_num_threads(threads)
    with _progress() as report:
        path = run(settings, out or settings.out, report)
    if os.environ.get("RANK", "0") == "0":  # of torchrun's processes the first has written it
        typer.echo(f"model: {path}")


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int, dict[str, float]], None]]:
    """Yield what is called after some steps: a bar a stage on a terminal, else a plain line every 15 seconds."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
               TextColumn("{task.fields[values]}"))  # fmt: skip
    said = [float("-inf")]
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:

        def report(stage: str, step: int, steps: int, values: dict[str, float]) -> None:
            shown = " ".join(f"{name} {value:.4g}" for name, value in values.items())
            if console.is_terminal:
                if stage not in tasks:
                    tasks[stage] = bar.add_task(stage, total=steps, values="")
                bar.update(
                    tasks[stage], completed=step, values=f"loss {values['total']:.3f}" if "total" in values else ""
                )
            elif time.monotonic() - said[0] >= REPORT_EVERY_S or step == steps:
                said[0] = time.monotonic()
                typer.echo(f"{stage} {step}/{steps} {shown}", err=True)

        yield report
