"""Progress of TensorRT's builder: bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

_LINE_EVERY_S = 10.0


class BuildProgress:
    """Shows the phases that TensorRT reports, from any of its threads; `cancel` stops the build at the next step.

    In a terminal each running phase is a bar. Elsewhere each outermost phase is a line as it ends, and a phase that
    takes long is one every ten seconds.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bars: Progress | None = None
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
            self._bars = Progress(*columns, TimeElapsedColumn(), console=self._console, transient=True)
        self._lock = threading.Lock()
        self._phases: dict[str, _Phase] = {}
        self._cancelled = False
        self.completed: list[str] = []  # outermost phases, in the order they ended

    def __enter__(self) -> BuildProgress:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._bars.stop()

    def cancel(self) -> None:
        """Make TensorRT give up the build; `build_plan` then raises."""
        self._cancelled = True

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Begin a phase of `steps` steps inside `parent`, or outermost."""
        with self._lock:
            above = self._phases.get(parent) if parent else None
            phase = _Phase(steps, 0 if above is None else above.depth + 1)
            if self._bars:
                phase.bar = self._bars.add_task("  " * phase.depth + name, total=steps)
            self._phases[name] = phase

    def step(self, name: str, step: int) -> bool:
        """Note that a step, counted from 0, is done; return whether to go on."""
        with self._lock:
            phase = self._phases.get(name)
            if phase is not None:
                if self._bars and phase.bar is not None:
                    self._bars.update(phase.bar, completed=step + 1)
                elif not self._bars and time.monotonic() - phase.shown_s > _LINE_EVERY_S:
                    phase.shown_s = time.monotonic()
                    self._line(f"building: {name}, step {step + 1} of {phase.steps}")
        return not self._cancelled

    def finish(self, name: str) -> None:
        """End a phase, whether or not all its steps were reported."""
        with self._lock:
            phase = self._phases.pop(name, None)
            if phase is None:
                return
            if self._bars and phase.bar is not None:
                self._bars.remove_task(phase.bar)
            if phase.depth == 0:
                self.completed.append(name)
                if not self._bars:
                    self._line(f"building: {name} took {time.monotonic() - phase.began_s:.1f} s")

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def monitor(self, trt: Any) -> Any:
        """Return the IProgressMonitor that reports here; it must outlive the build."""
        progress = self

        class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # its base is known at run time only
            def __init__(self) -> None:
                trt.IProgressMonitor.__init__(self)

            def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
                progress.start(phase_name, parent_phase, num_steps)

            def step_complete(self, phase_name: str, step: int) -> bool:
                return progress.step(phase_name, step)

            def phase_finish(self, phase_name: str) -> None:
                progress.finish(phase_name)

        return Monitor()


class _Phase:
    """One running phase."""

    def __init__(self, steps: int, depth: int) -> None:
        self.steps, self.depth = steps, depth
        self.bar: Any = None
        self.began_s = self.shown_s = time.monotonic()
