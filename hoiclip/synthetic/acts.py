"""What a person doing something looks like: pose, object, and which is in front."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Literal

from hoiclip.synthetic import objects as things
from hoiclip.synthetic.brush import Brush, Colour, Extent, Point, shade
from hoiclip.synthetic.person import (
    Look,
    Person,
    Pose,
    joints_of,
    reach,
    standing_hip,
    step_to,
    walking,
)

Order = Literal["behind", "between", "front"]


@dataclass(frozen=True)
class Stage:
    """Where and when an act is drawn."""

    look: Look
    x: float
    ground: float
    facing: int
    phase: float  # of whatever repeats: steps, pedals, in turns
    paint: Colour
    amount: float = 1.0  # 0 stands idle, 1 is fully in the act; hands and their object move in between


@dataclass
class Act:
    """A person and an object, ready to draw."""

    person: Person
    draw_object: Callable[[Brush], None]
    order: Order
    object_extent: Extent

    def draw(self, brush: Brush) -> None:
        """Draw both in the right order, each recording its extent."""
        if self.order == "behind":
            self._object(brush)
        self.person.draw_far(brush)
        if self.order == "between":
            self._object(brush)
        self.person.draw_near(brush)
        if self.order == "front":
            self._object(brush)

    def _object(self, brush: Brush) -> None:
        brush.extent = self.object_extent
        self.draw_object(brush)
        brush.extent = None


IMPLIED: dict[str, str] = {
    "drink_with bottle": "hold bottle",
    "drink_with cup": "hold cup",
    "talk_on cell_phone": "hold cell_phone",
}
"""What an act always includes: who drinks with a cup also holds it. Reading takes both hands and implies nothing."""


def perform(interaction: str, stage: Stage) -> Act:
    """Return the act called `interaction` ("verb object", HICO-DET's names)."""
    verb, _, thing = interaction.partition(" ")
    return _ACTS[verb](thing, stage)


def stand(stage: Stage) -> Person:
    """Return a person who does nothing."""
    pose = replace(Pose(), near_arm=4 + 3 * math.sin(2 * math.pi * stage.phase), far_arm=-5.0)
    return Person(stage.look, pose, standing_hip(stage.look, pose, stage.x, stage.ground), stage.facing)


def walk_by(stage: Stage) -> Person:
    """Return a person who walks and does nothing else."""
    pose = walking(stage.phase)
    return Person(stage.look, pose, standing_hip(stage.look, pose, stage.x, stage.ground), stage.facing)


def blend(a: Pose, b: Pose, amount: float) -> Pose:
    """Return the pose `amount` of the way from `a` to `b`."""
    return Pose(**{f.name: getattr(a, f.name) * (1 - amount) + getattr(b, f.name) * amount for f in fields(Pose)})


def _act(person: Person, draw: Callable[[Brush], None], order: Order) -> Act:
    return Act(person, draw, order, Extent())


def _ride(thing: str, s: Stage) -> Act:
    h, at, f = s.look.height, (s.x, s.ground), s.facing
    if thing == "skateboard":
        board = (s.x, s.ground - 0.07 * h)
        crouch = 0.06 + 0.015 * math.sin(2 * math.pi * s.phase)
        hip = (s.x - f * 0.02 * h, board[1] - (0.5 - crouch) * h)
        sway = 10 * math.sin(2 * math.pi * s.phase)
        pose = Pose(lean=12, near_arm=58 + sway, near_elbow=14, far_arm=-62 + sway, far_elbow=14)
        pose = step_to(
            s.look, pose, hip, f, (s.x + f * 0.13 * h, board[1] - 0.045 * h), (s.x - f * 0.14 * h, board[1] - 0.045 * h)
        )
        return _act(Person(s.look, pose, hip, f), lambda b: things.skateboard(b, board, h, f, s.paint), "behind")
    if thing == "bicycle":
        seat, bar = things.bicycle_seat(at, h, f), things.bicycle_bar(at, h, f)
        hip = (seat[0], seat[1] - 0.035 * h)
        near, far = things.bicycle_pedals(at, h, f, s.phase)
        pose = reach(s.look, Pose(lean=30, nod=-22), hip, f, bar, near=True, far=True)
        pose = step_to(s.look, pose, hip, f, (near[0], near[1] - 0.02 * h), (far[0], far[1] - 0.02 * h))
        return _act(Person(s.look, pose, hip, f), lambda b: things.bicycle(b, at, h, f, s.paint, s.phase * 3), "behind")
    seat, bar = things.motorcycle_seat(at, h, f), things.motorcycle_bar(at, h, f)
    hip = (seat[0], seat[1] - 0.02 * h)
    pose = reach(s.look, Pose(lean=16, nod=-8), hip, f, bar, near=True, far=True)
    peg = (s.x + f * 0.06 * h, s.ground - 0.13 * h)
    pose = step_to(s.look, pose, hip, f, peg, peg)
    return _act(Person(s.look, pose, hip, f), lambda b: things.motorcycle(b, at, h, f, s.paint), "behind")


def _push(thing: str, s: Stage) -> Act:
    h, f = s.look.height, s.facing
    at = (s.x + f * 0.06 * h, s.ground + 0.02 * h)
    draw, bar_of = things.bicycle, things.bicycle_bar
    if thing == "motorcycle":
        draw, bar_of = things.motorcycle, things.motorcycle_bar
    pose = replace(walking(s.phase, 20), lean=14)
    hip = standing_hip(s.look, pose, s.x - f * 0.02 * h, s.ground)
    pose = reach(s.look, pose, hip, f, bar_of(at, h, f), near=True, far=True)
    turn = 2.0 * s.phase
    return _act(Person(s.look, pose, hip, f), lambda b: draw(b, at, h, f, s.paint, turn), "front")


def _walk(thing: str, s: Stage) -> Act:
    h, f = s.look.height, s.facing
    at = (s.x + f * 0.52 * h, s.ground + 0.015 * h)
    pose = walking(s.phase)
    hip = standing_hip(s.look, pose, s.x, s.ground)
    person = Person(s.look, replace(pose, near_arm=32, near_elbow=22), hip, f)
    neck = things.dog_neck(at, h, f)

    def draw(brush: Brush) -> None:
        things.dog(brush, at, h, f, s.paint, s.phase * 1.6)
        brush.extent = None  # the leash belongs to neither box
        hand = person.joints.near_hand
        middle = ((hand[0] + neck[0]) / 2, (hand[1] + neck[1]) / 2 + 0.06 * h)
        brush.line([hand, middle, neck], 0.012 * h, (120, 30, 30))

    return _act(person, draw, "front")


def _hand_object(thing: str, at: Point, s: Stage, angle: float) -> Callable[[Brush], None]:
    """Return how a small thing at the hand is drawn."""
    h, f = s.look.height, s.facing
    if thing == "umbrella":
        return lambda b: things.umbrella(b, at, h, f, s.paint)
    if thing == "skateboard":
        return lambda b: things.skateboard(b, (at[0] + f * 0.02 * h, at[1] - 0.05 * h), h, f, s.paint, 90.0 * f)
    if thing == "sports_ball":
        return lambda b: things.sports_ball(b, (at[0] + f * 0.04 * h, at[1] - 0.07 * h), h, f, s.paint)
    draw = {"bottle": things.bottle, "cup": things.cup, "cell_phone": things.cell_phone, "book": things.book}[thing]
    lift = {"bottle": 0.02, "cup": 0.0, "cell_phone": 0.05, "book": 0.05}[thing]
    centre = (at[0] + f * 0.02 * h, at[1] - lift * h)
    return lambda b: draw(b, centre, h, f, s.paint, angle)


def _hold(thing: str, s: Stage) -> Act:
    """One hand, forearm forward, the object upright in it."""
    idle = walking(s.phase, 18) if thing == "umbrella" else replace(Pose(), far_arm=-5.0)
    sway = 2.5 * math.sin(2 * math.pi * s.phase)
    raised = replace(idle, near_arm=22 + sway, near_elbow=84 + sway)
    if thing == "umbrella":
        raised = replace(raised, near_arm=14, near_elbow=112)
    pose = blend(idle, raised, s.amount)
    person = Person(s.look, pose, standing_hip(s.look, pose, s.x, s.ground), s.facing)
    return _act(person, _hand_object(thing, person.joints.near_hand, s, 0.0), "between")


def _carry(thing: str, s: Stage) -> Act:
    """Both arms, against the belly, walking; a suitcase hangs from one straight arm, clear of the ground."""
    h, f = s.look.height, s.facing
    pose = walking(s.phase, 22)
    hip = standing_hip(s.look, pose, s.x, s.ground)
    if thing == "suitcase":
        person = Person(s.look, replace(pose, near_arm=6, near_elbow=4), hip, f)
        hand = person.joints.near_hand
        return _act(person, lambda b: things.suitcase(b, hand, h, f, s.paint), "between")
    pose = replace(pose, lean=-4.0)
    hold = (hip[0] + f * 0.16 * h, hip[1] - 0.11 * h)
    pose = reach(s.look, pose, hip, f, hold, near=True, far=True)
    person = Person(s.look, pose, hip, f)
    hand = person.joints.near_hand
    if thing == "chair":
        return _act(
            person, lambda b: things.chair(b, (hand[0] + f * 0.08 * h, hand[1] + 0.22 * h), h, -f, s.paint), "between"
        )
    if thing == "dog":
        return _act(
            person, lambda b: things.dog(b, (hand[0] + f * 0.03 * h, hand[1] + 0.1 * h), h, f, s.paint), "between"
        )
    if thing == "skateboard":
        return _act(person, lambda b: things.skateboard(b, (hand[0], hand[1] - 0.02 * h), h, f, s.paint), "between")
    return _act(person, lambda b: things.book(b, (hand[0], hand[1] - 0.03 * h), h, f, s.paint, 90.0), "between")


def _sit_on(thing: str, s: Stage) -> Act:
    h, f = s.look.height, s.facing
    at = (s.x, s.ground)
    top = {"chair": 0.335, "bench": 0.3, "suitcase": 0.35}[thing] * h
    hip = (s.x - f * 0.03 * h, s.ground - top - 0.035 * h)
    sway = 3 * math.sin(2 * math.pi * s.phase)
    pose = Pose(lean=4, near_arm=30 + sway, near_elbow=38, far_arm=24, far_elbow=40)
    front = hip[0] + f * 0.26 * h
    pose = step_to(s.look, pose, hip, f, (front, s.ground - 0.015 * h), (front - f * 0.05 * h, s.ground - 0.015 * h))
    person = Person(s.look, pose, hip, f)
    if thing == "chair":
        return _act(person, lambda b: things.chair(b, at, h, f, s.paint), "behind")
    if thing == "bench":
        return _act(person, lambda b: things.bench(b, at, h, f, s.paint), "behind")
    return _act(
        person, lambda b: things.suitcase(b, (s.x, s.ground - things.SUITCASE_HANDLE * h), h, f, s.paint), "behind"
    )


def _kick(thing: str, s: Stage) -> Act:
    h, f = s.look.height, s.facing
    swing = 0.5 + 0.5 * math.sin(2 * math.pi * s.phase)  # the leg goes back and forth at the ball
    pose = Pose(
        lean=-8,
        near_thigh=20 + 34 * swing,
        near_knee=22 * (1 - swing) + 4,
        far_thigh=-6,
        far_knee=8,
        near_arm=-34,
        far_arm=38,
    )
    hip = standing_hip(s.look, replace(pose, near_thigh=0, near_knee=0), s.x, s.ground)
    person = Person(s.look, pose, hip, f)
    foot = person.joints.near_foot
    ball = (max(foot[0] * f, (s.x + f * 0.2 * h) * f) * f + f * 0.13 * h, min(s.ground - 0.095 * h, foot[1] + 0.02 * h))
    return _act(person, lambda b: things.sports_ball(b, ball, h, f, s.paint), "front")


def _talk_on(thing: str, s: Stage) -> Act:
    h, f = s.look.height, s.facing
    base = replace(Pose(), far_arm=18.0, far_elbow=40.0)
    hip = standing_hip(s.look, base, s.x, s.ground)
    ear = joints_of(s.look, base, hip, f).ear
    pose = blend(base, reach(s.look, base, hip, f, (ear[0] + f * 0.03 * h, ear[1] + 0.035 * h)), s.amount)
    person = Person(s.look, pose, hip, f)
    hand = person.joints.near_hand
    return _act(
        person,
        lambda b: things.cell_phone(b, (hand[0] - f * 0.01 * h, hand[1] - 0.035 * h), h, f, s.paint, 18.0),
        "front",
    )


def _drink_with(thing: str, s: Stage) -> Act:
    h, f = s.look.height, s.facing
    base = replace(Pose(), lean=-4.0, far_arm=-5.0)
    hip = standing_hip(s.look, base, s.x, s.ground)
    mouth = joints_of(s.look, base, hip, f).mouth
    tip = 6 * math.sin(2 * math.pi * s.phase)
    away = 0.13 if thing == "bottle" else 0.075
    place = (mouth[0] + f * away * h, mouth[1] - (0.035 if thing == "bottle" else 0.0) * h)
    pose = blend(base, reach(s.look, base, hip, f, (place[0], place[1] + 0.03 * h)), s.amount)
    person = Person(s.look, pose, hip, f)
    hand = person.joints.near_hand
    at = (hand[0], hand[1] - 0.03 * h)
    angle = -(108 + tip if thing == "bottle" else 52 + tip) * s.amount
    draw = things.bottle if thing == "bottle" else things.cup
    return _act(person, lambda b: draw(b, at, h, f, s.paint, angle), "front")


def _read(thing: str, s: Stage) -> Act:
    """Both hands before the face, head bent."""
    h, f = s.look.height, s.facing
    base = replace(Pose(), nod=14.0)
    hip = standing_hip(s.look, base, s.x, s.ground)
    shoulder = joints_of(s.look, base, hip, f).shoulder
    sway = 0.01 * math.sin(2 * math.pi * s.phase)
    target = (shoulder[0] + f * 0.22 * h, shoulder[1] + (0.06 + sway) * h)
    pose = blend(base, reach(s.look, base, hip, f, target, near=True, far=True), s.amount)
    person = Person(s.look, pose, hip, f)
    hand = person.joints.near_hand
    at = (hand[0] + f * 0.03 * h, hand[1] - 0.05 * h)
    if thing == "book":
        return _act(person, lambda b: things.read_book(b, at, h, f, s.paint), "between")
    return _act(person, lambda b: things.cell_phone(b, at, h, f, s.paint, 24.0), "between")


def _open(thing: str, s: Stage) -> Act:
    h, f = s.look.height, s.facing
    if thing == "refrigerator":
        at = (s.x + f * 0.62 * h, s.ground)
        opening = 0.55 + 0.4 * math.sin(2 * math.pi * s.phase) * 0.5
        pose = Pose(lean=6)
        hip = standing_hip(s.look, pose, s.x, s.ground)
        pose = reach(s.look, pose, hip, f, (s.x + f * 0.3 * h, hip[1] - 0.14 * h))
        return _act(
            Person(s.look, pose, hip, f),
            lambda b: things.refrigerator(b, at, h, f, s.paint, opening * s.amount),
            "behind",
        )
    at = (s.x + f * 0.4 * h, s.ground + 0.01 * h)
    hip = (s.x - f * 0.02 * h, s.ground - 0.36 * h)
    pose = step_to(
        s.look,
        Pose(lean=38),
        hip,
        f,
        (s.x + f * 0.08 * h, s.ground - 0.015 * h),
        (s.x - f * 0.06 * h, s.ground - 0.015 * h),
    )
    dip = 0.015 * math.sin(2 * math.pi * s.phase)
    pose = reach(s.look, pose, hip, f, (at[0] - f * 0.05 * h, at[1] - (0.18 + dip) * h), near=True, far=True)
    return _act(Person(s.look, pose, hip, f), lambda b: things.open_suitcase(b, at, h, f, s.paint), "behind")


def _drag(thing: str, s: Stage) -> Act:
    h, f = s.look.height, s.facing
    pose = replace(walking(s.phase), lean=7.0)
    hip = standing_hip(s.look, pose, s.x, s.ground)
    handle = (s.x - f * 0.24 * h, s.ground - things.SUITCASE_HANDLE * h)
    pose = reach(s.look, pose, hip, f, handle)
    return _act(Person(s.look, pose, hip, f), lambda b: things.suitcase(b, handle, h, f, s.paint), "front")


_ACTS: dict[str, Callable[[str, Stage], Act]] = {
    "ride": _ride, "push": _push, "walk": _walk, "hold": _hold, "carry": _carry, "sit_on": _sit_on, "kick": _kick,
    "talk_on": _talk_on, "drink_with": _drink_with, "read": _read, "open": _open, "drag": _drag,
}  # fmt: skip


ON_TABLES: tuple[str, ...] = ("bottle", "cup", "cell_phone", "book")
TABLE_HEIGHT = 0.45  # as a share of a person's height


def draw_table(brush: Brush, x: float, ground: float, h: float, colour: Colour) -> None:
    """Draw a small table, which belongs to the background; `h` is a person's height there."""
    top = ground - TABLE_HEIGHT * h
    for side in (-1, 1):
        brush.line([(x + side * 0.13 * h, ground), (x + side * 0.1 * h, top)], 0.03 * h, shade(colour, 0.7))
    brush.box(x - 0.17 * h, top, x + 0.17 * h, top + 0.04 * h, colour)


def draw_alone(brush: Brush, thing: str, x: float, ground: float, h: float, facing: int, paint: Colour) -> Extent:
    """Draw an object that nobody uses, standing on `ground`, and return its extent; `h` is a person's height there."""
    extent = Extent()
    brush.extent = extent
    at = (x, ground)
    lying: dict[str, Callable[[], None]] = {
        "bicycle": lambda: things.bicycle(brush, at, h, facing, paint),
        "motorcycle": lambda: things.motorcycle(brush, at, h, facing, paint),
        "skateboard": lambda: things.skateboard(brush, (x, ground - 0.07 * h), h, facing, paint),
        "bench": lambda: things.bench(brush, at, h, facing, paint),
        "chair": lambda: things.chair(brush, at, h, facing, paint),
        "dog": lambda: things.dog(brush, at, h, facing, paint),
        "umbrella": lambda: things.umbrella(brush, (x, ground - 0.05 * h), h, facing, paint),
        "suitcase": lambda: things.suitcase(brush, (x, ground - things.SUITCASE_HANDLE * h), h, facing, paint),
        "sports_ball": lambda: things.sports_ball(brush, (x, ground - 0.095 * h), h, facing, paint),
        "bottle": lambda: things.bottle(brush, (x, ground - 0.12 * h), h, facing, paint),
        "cup": lambda: things.cup(brush, (x, ground - 0.08 * h), h, facing, paint),
        "cell_phone": lambda: things.cell_phone(brush, (x, ground - 0.1 * h), h, facing, paint),
        "book": lambda: things.book(brush, (x, ground - 0.1 * h), h, facing, paint),
        "refrigerator": lambda: things.refrigerator(brush, at, h, facing, paint),
    }
    lying[thing]()
    brush.extent = None
    return extent
