from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib import pyplot
from PIL import Image

from stream.recordings.timeline import Span, draw_timeline

SPANS = [Span("ride bicycle", 1.0, 3.5, "human 1"), Span("hold cup", 2.0, 9.0)]


def test_a_timeline_leaves_the_callers_plots_and_backend_alone(tmp_path: Path) -> None:
    """In a notebook `process` draws timelines, and the cells after it must show their own plots as before."""
    before = matplotlib.get_backend()
    try:
        matplotlib.use("svg")
        mine = pyplot.figure()
        draw_timeline(tmp_path / "t.png", SPANS, title="clip", length_s=10.0, truth=SPANS[:1])
        assert matplotlib.get_backend() == "svg"
        assert pyplot.get_fignums() == [mine.number]
    finally:
        pyplot.close("all")
        matplotlib.use(before)


def test_a_timeline_is_a_picture_with_or_without_spans(tmp_path: Path) -> None:
    draw_timeline(tmp_path / "busy.png", SPANS, title="busy", length_s=10.0)
    draw_timeline(tmp_path / "quiet.png", [], title="quiet", length_s=0.0)
    busy, quiet = (Image.open(tmp_path / f"{name}.png").convert("RGB") for name in ("busy", "quiet"))
    assert busy.size[0] == quiet.size[0] > 500
    assert len(busy.getcolors(1 << 24)) > len(quiet.getcolors(1 << 24)) > 2
