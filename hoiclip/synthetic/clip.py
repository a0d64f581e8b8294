"""Plan a clip from a seed: the place, who comes when, what they do."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from hoiclip.synthetic.acts import ON_TABLES
from hoiclip.synthetic.background import draw_background, noise
from hoiclip.synthetic.brush import Brush
from hoiclip.synthetic.objects import PAINTS
from hoiclip.synthetic.person import Look
from hoiclip.synthetic.scene import WORLD_HEIGHT, Split
from hoiclip.synthetic.storyline import SPEEDS, WALK_SPEED, Cast, Crossing, Doing, Shown, Storyline, Unused
from hoiclip.synthetic.visit import HandVisit, PropVisit
from hoiclip.synthetic.world import OBJECTS, SEEN, UNSEEN

_TABLE = (122, 84, 54)


@dataclass
class Lens:
    """What a fixed camera does to every frame of a clip: light and colour, sharpness, sensor noise."""

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    offset: float = 0.0
    blur: float = 0.0  # sigma in world units; 0 is sharp
    noise: float = 0.0  # standard deviation in units of 16 grey levels

    @classmethod
    def random(cls, rng: np.random.Generator) -> Lens:
        """Draw one."""
        r, g, b = (float(v) for v in rng.uniform(0.78, 1.18) * rng.uniform(0.95, 1.05, 3))
        blur = float(rng.uniform(0.4, 0.9)) if rng.random() < 0.3 else 0.0
        return cls((r, g, b), float(rng.uniform(-12, 12)), blur, float(rng.uniform(0.0, 0.3)))

    def __call__(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the frame [H, W, 3] as this camera gives it."""
        table = np.clip(np.arange(256)[:, None] * np.asarray(self.gain) + self.offset, 0, 255).astype(np.uint8)
        image = np.asarray(cv2.LUT(image, table[:, None, :]), np.uint8)
        if self.blur:
            sigma = self.blur * image.shape[0] / WORLD_HEIGHT
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
        return noise(image, rng, self.noise) if self.noise else image


@dataclass
class Clip:
    """Everything that happens in front of a fixed camera; drawable at any time and size."""

    seed: int
    aspect: float  # width / height
    horizon: float  # world units from the top
    storylines: list[Storyline]
    lens: Lens
    place: int | None = None  # 0 indoors, 1 street, 2 park; None leaves it to the seed
    _background: dict[tuple[int, int], NDArray[np.uint8]] = field(default_factory=dict, repr=False)

    def draw(self, t_s: float, height: int, width: int) -> tuple[NDArray[np.uint8], Brush, list[Shown], list[Doing]]:
        """Return the frame at `t_s` (RGB uint8 [height, width, 3]), its brush, who is there and what goes on."""
        size = (height, width)
        if size not in self._background:
            rng = np.random.default_rng((self.seed, 3))
            self._background[size] = draw_background(
                rng, height, width, WORLD_HEIGHT * self.aspect, self.horizon, place=self.place
            )
        image = self._background[size].copy()
        brush = Brush(image, height / WORLD_HEIGHT)
        brush.track()
        shown: list[Shown] = []
        doing: list[Doing] = []
        for storyline in sorted(self.storylines, key=lambda each: each.ground):  # the farther, the earlier
            there, going_on = storyline.draw(brush, t_s)
            shown += there
            doing += going_on
        frame = self.lens(image, np.random.default_rng((self.seed, 4, round(t_s * 1000))))
        return frame, brush, shown, doing


class Casting:
    """Hands out people and paints, and numbers that are unique in the clip."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self._next = 1

    def cast(self, height: float, ground: float, facing: int) -> Cast:
        """Return a new person with a thing."""
        numbers = self._next, self._next + 1
        self._next += 2
        paint = PAINTS[int(self.rng.integers(len(PAINTS)))]
        return Cast(*numbers, Look.random(self.rng, height), paint, ground, facing)


def is_in_hand(name: str) -> bool:
    """Whether an interaction is shown by taking a small thing from a table."""
    return name.split(" ")[1] in ON_TABLES and name not in SPEEDS


def plan_clip(seed: int, seconds: float, *, aspect: float = 1.75, split: Split = "train") -> Clip:
    """Return a clip of one or two visits and one or two crossings, with people and things that do nothing.

    Unseen interactions appear only with ``split="test"``. Equal arguments give equal clips.
    """
    rng = np.random.default_rng((seed, 2, 1 if split == "test" else 0))
    width = WORLD_HEIGHT * aspect
    casting = Casting(rng)
    horizon = float(rng.uniform(95, 145))
    names = [SEEN[i] for i in rng.permutation(len(SEEN))]
    if split == "test":
        names = [UNSEEN[i] for i in rng.permutation(len(UNSEEN))][:2] + names
    visits = int(rng.integers(1, 3))
    crossings = int(rng.integers(1, 3))
    storylines: list[Storyline] = []
    staying = [name for name in names if name not in SPEEDS][:visits]
    for index, name in enumerate(staying):
        storylines.append(_visit(rng, casting, name, index, visits, seconds, width))
    passing = [name for name in names if name in SPEEDS][:crossings]
    begin = float(rng.uniform(-2.0, 0.3 * seconds))
    for name in passing:
        storylines.append(_crossing(casting, name, min(begin, seconds - 5.5), horizon, width))
        begin += float(rng.uniform(2.5, 6.0))
    if rng.random() < 0.35:
        storylines.append(_crossing(casting, None, float(rng.uniform(-3, max(seconds - 4, -2))), horizon, width))
    for _ in range(int(rng.choice([0, 1, 2], p=[0.4, 0.4, 0.2]))):
        cast = casting.cast(float(rng.uniform(116, 150)), max(horizon + 52, 194.0), _facing(rng))
        thing = OBJECTS[int(rng.integers(len(OBJECTS)))]
        storylines.append(Unused(cast, thing, float(rng.uniform(0.05, 0.95) * width)))
    return Clip(seed, aspect, horizon, storylines, Lens.random(rng))


def _facing(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1


def _visit(
    rng: np.random.Generator, casting: Casting, name: str, index: int, visits: int, seconds: float, width: float
) -> Storyline:
    if visits == 1:
        height, x, facing = float(rng.uniform(130, 195)), float(rng.uniform(0.35, 0.65)) * width, _facing(rng)
    else:  # one on each side, looking inwards
        height, facing = float(rng.uniform(118, 148)), (1, -1)[index]
        x = float(rng.uniform(0.2, 0.28)) * width
        x = x if facing > 0 else width - x
    cast = casting.cast(height, float(rng.uniform(226, 246)), facing)
    from_x = -0.3 * height if x < width / 2 else width + 0.3 * height
    arrives = float(rng.uniform(0.5, 3.0)) + index * float(rng.uniform(0.5, max(0.6, 0.25 * seconds)))
    if rng.random() < 0.2:
        arrives = -0.2  # there from the first frame
    leaves = bool(rng.random() < 0.75)
    if is_in_hand(name):
        stays = [float(v) for v in rng.uniform(1.7, 3.2, 3)]
        if name.split(" ")[0] in ("hold", "read"):
            stays[0] += 1.5
        return HandVisit(
            cast, name, x, from_x=from_x, arrives_s=arrives, durations_s=stays, leaves=leaves, table=_TABLE
        )
    stays = [float(rng.uniform(3.0, 5.5))]
    return PropVisit(cast, name, x, from_x=from_x, arrives_s=arrives, durations_s=stays, leaves=leaves)


def _crossing(casting: Casting, name: str | None, enters_s: float, horizon: float, width: float) -> Storyline:
    rng = casting.rng
    near = rng.random() < 0.3
    ground = float(rng.uniform(247, 252)) if near else float(rng.uniform(max(horizon + 56, 198), 222))
    height = float(rng.uniform(150, 185)) if near else float(rng.uniform(118, 150))
    cast = casting.cast(height, ground, _facing(rng))
    speed = (SPEEDS[name] if name else WALK_SPEED) * float(rng.uniform(0.85, 1.15))
    return Crossing(cast, name, world_width=width, enters_s=enters_s, speed=speed)
