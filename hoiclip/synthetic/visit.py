"""Visits: somebody walks in, does something with what is there, and walks out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from hoiclip.synthetic import objects as things
from hoiclip.synthetic.acts import TABLE_HEIGHT, Act, Stage, blend, draw_table, perform, stand
from hoiclip.synthetic.brush import Brush, Colour, Extent, Point
from hoiclip.synthetic.person import Person, Pose, reach, standing_hip, walking
from hoiclip.synthetic.storyline import STRIDE, WALK_SPEED, Cast, Doing, Shown, shown, smooth


class Key(NamedTuple):
    """A state of body and hands that a visit passes through."""

    pose: Pose
    hip: Point
    grip: tuple[float, float, float]  # the thing's middle from the hand, forward and down in body heights; its tilt


class Visit:
    """Walk in, stop, do something with what is there, and walk out where one came from: the common part.

    Subclasses give the states and what they mean; `path` lists (from when on, which state), each reached by a ramp.
    """

    RAMP_S = 0.45

    def __init__(
        self, cast: Cast, x: float, *, from_x: float, arrives_s: float, durations_s: Sequence[float], leaves: bool
    ) -> None:
        self.cast, self.x, self.ground, self.arrives_s = cast, x, cast.ground, arrives_s
        self._from, self._leaves = from_x, leaves
        self._durations = durations_s
        self.path: list[tuple[float, str]] = self._plan(arrives_s + 0.3)
        self.done_s = self.path[-1][0] + self.RAMP_S + 0.3

    def _plan(self, start_s: float) -> list[tuple[float, str]]:
        raise NotImplementedError

    def _key(self, state: str, t_s: float) -> Key:
        raise NotImplementedError

    def _stage(self, t_s: float, amount: float = 1.0) -> Stage:
        c = self.cast
        return Stage(c.look, self.x, c.ground, c.facing, 0.4 * t_s, c.paint, amount)

    def _standing(self, t_s: float) -> Key:
        person = stand(self._stage(t_s))
        return Key(person.pose, person.joints.hip, (0.0, 0.0, 0.0))

    def _between(self, t_s: float) -> Key:
        """Return the interpolated state of the body."""
        index = max((i for i, (start, _) in enumerate(self.path) if start <= t_s), default=0)
        start, state = self.path[index]
        new, a = self._key(state, t_s), smooth(t_s, start, self.RAMP_S)
        if index == 0 or a >= 1.0:
            return new
        old = self._key(self.path[index - 1][1], t_s)
        hip = tuple(p * (1 - a) + q * a for p, q in zip(old.hip, new.hip, strict=True))
        grip = tuple(p * (1 - a) + q * a for p, q in zip(old.grip, new.grip, strict=True))
        return Key(blend(old.pose, new.pose, a), (hip[0], hip[1]), (grip[0], grip[1], grip[2]))

    def _during(self, states: frozenset[str], t_s: float) -> bool:
        """Whether the body is nearer to one of `states` than to the one before or after."""
        half = t_s - self.RAMP_S / 2
        index = max((i for i, (start, _) in enumerate(self.path) if start <= half), default=-1)
        return index >= 0 and self.path[index][1] in states

    def _walker(self, t_s: float) -> Person | None:
        """Return the person on the way in or out, or None while at the place; outside the frame they still walk."""
        h = self.cast.look.height
        if t_s < self.arrives_s:
            way = (self.arrives_s - t_s) * WALK_SPEED * h
            toward = 1 if self.x > self._from else -1
            return self._walking(self.x - toward * way, toward, -way)
        if self._leaves and t_s > self.done_s:
            way = (t_s - self.done_s) * WALK_SPEED * h
            away = 1 if self.x < self._from else -1
            return self._walking(self.x + away * way, away, way)
        return None

    def _walking(self, x: float, facing: int, way: float) -> Person:
        c = self.cast
        phase = way / (STRIDE * c.look.height)
        swing = 26.0 * min(1.0, abs(way) / (0.2 * c.look.height))  # the first and last step are small
        pose = walking(phase, swing)
        return Person(c.look, pose, standing_hip(c.look, pose, x, c.ground), facing)

    def _person(self, t_s: float) -> tuple[Person, Key]:
        key = self._between(t_s)
        walker = self._walker(t_s)
        return walker or Person(self.cast.look, key.pose, key.hip, self.cast.facing), key


_HALF_HEIGHT = {"bottle": 0.12, "cup": 0.08, "cell_phone": 0.1, "book": 0.1}
_HOLD_LIFT = {"bottle": 0.02, "cup": 0.0, "cell_phone": 0.05, "book": 0.05}
_USE_GRIP: dict[str, tuple[float, float, float]] = {
    "drink_with bottle": (0.0, -0.03, -108.0), "drink_with cup": (0.0, -0.03, -52.0),
    "read book": (0.03, -0.05, 0.0),
    "talk_on cell_phone": (-0.01, -0.035, 18.0), "read cell_phone": (0.03, -0.05, 24.0),
}  # fmt: skip
_DRAW = {"bottle": things.bottle, "cup": things.cup, "cell_phone": things.cell_phone, "book": things.book}


class HandVisit(Visit):
    """Take a small thing from a table, hold or use it, put it back."""

    def __init__(
        self, cast: Cast, name: str, x: float, *, from_x: float, arrives_s: float, durations_s: Sequence[float],
        leaves: bool, table: Colour,
    ) -> None:  # fmt: skip
        self.name = name
        self.verb, self.thing = name.split(" ")
        self._table = table
        h = cast.look.height
        self._at = (x + cast.facing * 0.22 * h, cast.ground - (TABLE_HEIGHT + _HALF_HEIGHT[self.thing]) * h)
        super().__init__(cast, x, from_x=from_x, arrives_s=arrives_s, durations_s=durations_s, leaves=leaves)
        grips = [start + self.RAMP_S for start, state in self.path if state == "reach"]
        self._taken_s, self._back_s = grips[0], grips[1]

    def _plan(self, start_s: float) -> list[tuple[float, str]]:
        if self.verb == "read":
            states = ["stand", "reach", "use", "reach", "stand"]
        elif self.verb == "hold":
            states = ["stand", "reach", "hold", "reach", "stand"]
        else:
            states = ["stand", "reach", "hold", "use", "hold", "reach", "stand"]
        stays = iter(self._durations)
        path, t = [], start_s
        for state in states:
            path.append((t, state))
            t += self.RAMP_S + (next(stays) if state in ("hold", "use") else 0.12)
        return path

    def _key(self, state: str, t_s: float) -> Key:
        if state == "stand":
            return self._standing(t_s)
        h, f = self.cast.look.height, self.cast.facing
        held = (0.02, -_HOLD_LIFT[self.thing], 0.0)
        if state == "reach":
            pose = replace(Pose(), lean=9.0, far_arm=-5.0)
            hip = standing_hip(self.cast.look, pose, self.x, self.cast.ground)
            hand = (self._at[0] - f * held[0] * h, self._at[1] - held[1] * h)
            return Key(reach(self.cast.look, pose, hip, f, hand), hip, held)
        person = perform(self.name if state == "use" else f"hold {self.thing}", self._stage(t_s)).person
        return Key(person.pose, person.joints.hip, _USE_GRIP[self.name] if state == "use" else held)

    def draw(self, brush: Brush, t_s: float) -> tuple[list[Shown], list[Doing]]:
        """Draw the state at `t_s`."""
        c, h, f = self.cast, self.cast.look.height, self.cast.facing
        person, key = self._person(t_s)
        extent = Extent()
        draw_table(brush, self._at[0], c.ground - 2, h, self._table)
        in_hand = self._taken_s <= t_s < self._back_s

        def draw_thing(at: Point, angle: float) -> None:
            brush.extent = extent
            if self.name == "read book" and in_hand:
                things.read_book(brush, at, h, f, c.paint)
            else:
                _DRAW[self.thing](brush, at, h, f, c.paint, angle)
            brush.extent = None

        hand = person.joints.near_hand
        held_at = (hand[0] + f * key.grip[0] * h, hand[1] + key.grip[1] * h)
        in_front = in_hand and self._during(frozenset({"use"}), t_s) and self.verb != "read"
        if not in_hand:
            draw_thing(self._at, 0.0)
        person.draw_far(brush)
        if in_hand and not in_front:
            draw_thing(held_at, key.grip[2])
        person.draw_near(brush)
        if in_front:
            draw_thing(held_at, key.grip[2])
        doing = []
        if self._during(frozenset({"use"}), t_s):
            doing.append(Doing(c.human, c.thing, self.name))
        elif self._during(frozenset({"hold"}), t_s):
            doing.append(Doing(c.human, c.thing, f"hold {self.thing}"))
        return [Shown(c.human, "person", person.extent), Shown(c.thing, self.thing, extent)], doing


class PropVisit(Visit):
    """Use something that stands there: sit on it, open it, kick it."""

    OPENING_S = 0.6

    def __init__(
        self, cast: Cast, name: str, x: float, *, from_x: float, arrives_s: float, durations_s: Sequence[float],
        leaves: bool,
    ) -> None:  # fmt: skip
        self.name = name
        self.verb, self.thing = name.split(" ")
        super().__init__(cast, x, from_x=from_x, arrives_s=arrives_s, durations_s=durations_s, leaves=leaves)
        self._on_s, self._off_s = self.path[1][0], self.path[2][0]

    def _plan(self, start_s: float) -> list[tuple[float, str]]:
        on = start_s + 0.4
        return [(start_s, "stand"), (on, "use"), (on + self.RAMP_S + self._durations[0], "stand")]

    def _kick_phase(self, t_s: float) -> float:
        """Return the phase of the kicking leg: at rest before and after, whole swings in between."""
        length = max(self._off_s - self._on_s - self.RAMP_S, 0.1)
        swings = max(1, round(length * 0.7))
        return -0.25 + swings * min(1.0, max(0.0, (t_s - self._on_s - self.RAMP_S) / length))

    def _acting(self, t_s: float) -> Act:
        """Return the act at full strength; `verb` decides where the person stands to it."""
        stage = self._stage(t_s, self._opening(t_s))
        if self.verb == "sit_on":
            stage = replace(stage, x=self.x - self.cast.facing * 0.2 * self.cast.look.height)
        elif self.verb == "kick":
            stage = replace(stage, phase=self._kick_phase(t_s))
        return perform(self.name, stage)

    def _opening(self, t_s: float) -> float:
        up = smooth(t_s, self._on_s + self.RAMP_S, self.OPENING_S)
        return up - smooth(t_s, self._off_s - self.OPENING_S, self.OPENING_S)

    def _key(self, state: str, t_s: float) -> Key:
        if state == "stand":
            return self._standing(t_s)
        person = self._acting(t_s).person
        return Key(person.pose, person.joints.hip, (0.0, 0.0, 0.0))

    def draw(self, brush: Brush, t_s: float) -> tuple[list[Shown], list[Doing]]:
        """Draw the state at `t_s`."""
        c, h, f = self.cast, self.cast.look.height, self.cast.facing
        person, _ = self._person(t_s)
        act = self._acting(t_s)
        draw_object = act.draw_object
        if self.name == "open suitcase":
            at, opening = (self.x + f * 0.4 * h, c.ground + 0.01 * h), self._opening(t_s)

            def draw_object(brush: Brush) -> None:
                things.open_suitcase(brush, at, h, f, c.paint, opening)

        scene = Act(person, draw_object, act.order, Extent())
        scene.draw(brush)
        using = self._during(frozenset({"use"}), t_s)
        active = self._opening(t_s) >= 0.5 if self.verb == "open" else using
        doing = [Doing(c.human, c.thing, self.name)] if active else []
        return shown(c, scene, self.name), doing
