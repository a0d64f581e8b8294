"""Charts of event measures as PNG: the trade-off of misses against false alarms, and scores over time."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hoiclip.evaluation.trade_off import OperatingPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Span = tuple[float, float]  # start and end in seconds
TRUE_COLOUR, TOLD_COLOUR, OTHER_COLOUR = "#1a7f37", "#c4380d", "#e3b08f"


def det_chart(curves: Mapping[str, Sequence[OperatingPoint]]) -> bytes:
    """Return a DET curve: misses against false alarms a camera-hour, both logarithmic; one line a name.

    A point without a false alarm lies at the left edge, one without a miss at the lower edge.

    Source: Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997.
    """
    figure, axes = _figure(6.4, 4.2)
    hours = max((point.hours for points in curves.values() for point in points), default=0.0) or 1.0
    lowest_x, lowest_y = 0.5 / hours, 0.01
    for (name, points), style in zip(curves.items(), ("-o", "-s", "-^", "-d") * len(curves), strict=False):
        x = [max(point.false_per_hour, lowest_x) for point in points]
        y = [max(1.0 - point.recall, lowest_y) for point in points]
        axes.plot(x, y, style, markersize=3.5, linewidth=1.2, label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(left=lowest_x * 0.9)
    axes.set_ylim(lowest_y * 0.9, 1.1)
    ticks = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
    axes.set_yticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.set_xlabel(f"false alarms a camera-hour (left edge: none in {hours:.2g} h)")
    axes.set_ylabel("missed")
    axes.grid(alpha=0.3)
    if len(curves) > 1:
        axes.legend(fontsize=8)
    return _png(figure)


@dataclass(frozen=True)
class ScoreLine:
    """Scores of one interaction of one person over time."""

    name: str
    times_s: Sequence[float]
    scores: Sequence[float]  # smoothed, as the tracker sees them
    raw: Sequence[float] = ()  # of each frame alone, at the same times
    true: Sequence[Span] = ()
    told: Sequence[Span] = ()
    told_besides: Sequence[Span] = ()  # other events of that name
    thresholds: tuple[float, float] | None = None  # enter, leave


@dataclass(frozen=True)
class Moment:
    """The time that a picture beside a chart shows."""

    t_s: float
    lines: Sequence[ScoreLine] = field(default=())


def score_chart(moment: Moment) -> bytes:
    """Return a chart of scores over time, a panel a line, with what was true and what was told as bars above."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    count = max(len(moment.lines), 1)
    figure, grid = plt.subplots(count, 1, figsize=(6.0, 0.5 + 1.65 * count), dpi=100, sharex=True, squeeze=False)
    for axes, line in zip(grid[:, 0], moment.lines, strict=False):
        _draw_line(axes, line)
        axes.axvline(moment.t_s, color="0.3", linewidth=0.8, linestyle=":")
    grid[-1, 0].set_xlabel("media time (s)")
    return _png(figure)


def _draw_line(axes: Axes, line: ScoreLine) -> None:
    if line.raw:
        axes.plot(line.times_s, line.raw, ".", color="0.65", markersize=3, label="frame")
    axes.plot(
        line.times_s, line.scores, "-", color="#0969da", linewidth=1.3, marker="" if line.raw else "o", label="smoothed"
    )
    for start, end in line.true:
        axes.broken_barh([(start, end - start)], (1.06, 0.1), color=TRUE_COLOUR)
    for start, end in line.told_besides:
        axes.broken_barh([(start, end - start)], (1.2, 0.1), color=OTHER_COLOUR)
    for start, end in line.told:
        axes.broken_barh([(start, end - start)], (1.22, 0.06), color=TOLD_COLOUR)
    if line.thresholds:
        for value, style in zip(line.thresholds, ("--", ":"), strict=True):
            axes.axhline(value, color="0.5", linewidth=0.8, linestyle=style)
    axes.set_ylim(0, 1.34)
    axes.set_yticks([0, 0.5, 1.0, 1.11, 1.25], ["0", "0.5", "1", "true", "told"], fontsize=7)
    axes.tick_params(axis="x", labelsize=7)
    axes.set_title(line.name, loc="left", fontsize=9)
    axes.grid(alpha=0.25)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(width, height), dpi=110)
    return figure, axes


def _png(figure: Any) -> bytes:
    import matplotlib.pyplot as plt

    figure.tight_layout()
    packed = io.BytesIO()
    figure.savefig(packed, format="png", metadata={"Software": None})
    plt.close(figure)
    return packed.getvalue()
