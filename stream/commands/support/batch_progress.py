"""How far a batch job is: bars on a terminal and in a notebook, plain lines elsewhere; on stderr."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from stream.commands.support.job_meter import Bar, JobMeter
from stream.recordings.job_types import Progress as Step
from stream.recordings.job_types import VideoResult
from stream.recordings.media import Video

_PLAIN_EVERY_S = 10.0
_SHOWN_EVERY_S = 0.2
_NOTEBOOK_WIDTH = 40


class BatchProgress:
    """A bar for each video under way and one for all of them; a line for each one that is over. A context manager.

    Its methods are called one at a time, from any thread.
    """

    def __init__(self, videos: Sequence[Video]) -> None:
        self._meter = JobMeter(videos)
        self._view = _view()
        self._shown_s = float("-inf")

    def progress(self, step: Step) -> None:
        """Show how far a video is."""
        self._meter.note(step)
        now_s = time.monotonic()
        if now_s - self._shown_s >= _SHOWN_EVERY_S:
            self._shown_s = now_s
            self._view.show(self._meter.bars(), self._meter.whole())

    def done(self, result: VideoResult) -> None:
        """Say how a video ended."""
        self._meter.over(result)
        rate = f", {result.frames / result.seconds:.1f} frames/s" if result.seconds and result.state == "done" else ""
        text = result.detail or f"{result.frames} frames, {result.events} events{rate}"
        if result.unlike_training is not None:
            text = f"{text}; {result.unlike_training}"
        failed = result.state == "failed"  # its text names the file
        self._view.line(f"failed: {text}" if failed else f"{result.state}: {result.video.path.name}: {text}")
        self._view.show(self._meter.bars(), self._meter.whole())

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

    def show(self, bars: Sequence[Bar], whole: Bar) -> None: ...

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
    """Bars that move: all videos first, then each that is under way."""

    def __init__(self) -> None:
        columns = TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn()
        self._bars = Progress(*columns, TextColumn("{task.fields[note]}", markup=False), console=Console(stderr=True))
        self._whole = self._bars.add_task("", total=None, note="")
        self._tasks: list[TaskID] = []

    def start(self) -> None:
        self._bars.start()

    def show(self, bars: Sequence[Bar], whole: Bar) -> None:
        while len(self._tasks) < len(bars):
            self._tasks.append(self._bars.add_task("", total=None, note=""))
        while len(self._tasks) > len(bars):
            self._bars.remove_task(self._tasks.pop())
        for task, bar in zip([self._whole, *self._tasks], [whole, *bars], strict=True):
            total = None if bar.part is None else 1.0
            self._bars.update(task, description=bar.label, completed=bar.part or 0.0, total=total, note=bar.note)

    def line(self, text: str) -> None:
        self._bars.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def stop(self) -> None:
        self._bars.stop()


class _Notebook:
    """Bars under the cell, by the kernel's own means: widgets are not needed."""

    def __init__(self) -> None:
        self._kernel: Any = importlib.import_module("IPython.display")
        self._shown: Any = None  # a handle whose text is replaced
        self._lines: list[str] = []
        self._bars: list[str] = []

    def start(self) -> None:
        self._shown = self._kernel.display(self._kernel.Pretty(" "), display_id=True)

    def show(self, bars: Sequence[Bar], whole: Bar) -> None:
        self._bars = [self._drawn(bar) for bar in (whole, *bars)]
        self._draw()

    @staticmethod
    def _drawn(bar: Bar) -> str:
        filled = round(_NOTEBOOK_WIDTH * (bar.part or 0.0))
        share = f"{bar.part:4.0%}" if bar.part is not None else ""
        return f"{bar.label} {'━' * filled}{'╌' * (_NOTEBOOK_WIDTH - filled)} {share} {bar.note}".rstrip()

    def line(self, text: str) -> None:
        self._lines.append(text)
        self._draw()

    def stop(self) -> None:
        self._bars.clear()
        self._draw()

    def _draw(self) -> None:
        self._shown.update(self._kernel.Pretty("\n".join([*self._lines, *self._bars])))


class _Lines:
    """A line now and then, for logs."""

    def __init__(self) -> None:
        self._printed_s = time.monotonic()

    def start(self) -> None:
        """Nothing to prepare."""

    def show(self, bars: Sequence[Bar], whole: Bar) -> None:
        if time.monotonic() - self._printed_s > _PLAIN_EVERY_S:
            self._printed_s = time.monotonic()
            parts = ", ".join(bar.label if bar.part is None else f"{bar.label} {bar.part:.0%}" for bar in bars)
            numbers = ", ".join(filter(None, [f"{whole.part or 0.0:.0%}", whole.note]))
            self.line(f"{whole.label}, {numbers}{f'; {parts}' if parts else ''}")

    def line(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def stop(self) -> None:
        """Nothing to take down."""
