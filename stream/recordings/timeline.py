"""A picture of when each interaction happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Span:
    """One interaction from start to end, in seconds of media time."""

    name: str
    start_s: float
    end_s: float
    who: str = ""  # drawn inside the bar, such as "human 3"


def draw_timeline(
    path: Path, spans: Sequence[Span], *, title: str, length_s: float, truth: Sequence[Span] = ()
) -> None:
    """Write a PNG with one row an interaction: solid bars for `spans`, hatched outlines for `truth` where given."""
    # Not by pyplot: its backend and its figures belong to whoever calls this, such as a notebook.
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    names = sorted(
        {span.name for span in (*spans, *truth)},
        key=lambda n: (min(s.start_s for s in (*spans, *truth) if s.name == n), n),  # a set's own order is random
    )
    colours = colormaps["tab20"]
    figure = Figure(figsize=(11, 1.6 + 0.42 * max(len(names), 1)), dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for row, name in enumerate(names):
        colour = colours(row % 20)
        for span in (s for s in truth if s.name == name):
            width = max(span.end_s - span.start_s, length_s / 400)
            axes.barh(
                row - 0.22,
                width,
                left=span.start_s,
                height=0.28,
                fill=False,
                hatch="////",
                edgecolor="0.45",
                linewidth=0.8,
            )
        for span in (s for s in spans if s.name == name):
            width = max(span.end_s - span.start_s, length_s / 400)
            offset, height = (0.16, 0.42) if truth else (0.0, 0.64)
            axes.barh(
                row + offset, width, left=span.start_s, height=height, color=colour, edgecolor="0.2", linewidth=0.6
            )
            if span.who and width > length_s / 14:
                axes.text(span.start_s + width / 2, row + offset, span.who, ha="center", va="center", fontsize=7)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4 if names else 1, -0.6)
    axes.set_xlim(0, max(length_s, 1e-3))
    axes.set_xlabel("media time (s)")
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    if not names:
        axes.text(0.5, 0.5, "no interactions", transform=axes.transAxes, ha="center", va="center", color="0.4")
    if truth:
        handles = [
            Patch(facecolor="0.7", edgecolor="0.2", label="found"),
            Patch(fill=False, hatch="////", edgecolor="0.45", label="truth"),
        ]
        axes.legend(handles=handles, loc="upper right", fontsize=8)
    figure.tight_layout()
    figure.savefig(path)
