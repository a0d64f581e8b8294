"""The demonstration clip: a park where people sit, ride, drink, walk a dog, drag a case and kick a ball.

``python -m hoiclip.synthetic.demo`` writes ``assets/demo.mp4`` and its ground truth ``assets/demo.json``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hoiclip.synthetic.clip import Casting, Clip, Lens
from hoiclip.synthetic.storyline import WALK_SPEED, Crossing, Storyline
from hoiclip.synthetic.visit import HandVisit, PropVisit

SEED = 20
SECONDS = 24.0
WIDTH = 448.0  # of the world, in its units


def demo_clip() -> Clip:
    """Return the scripted clip; every interaction is one that training sees."""
    casting = Casting(np.random.default_rng(SEED))

    def cross(name: str | None, height: float, ground: float, facing: int, enters_s: float, speed: float) -> Crossing:
        cast = casting.cast(height, ground, facing)
        return Crossing(cast, name, world_width=WIDTH, enters_s=enters_s, speed=speed)

    sitter = PropVisit(
        casting.cast(150, 236, 1), "sit_on bench", 112, from_x=-50, arrives_s=2.6, durations_s=[8.0], leaves=True
    )
    drinker = HandVisit(
        casting.cast(150, 238, -1), "drink_with cup", 362, from_x=500, arrives_s=6.0, durations_s=[2.0, 3.2, 1.6],
        leaves=True, table=(122, 84, 54),
    )  # fmt: skip
    kicker = PropVisit(
        casting.cast(152, 244, 1), "kick sports_ball", 205, from_x=-50, arrives_s=17.2, durations_s=[4.2], leaves=False
    )
    storylines: list[Storyline] = [
        sitter,
        drinker,
        kicker,
        cross("ride bicycle", 138, 206, -1, -0.4, 0.85),
        cross("walk dog", 132, 204, 1, 7.6, 0.48),
        cross("drag suitcase", 138, 206, -1, 14.6, 0.55),
        cross(None, 128, 202, 1, 19.0, WALK_SPEED),
    ]
    return Clip(SEED, 1.75, 122.0, storylines, Lens(noise=0.08), place=2)


def write_demo(folder: Path) -> Path:
    """Write the clip and its annotation to `folder` and return the clip's path."""
    from hoiclip.synthetic.video import render

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "demo.mp4"
    render(demo_clip(), path, SECONDS, crf=23, preset="slow")
    return path


if __name__ == "__main__":
    print(write_demo(Path(__file__).resolve().parents[2] / "assets"))
