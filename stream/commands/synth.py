"""`hoistream synth`: draw videos and pictures whose truth is known."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class SplitName(StrEnum):
    """Whether the five unseen interactions may appear."""

    train = "train"
    test = "test"


def synth(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to; made if missing.")],
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds draw equal pixels; different seeds share nothing.")] = 0,
    videos: Annotated[int, typer.Option(min=0, help="How many videos.")] = 0,
    pictures: Annotated[int, typer.Option(min=0, help="How many pictures, into the folder pictures/.")] = 0,
    seconds: Annotated[float, typer.Option(min=1.0, max=600.0, help="Length of a video.")] = 15.0,
    split: Annotated[
        SplitName | None,
        typer.Option(
            help="test: with the five interactions that training never sees; train: without. "
            "Pictures default to test, videos to train."
        ),
    ] = None,
    height: Annotated[
        int, typer.Option(min=64, max=2160, help="Height of a video; its width is 1.75 times that.")
    ] = 512,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that draw.")] = 1,
) -> None:
    """Draw people who ride, carry, drink, sit … with the exact truth beside them, to try, train and measure.

    A video comes with NAME.json: boxes in every frame, start and end of each interaction. Pictures come with
    annotations.json in HICO-DET's form.

    Example: hoistream synth --seed 7 --videos 3 --pictures 50 --out world, then hoistream batch world --out results and
    hoistream eval events --predictions results --annotations world
    """
    from hoiclip.errors import InputError
    from hoiclip.synthetic.dataset import write_pictures, write_videos
    from stream.commands.support.progress import Counters

    if not videos and not pictures:
        raise InputError("nothing to draw: give --videos K, --pictures M or both")
    if height % 8:
        raise InputError(f"--height {height}: expected a multiple of 8, so that width and height are even")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: a file is in the way; give a folder")
    with Counters() as counters:
        if videos:
            write_videos(
                out,
                seed,
                videos,
                seconds=seconds,
                height=height,
                width=height * 7 // 4,
                split="test" if split is SplitName.test else "train",
                workers=workers,
                progress=lambda done: counters.update("videos", done, videos),
            )
        if pictures:
            write_pictures(
                out / "pictures",
                seed,
                pictures,
                split="train" if split is SplitName.train else "test",
                workers=workers,
                progress=lambda done: counters.update("pictures", done, pictures),
            )
    parts = [f"{videos} videos of {seconds:g} s"] * bool(videos) + [f"{pictures} pictures"] * bool(pictures)
    typer.echo(f"{out}: {' and '.join(parts)}, seed {seed}")
