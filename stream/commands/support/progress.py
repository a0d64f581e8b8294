"""Progress of long work: bars on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

_PLAIN_EVERY_S = 10.0


class Counters:
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

    def update(self, name: str, done: int, total: int, note: str = "") -> None:
        """Say that `done` of `total` are done, and a `note` that belongs to it."""
        if self._terminal:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=total, note="")
            self._bars.update(self._tasks[name], completed=done, total=total, note=note)
        elif done >= total or time.monotonic() - self._shown_at >= _PLAIN_EVERY_S:
            self._shown_at = time.monotonic()
            typer.echo(f"{name} {done}/{total} {note}".rstrip(), err=True)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()


class Progress:
    """Progress over `parts` files, each with a length of its own in seconds."""

    def __init__(self, parts: int) -> None:
        self._parts, self._finished = parts, 0
        self._terminal = sys.stderr.isatty()
        self._shown_at = time.monotonic()
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not self._terminal,
        )
        self._task = self._bar.add_task("", total=None)

    def part(self, name: str, done_s: float, total_s: float) -> None:
        """Say how far the current part is; a `total_s` of 0 means unknown."""
        if self._terminal:
            label = f"[{self._finished + 1}/{self._parts}] {name}"
            self._bar.update(self._task, description=label, completed=done_s, total=total_s or None)
        elif time.monotonic() - self._shown_at > _PLAIN_EVERY_S:
            self._shown_at = time.monotonic()
            share = f" of {total_s:.0f} s" if total_s else " s"
            typer.echo(f"[{self._finished + 1}/{self._parts}] {name}: {done_s:.0f}{share}", err=True)

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
