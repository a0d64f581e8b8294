"""Progress of a TensorRT build: bars on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from hoiclip.closing import Closing

if TYPE_CHECKING:
    from engines.tensorrt_progress import BuildPhase

_PLAIN_EVERY_S = 10.0


class BuildProgress(Closing):
    """Progress of a TensorRT build, to be given as its `on_phase`; called from any thread, one call at a time.

    On a terminal each running phase is a bar. Elsewhere each outermost phase is a line as it ends, and a phase that
    takes long is one every ten seconds.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._said: dict[str, float] = {}

    def __call__(self, phase: BuildPhase) -> bool:
        """Show a phase; the build goes on."""
        if self._console.is_terminal:
            self._bar(phase)
        else:
            self._lines(phase)
        return True

    def _bar(self, phase: BuildPhase) -> None:
        if phase.over:
            self._bars.remove_task(self._tasks.pop(phase.name))
        elif phase.name in self._tasks:
            self._bars.update(self._tasks[phase.name], completed=phase.done)
        else:
            self._tasks[phase.name] = self._bars.add_task("  " * phase.depth + phase.name, total=phase.steps)

    def _lines(self, phase: BuildPhase) -> None:
        said = self._said.setdefault(phase.name, phase.began_s)
        if phase.over:
            del self._said[phase.name]
            if phase.depth == 0:
                self._line(f"building: {phase.name} took {phase.seconds:.1f} s")
        elif time.monotonic() - said > _PLAIN_EVERY_S:
            self._said[phase.name] = time.monotonic()
            self._line(f"building: {phase.name}, step {phase.done} of {phase.steps}")

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self._bars.start()
        return super().__enter__()

    def close(self) -> None:
        """Leave the bars as they are."""
        self._bars.stop()
