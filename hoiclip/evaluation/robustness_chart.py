"""Robustness curves as PNG: a small chart for each corruption, by strength."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

COLUMNS = 4


def robustness_chart(result: Mapping[str, Any], measure: str, words: str) -> bytes:
    """Return the curves of one measure.

    Args:
        result: what `stream.recordings.robustness.measure_robustness` gave: `clean`, and `corruptions` by name and
            strength.
        measure: the key of the measure in each row, such as `f1`; a band is drawn where rows have `<measure>_interval`.
        words: what to call it.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(result["corruptions"])
    rows = -(-len(names) // COLUMNS)
    figure, grid = plt.subplots(
        max(rows, 1),
        COLUMNS,
        figsize=(10.5, 0.6 + 2.0 * max(rows, 1)),
        dpi=100,
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for axes, name in zip(grid.flat, names, strict=False):
        curve = [("0", result["clean"]), *result["corruptions"][name].items()]
        x = [int(strength) for strength, _ in curve]
        values = [each[measure] for _, each in curve]
        known = [(at, value) for at, value in zip(x, values, strict=True) if value is not None]
        axes.plot([at for at, _ in known], [value for _, value in known], "-o", markersize=4, color="#0969da")
        bounds = [each.get(f"{measure}_interval") for _, each in curve]
        if all(bounds):
            axes.fill_between(x, [low for low, _ in bounds], [high for _, high in bounds], alpha=0.18, color="#0969da")
        axes.set_title(name.replace("_", " "), fontsize=9, loc="left")
        axes.set_ylim(0, 1.03)
        axes.set_xticks([0, 1, 2, 3])
        axes.grid(alpha=0.3)
    for axes in list(grid.flat)[len(names) :]:
        axes.set_visible(False)
    figure.supylabel(words, fontsize=9)
    figure.supxlabel("strength (0: untouched)", fontsize=9)
    figure.tight_layout()
    packed = io.BytesIO()
    figure.savefig(packed, format="png", metadata={"Software": None})
    plt.close(figure)
    return packed.getvalue()
