"""Progress of long work: a bar on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

_PLAIN_EVERY_S = 10.0


class Progress:
    """Progress over `parts` files, each with a length of its own."""

    def __init__(self, parts: int) -> None:
        self._parts, self._finished = parts, 0
        self._terminal = sys.stderr.isatty()
        self._said = time.monotonic()
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not self._terminal,
        )
        self._task = self._bar.add_task("", total=None)

    def part(self, name: str, done: float, total: float) -> None:
        """Say how far the current part is; a `total` of 0 means unknown."""
        if self._terminal:
            label = f"[{self._finished + 1}/{self._parts}] {name}"
            self._bar.update(self._task, description=label, completed=done, total=total or None)
        elif time.monotonic() - self._said > _PLAIN_EVERY_S:
            self._said = time.monotonic()
            share = f" of {total:.0f} s" if total else " s"
            typer.echo(f"[{self._finished + 1}/{self._parts}] {name}: {done:.0f}{share}", err=True)

    def line(self, text: str) -> None:
        """Print a line that stays, and count a part as finished."""
        self._finished += 1
        if self._terminal:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            typer.echo(text, err=True)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
