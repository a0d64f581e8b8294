"""A TensorRT build is shown as bars in a terminal and as lines elsewhere."""

from __future__ import annotations

import io
import time

from rich.console import Console

from engines.tensorrt_progress import BuildPhase
from stream.commands.support.build_progress import BuildProgress


def phases() -> list[BuildPhase]:
    began = time.monotonic()
    return [
        BuildPhase("build", 0, 0, 2, began),
        BuildPhase("tactics", 1, 0, 4, began),
        BuildPhase("tactics", 1, 2, 4, began - 60),
        BuildPhase("tactics", 1, 2, 4, began, over=True),
        BuildPhase("build", 0, 2, 2, began - 65, over=True),
    ]


def test_outside_a_terminal_the_outermost_phase_is_a_line_as_it_ends() -> None:
    shown = io.StringIO()
    with BuildProgress(Console(file=shown)) as progress:
        assert all(progress(phase) for phase in phases())
    assert shown.getvalue() == "building: build took 65.0 s\n"


def test_outside_a_terminal_a_long_phase_says_how_far_it_is() -> None:
    shown = io.StringIO()
    with BuildProgress(Console(file=shown)) as progress:
        progress(BuildPhase("tactics", 1, 1, 4, time.monotonic() - 11))
        progress(BuildPhase("tactics", 1, 2, 4, time.monotonic() - 12))
    assert shown.getvalue() == "building: tactics, step 1 of 4\n"


def test_phases_are_bars_in_a_terminal() -> None:
    shown = io.StringIO()
    with BuildProgress(Console(file=shown, force_terminal=True, width=80)) as progress:
        for phase in phases()[:3]:
            progress(phase)
    assert "tactics" in shown.getvalue() and "50%" in shown.getvalue()
