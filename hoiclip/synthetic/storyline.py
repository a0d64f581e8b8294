"""What one person does over time: cross the frame, stand, or (see `visit`) come, use a thing and leave."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from hoiclip.synthetic.acts import Act, Stage, draw_alone, perform, walk_by
from hoiclip.synthetic.brush import Brush, Colour, Extent
from hoiclip.synthetic.person import Look, Person, standing_hip, walking

STRIDE = 0.85  # way of one walking cycle, in body heights
SPEEDS: dict[str, float] = {
    "ride bicycle": 0.85, "ride motorcycle": 1.0, "ride skateboard": 0.75, "push bicycle": 0.42, "walk dog": 0.45,
    "hold umbrella": 0.42, "carry chair": 0.42, "carry suitcase": 0.45, "carry book": 0.45, "drag suitcase": 0.45,
    "hold sports_ball": 0.5, "hold skateboard": 0.5, "push motorcycle": 0.38, "carry skateboard": 0.45,
    "carry dog": 0.42,
}  # fmt: skip
"""Acts shown by crossing the frame, with their speed in body heights a second."""
WALK_SPEED = 0.6
_CYCLES: dict[str, float] = {"ride bicycle": 0.57, "ride skateboard": 2.5, "ride motorcycle": 9.0}  # way of one phase


class Shown(NamedTuple):
    """Somebody or something drawn in a frame."""

    number: int  # stable over the clip
    kind: str  # "person" or the object's name
    extent: Extent


class Doing(NamedTuple):
    """An interaction going on in a frame."""

    human: int
    thing: int
    name: str


class Storyline(Protocol):
    """A part of a clip that draws itself at any time."""

    ground: float

    def draw(self, brush: Brush, t_s: float) -> tuple[list[Shown], list[Doing]]:
        """Draw the state at `t_s` seconds and say who is there and what goes on."""
        ...


@dataclass(frozen=True)
class Cast:
    """Who a storyline is about."""

    human: int
    thing: int
    look: Look
    paint: Colour
    ground: float
    facing: int


def smooth(t_s: float, start_s: float, length_s: float) -> float:
    """Return a ramp from 0 to 1 with soft ends."""
    a = min(1.0, max(0.0, (t_s - start_s) / length_s))
    return a * a * (3 - 2 * a)


class Crossing:
    """Go from one side to the other while doing one thing (or nothing: `name` is None)."""

    def __init__(self, cast: Cast, name: str | None, *, world_width: float, enters_s: float, speed: float) -> None:
        self.cast, self.name, self.ground = cast, name, cast.ground
        self.enters_s, self._speed = enters_s, speed * cast.look.height
        margin = 0.7 * cast.look.height
        self._from = -margin if cast.facing > 0 else world_width + margin
        self.length_s = (world_width + 2 * margin) / self._speed

    def draw(self, brush: Brush, t_s: float) -> tuple[list[Shown], list[Doing]]:
        """Draw the state at `t_s`."""
        since = t_s - self.enters_s
        if not 0 <= since <= self.length_s:
            return [], []
        c, way = self.cast, since * self._speed
        cycle = _CYCLES.get(self.name or "", STRIDE) * c.look.height
        stage = Stage(c.look, self._from + c.facing * way, c.ground, c.facing, way / cycle, c.paint)
        if self.name is None:
            person = walk_by(stage)
            person.draw_far(brush)
            person.draw_near(brush)
            return [Shown(c.human, "person", person.extent)], []
        act = perform(self.name, stage)
        if self.name in ("hold sports_ball", "hold skateboard"):  # the act stands; give it legs
            act = _with_legs(act, self.name, stage)
        act.draw(brush)
        return shown(c, act, self.name), [Doing(c.human, c.thing, self.name)]


def _with_legs(act: Act, name: str, stage: Stage) -> Act:
    steps = walking(stage.phase)
    pose = replace(
        act.person.pose,
        near_thigh=steps.near_thigh, near_knee=steps.near_knee, far_thigh=steps.far_thigh, far_knee=steps.far_knee,
    )  # fmt: skip
    hip = standing_hip(stage.look, pose, stage.x, stage.ground)
    rise = hip[1] - act.person.joints.hip[1]
    below = perform(name, replace(stage, ground=stage.ground + rise))
    return Act(Person(stage.look, pose, hip, stage.facing), below.draw_object, act.order, Extent())


def shown(cast: Cast, act: Act, name: str) -> list[Shown]:
    """Return both parts of an act that was drawn."""
    return [Shown(cast.human, "person", act.person.extent), Shown(cast.thing, name.split(" ")[1], act.object_extent)]


class Unused:
    """A thing that nobody touches."""

    def __init__(self, cast: Cast, thing: str, x: float) -> None:
        self.cast, self.thing, self.x, self.ground = cast, thing, x, cast.ground

    def draw(self, brush: Brush, t_s: float) -> tuple[list[Shown], list[Doing]]:
        """Draw it, the same at any time."""
        c = self.cast
        extent = draw_alone(brush, self.thing, self.x, c.ground, c.look.height, c.facing, c.paint)
        return [Shown(c.thing, self.thing, extent)], []
