"""A video of two people who stay where they are, and events about them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hoiclip.evaluation.event_types import PredictedEvent, Sighting, TrueInteraction, TrueVideo

BOXES = {
    "left": (0.0, 0.0, 60.0, 160.0),
    "right": (300.0, 0.0, 360.0, 160.0),
    "empty": (150.0, 0.0, 200.0, 100.0),
}
CUP, BICYCLE = (50.0, 60.0, 70.0, 80.0), (290.0, 60.0, 390.0, 170.0)
TIMES = np.arange(100) / 5
THINGS = {11: "cup", 12: "bicycle"}


@pytest.fixture
def make_video() -> Callable[..., TrueVideo]:
    """Return a function of (name, human, start, end) that makes 20 s of human 1 at the left and 2 at the right.

    The left one is beside the cup (11), the right one beside the bicycle (12).
    """

    def make(*interactions) -> TrueVideo:
        true = []
        for name, human, start, end in interactions:
            number = next((n for n, thing in THINGS.items() if name.endswith(thing)), 0)
            true.append(TrueInteraction(name, human, start, end, number, THINGS.get(number, "")))
        frames = [{1: BOXES["left"], 2: BOXES["right"]} for _ in TIMES]
        return TrueVideo(tuple(true), TIMES, frames, [{11: CUP, 12: BICYCLE} for _ in TIMES], THINGS, 20.0)

    return make


@pytest.fixture
def make_event() -> Callable[..., PredictedEvent]:
    """Return a function that makes an event with a line a second."""

    def make(name, start, end, *, human=7, side="left", late=0.0, peak=0.9, pair=1) -> PredictedEvent:
        thing = next((thing for thing in THINGS.values() if name.endswith(thing)), "")
        box = CUP if thing == "cup" else BICYCLE
        times = np.arange(start + late, end, 1.0).tolist()
        lines = tuple(Sighting(t, BOXES[side], box, min(peak, 0.5 + 0.1 * n)) for n, t in enumerate(times))
        return PredictedEvent(name, human, start, end, start + late, end + late, lines, pair, thing, peak)

    return make
