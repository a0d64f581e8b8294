"""Progress of what is counted: bars on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as RichProgress

from hoiclip.closing import Closing

_PLAIN_EVERY_S = 10.0


class Counters(Closing):
    """Progress of things that are counted: a bar for each name, or a plain line at most every 10 s and at the end."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown_at = float("-inf")
        self._tasks: dict[str, TaskID] = {}
        self._bars = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            disable=not self._terminal,
        )

    def update(self, name: str, done: int, total: int | None, note: str = "") -> None:
        """Say that `done` of `total` (None where it is unknown) are done, and a `note` that belongs to it."""
        if self._terminal:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=total, note="")
            self._bars.update(self._tasks[name], completed=done, total=total, note=note)
        elif (total is not None and done >= total) or time.monotonic() - self._shown_at >= _PLAIN_EVERY_S:
            self._shown_at = time.monotonic()
            share = f"{done}/{total}" if total is not None else f"{done}"
            typer.echo(f"{name} {share} {note}".rstrip(), err=True)

    def __enter__(self) -> Self:
        self._bars.start()
        return super().__enter__()

    def close(self) -> None:
        """Leave the bars as they are."""
        self._bars.stop()


@contextmanager
def byte_progress(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yield what takes (bytes so far, bytes in all or None): a bar on a terminal, else a line at most every 10 s."""
    if not sys.stderr.isatty():
        shown_at = float("-inf")

        def line(done: int, total: int | None) -> None:
            nonlocal shown_at
            if done == total or time.monotonic() - shown_at >= _PLAIN_EVERY_S:
                shown_at = time.monotonic()
                typer.echo(f"{name}: {done / 1e6:.0f}{f' of {total / 1e6:.0f}' if total else ''} MB", err=True)

        yield line
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(name, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
