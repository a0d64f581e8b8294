"""Progress of TensorRT's builder: its phases, told to whoever started the build."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildPhase:
    """How far one phase of a build is; phases are nested, and those of one name never overlap."""

    name: str
    depth: int  # 0: outermost
    done: int  # steps
    steps: int
    began_s: float  # monotonic
    over: bool = False

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return time.monotonic() - self.began_s


OnPhase = Callable[[BuildPhase], bool]
"""Gets each phase as it begins, after each step, and as it ends; returns whether to go on. Called from any thread."""


def log_phase(phase: BuildPhase) -> bool:
    """Log each outermost phase as it ends."""
    if phase.over and phase.depth == 0:
        logger.info("building: %s took %.1f s", phase.name, phase.seconds)
    return True


class BuildMonitor:
    """Turns what TensorRT reports, from any of its threads, into phases.

    TensorRT must never see an exception of Python, which would end the process: when `on_phase` raises, Ctrl-C
    included, the build is given up at its next step, and `raise_error` then raises it.
    """

    def __init__(self, on_phase: OnPhase) -> None:
        self._on_phase = on_phase
        self._lock = threading.Lock()
        self._phases: dict[str, BuildPhase] = {}
        self._cancelled = False
        self._error: BaseException | None = None

    def raise_error(self) -> None:
        """Raise what `on_phase` raised during the build, if anything."""
        if self._error is not None:
            raise self._error

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Begin a phase of `steps` steps inside `parent`, or outermost."""
        with self._lock:
            above = self._phases.get(parent) if parent else None
            depth = 0 if above is None else above.depth + 1
            self._report(BuildPhase(name, depth, 0, steps, time.monotonic()))

    def step(self, name: str, step: int) -> bool:
        """Note that a step, counted from 0, is done; return whether to go on."""
        with self._lock:
            if name in self._phases:
                self._report(replace(self._phases[name], done=step + 1))
            return not self._cancelled

    def finish(self, name: str) -> None:
        """End a phase, whether or not all its steps were reported."""
        with self._lock:
            if name in self._phases:
                self._report(replace(self._phases[name], over=True))

    def _report(self, phase: BuildPhase) -> None:
        if phase.over:
            del self._phases[phase.name]
        else:
            self._phases[phase.name] = phase
        try:
            self._cancelled |= not self._on_phase(phase)
        except BaseException as error:
            self._error, self._cancelled = self._error or error, True

    def adapter(self, trt: Any) -> Any:
        """Return the IProgressMonitor that reports here; it must outlive the build."""
        monitor = self

        class Adapter(trt.IProgressMonitor):  # type: ignore[misc]  # its base is known at run time only
            def __init__(self) -> None:
                trt.IProgressMonitor.__init__(self)

            def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
                monitor.start(phase_name, parent_phase, num_steps)

            def step_complete(self, phase_name: str, step: int) -> bool:
                return monitor.step(phase_name, step)

            def phase_finish(self, phase_name: str) -> None:
                monitor.finish(phase_name)

        return Adapter()
