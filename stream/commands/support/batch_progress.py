"""How far a batch job is: a bar on a terminal and in a notebook, plain lines elsewhere; on stderr."""

from __future__ import annotations

import importlib
import sys
import time
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from stream.recordings.batch_job import Progress as Step
from stream.recordings.batch_job import VideoResult

_PLAIN_EVERY_S = 10.0
_NOTEBOOK_EVERY_S = 0.2
_NOTEBOOK_WIDTH = 40


class BatchProgress:
    """A bar for the video at hand, and a line for each one that is done. A context manager."""

    def __init__(self, videos: int) -> None:
        self._videos, self._done = videos, 0
        self._view = _view()

    def progress(self, step: Step) -> None:
        """Show how far a video is."""
        label = f"[{self._done + 1}/{self._videos}] {step.video.path.name}"
        if step.stage == "reading":
            self._view.update(f"{label}: reading", step.done / 2**20, step.total / 2**20, "MiB")
        else:
            self._view.update(f"{label}: drawing" if step.stage == "drawing" else label, step.done, step.total, "s")

    def done(self, result: VideoResult) -> None:
        """Say how a video ended."""
        self._done += 1
        rate = f", {result.frames / result.seconds:.1f} frames/s" if result.seconds and result.state == "done" else ""
        text = result.detail or f"{result.frames} frames, {result.events} events{rate}"
        failed = result.state == "failed"  # its text names the file
        self._view.line(f"failed: {text}" if failed else f"{result.state}: {result.video.path.name}: {text}")

    def __enter__(self) -> Self:
        self._view.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._view.stop()


class _View(Protocol):
    """A way to show how far the work is."""

    def start(self) -> None: ...

    def update(self, label: str, done: float, total: float, unit: str) -> None: ...

    def line(self, text: str) -> None: ...

    def stop(self) -> None: ...


def _view() -> _View:
    if _in_notebook():
        return _Notebook()
    return _Terminal() if sys.stderr.isatty() else _Lines()


def _in_notebook() -> bool:
    """Whether this is a kernel that can display; IPython is there already if so."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and "ipykernel" in sys.modules and shell.__class__.__name__ == "ZMQInteractiveShell"


class _Terminal:
    """A bar that moves."""

    def __init__(self) -> None:
        columns = TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn()
        self._bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
        self._task = self._bar.add_task("", total=None)

    def start(self) -> None:
        self._bar.start()

    def update(self, label: str, done: float, total: float, unit: str) -> None:
        self._bar.update(self._task, description=label, completed=done, total=total or None)

    def line(self, text: str) -> None:
        self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def stop(self) -> None:
        self._bar.stop()


class _Notebook:
    """A bar under the cell, by the kernel's own means: widgets are not needed."""

    def __init__(self) -> None:
        self._kernel: Any = importlib.import_module("IPython.display")
        self._shown: Any = None  # a handle whose text is replaced
        self._lines: list[str] = []
        self._bar = ""
        self._drawn_s = 0.0

    def start(self) -> None:
        self._shown = self._kernel.display(self._kernel.Pretty(" "), display_id=True)

    def update(self, label: str, done: float, total: float, unit: str) -> None:
        filled = round(_NOTEBOOK_WIDTH * min(done / total, 1.0)) if total else 0
        share = f"{done / total:4.0%}" if total else f"{done:.0f} {unit}"
        self._bar = f"{label} {'━' * filled}{'╌' * (_NOTEBOOK_WIDTH - filled)} {share}"
        if time.monotonic() - self._drawn_s > _NOTEBOOK_EVERY_S:
            self._draw()

    def line(self, text: str) -> None:
        self._lines.append(text)
        self._bar = ""
        self._draw()

    def stop(self) -> None:
        self._draw()

    def _draw(self) -> None:
        self._drawn_s = time.monotonic()
        self._shown.update(self._kernel.Pretty("\n".join([*self._lines, *filter(None, [self._bar])])))


class _Lines:
    """A line now and then, for logs."""

    def __init__(self) -> None:
        self._printed_s = time.monotonic()

    def start(self) -> None:
        """Nothing to prepare."""

    def update(self, label: str, done: float, total: float, unit: str) -> None:
        if time.monotonic() - self._printed_s > _PLAIN_EVERY_S:
            self._printed_s = time.monotonic()
            self.line(f"{label}: {done:.0f}{f' of {total:.0f}' if total else ''} {unit}")

    def line(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def stop(self) -> None:
        """Nothing to take down."""
