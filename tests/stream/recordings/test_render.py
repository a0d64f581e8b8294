from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from hoiclip.types import Canvas
from stream.decode.sources import SourceSettings
from stream.recordings.render import DrawnViews, View, render_annotated
from stream.track.transitions import PairView
from stream.zones.layout import Layout, Line, Zone

HUMAN, THING = (10.0, 10.0, 30.0, 60.0), (40.0, 20.0, 60.0, 50.0)


def view(*, seen: bool, pair_id: int = 1, interactions: tuple[tuple[str, float], ...] = (("hold", 0.8),)) -> PairView:
    return PairView(pair_id, 1, 2, "cup", HUMAN, THING, seen, interactions)


def test_a_pair_that_is_not_seen_any_more_is_dashed_fades_and_is_gone_within_a_second() -> None:
    views: list[View] = [(t / 10, [view(seen=t < 5)]) for t in range(30)]  # last seen at 0.4 s
    drawn = DrawnViews(views)
    shown = {seconds: drawn.at(seconds)[0] for seconds in (0.4, 0.5, 0.9, 1.3, 1.5, 2.5)}
    assert (shown[0.4].opacity, shown[0.4].is_dashed) == (1.0, False)
    assert [shown[s].is_dashed for s in (0.5, 0.9, 1.3)] == [True] * 3
    assert [shown[s].opacity for s in (0.5, 0.9, 1.3)] == pytest.approx([0.9, 0.5, 0.1])
    assert (shown[1.5].opacity, shown[2.5].opacity) == (0.0, 0.0)


def test_a_pair_that_comes_back_is_drawn_in_full_again() -> None:
    drawn = DrawnViews([(0.0, [view(seen=True)]), (0.5, [view(seen=False)]), (1.0, [view(seen=True)])])
    assert [(p.opacity, p.is_dashed) for t in (0.6, 1.1) for p in drawn.at(t)] == [
        (pytest.approx(0.4), True),
        (1.0, False),
    ]


def test_a_view_is_not_drawn_before_its_time_nor_long_after_it_nor_without_an_interaction() -> None:
    drawn = DrawnViews([(1.0, [view(seen=True), view(seen=True, pair_id=2, interactions=())])])
    assert drawn.at(0.9) == []
    assert [pair.colour for pair in drawn.at(1.9)] == [1]
    assert drawn.at(2.1) == []
    assert drawn.at(1.0, scale=2.0)[0].human_box_xyxy == [20.0, 20.0, 60.0, 120.0]


def source(clip: Path) -> SourceSettings:
    return SourceSettings(id="clip", url=str(clip), kind="file", canvases=(Canvas(64, 112),), target_fps=None)


def test_every_frame_is_drawn_at_its_time(make_clip: Callable[..., Path], tmp_path: Path) -> None:
    clip, target, times = make_clip(seconds=1.0, width=320, height=180), tmp_path / "drawn.mp4", []
    views: list[View] = [(t / 25, [view(seen=True)]) for t in range(25)]
    assert render_annotated(source(clip), target, views, progress=times.append)
    with av.open(str(target)) as container:
        seconds = [frame.time for frame in container.decode(video=0)]
    assert seconds == pytest.approx([t / 25 for t in range(25)], abs=0.002)
    assert len(times) == 25
    assert [path.name for path in tmp_path.glob("drawn*")] == ["drawn.mp4"]


def test_drawing_that_is_stopped_leaves_nothing(make_clip: Callable[..., Path], tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    assert not render_annotated(source(make_clip()), tmp_path / "drawn.mp4", [(0.0, [view(seen=True)])], stop)
    assert not list(tmp_path.glob("drawn*"))


def test_zones_lines_and_masks_are_drawn(make_clip: Callable[..., Path], tmp_path: Path) -> None:
    clip = make_clip(seconds=0.4, width=320, height=180)
    layout = Layout(
        (Zone("door", ((0.1, 0.5), (0.4, 0.5), (0.4, 0.9), (0.1, 0.9))),),
        (Line("exit", (0.5, 0.5), (0.95, 0.5)),),
        (((0.6, 0.6), (0.9, 0.6), (0.9, 0.9)),),
    )
    for name, drawn in (("plain", None), ("drawn", layout)):
        assert render_annotated(source(clip), tmp_path / f"{name}.mp4", [], layout=drawn)
    frames = []
    for name in ("plain", "drawn"):
        with av.open(str(tmp_path / f"{name}.mp4")) as container:
            frames.append([frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)][-1])
    change = np.abs(frames[1] - frames[0]).max(axis=2)
    inside_mask, on_zone_edge, on_line, elsewhere = (140, 270), (130, 32), (90, 250), (20, 200)
    assert [int(change[place]) > 20 for place in (inside_mask, on_zone_edge, on_line)] == [True] * 3
    assert change[elsewhere] < 10
