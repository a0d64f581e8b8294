"""An articulated person seen from the side: proportions, poses, clothing, drawing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from hoiclip.synthetic.brush import Brush, Colour, Extent, Point, shade

SKINS: tuple[Colour, ...] = ((255, 219, 188), (236, 188, 148), (203, 146, 102), (150, 98, 62), (98, 62, 42))
HAIRS: tuple[Colour, ...] = ((30, 24, 20), (74, 48, 28), (134, 84, 40), (206, 170, 92), (120, 118, 120), (150, 50, 30))
CLOTHES: tuple[Colour, ...] = (
    (196, 48, 48), (40, 90, 180), (52, 140, 80), (226, 180, 54), (120, 66, 150), (235, 235, 228),
    (60, 62, 70), (226, 120, 44), (66, 170, 184), (206, 108, 150), (112, 86, 60), (150, 160, 170),
)  # fmt: skip
# Lengths as shares of a standing person's height.
HEAD, THIGH, SHIN, UPPER_ARM, FOREARM, TORSO, NECK = 0.072, 0.25, 0.25, 0.17, 0.165, 0.31, 0.05


@dataclass(frozen=True)
class Look:
    """Everything about a person that does not move."""

    height: float  # world units, standing
    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    long_hair: bool
    long_sleeves: bool
    width: float  # of the body, times the average

    @classmethod
    def random(cls, rng: np.random.Generator, height: float) -> Look:
        """Draw a look."""
        shirt, trousers = (int(i) for i in rng.choice(len(CLOTHES), 2, replace=False))
        jitter = float(rng.uniform(0.85, 1.1))
        return cls(
            height,
            SKINS[int(rng.integers(len(SKINS)))],
            HAIRS[int(rng.integers(len(HAIRS)))],
            shade(CLOTHES[shirt], jitter),
            shade(CLOTHES[trousers], jitter * 0.85),
            bool(rng.random() < 0.4),
            bool(rng.random() < 0.5),
            float(rng.uniform(0.85, 1.2)),
        )


@dataclass(frozen=True)
class Pose:
    """Joint angles in degrees: 0 hangs down, positive swings forward; the near side is drawn last."""

    lean: float = 0.0  # of the torso, forward
    near_thigh: float = 3.0
    near_knee: float = 0.0  # how far the shin bends back from the thigh
    far_thigh: float = -3.0
    far_knee: float = 0.0
    near_arm: float = 4.0
    near_elbow: float = 8.0  # how far the forearm bends forward from the upper arm
    far_arm: float = -4.0
    far_elbow: float = 8.0
    nod: float = 0.0  # of the head, forward


def walking(phase: float, swing: float = 26.0) -> Pose:
    """Return the pose at `phase` (in turns) of a walking cycle."""
    s = math.sin(2 * math.pi * phase)
    c = math.cos(2 * math.pi * phase)
    return Pose(
        lean=3.0,
        near_thigh=swing * s,
        near_knee=6.0 + 30.0 * max(0.0, c),
        far_thigh=-swing * s,
        far_knee=6.0 + 30.0 * max(0.0, -c),
        near_arm=-0.9 * swing * s,
        near_elbow=16.0,
        far_arm=0.9 * swing * s,
        far_elbow=16.0,
    )


@dataclass(frozen=True)
class Joints:
    """Where the joints are, in world units."""

    hip: Point
    shoulder: Point
    head: Point
    near_knee: Point
    near_foot: Point
    far_knee: Point
    far_foot: Point
    near_elbow: Point
    near_hand: Point
    far_elbow: Point
    far_hand: Point
    mouth: Point
    ear: Point


def _step(origin: Point, angle: float, length: float, facing: int) -> Point:
    turn = math.radians(angle)
    return origin[0] + facing * length * math.sin(turn), origin[1] + length * math.cos(turn)


def bend_to(
    root: Point, target: Point, upper: float, lower: float, facing: int, *, forward: bool
) -> tuple[float, float]:
    """Return (first angle, bend) in degrees so that a two-part limb from `root` reaches for `target`.

    `forward` chooses on which side the middle joint lies: knees forward, elbows back. Too far targets are pointed at.
    """
    dx, dy = facing * (target[0] - root[0]), target[1] - root[1]
    distance = min(max(math.hypot(dx, dy), abs(upper - lower) + 1e-3), upper + lower - 1e-3)
    towards = math.degrees(math.atan2(dx, dy))
    inner = math.degrees(math.acos((upper**2 + distance**2 - lower**2) / (2 * upper * distance)))
    outer = math.degrees(math.acos((upper**2 + lower**2 - distance**2) / (2 * upper * lower)))
    return (towards + inner if forward else towards - inner), 180.0 - outer


def joints_of(look: Look, pose: Pose, hip: Point, facing: int) -> Joints:
    """Return the joints for a hip position."""
    h = look.height
    shoulder = _step(hip, 180.0 - pose.lean, TORSO * h, facing)
    head = _step(shoulder, 180.0 - pose.lean - pose.nod, (NECK + HEAD) * h, facing)
    near_knee = _step(hip, pose.near_thigh, THIGH * h, facing)
    far_knee = _step(hip, pose.far_thigh, THIGH * h, facing)
    near_elbow = _step(shoulder, pose.near_arm, UPPER_ARM * h, facing)
    far_elbow = _step(shoulder, pose.far_arm, UPPER_ARM * h, facing)
    return Joints(
        hip,
        shoulder,
        head,
        near_knee,
        _step(near_knee, pose.near_thigh - pose.near_knee, SHIN * h, facing),
        far_knee,
        _step(far_knee, pose.far_thigh - pose.far_knee, SHIN * h, facing),
        near_elbow,
        _step(near_elbow, pose.near_arm + pose.near_elbow, FOREARM * h, facing),
        far_elbow,
        _step(far_elbow, pose.far_arm + pose.far_elbow, FOREARM * h, facing),
        (head[0] + facing * 0.075 * h, head[1] + 0.025 * h),
        (head[0] - facing * 0.005 * h, head[1]),
    )


def standing_hip(look: Look, pose: Pose, x: float, ground: float) -> Point:
    """Return the hip position at which the lower foot touches `ground`."""
    loose = joints_of(look, pose, (x, 0.0), 1)
    return x, ground - max(loose.near_foot[1], loose.far_foot[1]) - 0.012 * look.height


def reach(
    look: Look, pose: Pose, hip: Point, facing: int, target: Point, *, near: bool = True, far: bool = False
) -> Pose:
    """Return `pose` with one or both hands at `target`."""
    shoulder = _step(hip, 180.0 - pose.lean, TORSO * look.height, facing)
    arm, elbow = bend_to(shoulder, target, UPPER_ARM * look.height, FOREARM * look.height, facing, forward=False)
    if near:
        pose = replace(pose, near_arm=arm, near_elbow=elbow)
    if far:
        pose = replace(pose, far_arm=arm, far_elbow=elbow)
    return pose


def step_to(look: Look, pose: Pose, hip: Point, facing: int, near: Point, far: Point) -> Pose:
    """Return `pose` with the feet at `near` and `far`, knees forward."""
    thigh, knee = bend_to(hip, near, THIGH * look.height, SHIN * look.height, facing, forward=True)
    far_thigh, far_knee = bend_to(hip, far, THIGH * look.height, SHIN * look.height, facing, forward=True)
    return replace(pose, near_thigh=thigh, near_knee=knee, far_thigh=far_thigh, far_knee=far_knee)


class Person:
    """Draws one person in two halves, so that an object can be put between far and near limbs."""

    def __init__(self, look: Look, pose: Pose, hip: Point, facing: int) -> None:
        self.look, self.pose, self.facing = look, pose, facing
        self.joints = joints_of(look, pose, hip, facing)
        self.extent = Extent()

    def draw_far(self, brush: Brush) -> None:
        """Draw the far arm and leg, torso and head."""
        brush.extent = self.extent
        j, look = self.joints, self.look
        h, w = look.height, look.height * look.width
        dark = 0.72
        self._arm(brush, j.far_elbow, j.far_hand, dark)
        self._leg(brush, j.far_knee, j.far_foot, dark)
        self._leg(brush, j.near_knee, j.near_foot, 1.0)
        hip, shoulder = np.asarray(j.hip), np.asarray(j.shoulder)
        along = (shoulder - hip) / np.linalg.norm(shoulder - hip)
        side = np.asarray((-along[1], along[0]))
        top, bottom = shoulder + along * 0.03 * h, hip - along * 0.03 * h
        corners = [top - side * 0.075 * w, top + side * 0.075 * w, bottom + side * 0.062 * w, bottom - side * 0.062 * w]
        brush.polygon([(float(x), float(y)) for x, y in corners], look.shirt)
        brush.line([j.shoulder, j.head], 0.055 * h, look.skin)
        if look.long_hair:
            back = (j.head[0] - self.facing * 0.045 * h, j.head[1] + 0.06 * h)
            brush.ellipse(back, (0.042 * h, 0.085 * h), look.hair)
        brush.ellipse(j.head, (HEAD * 0.9 * h, HEAD * 1.12 * h), look.skin)
        crown = (j.head[0] - self.facing * 0.018 * h, j.head[1] - 0.028 * h)
        brush.ellipse(crown, (HEAD * 0.95 * h, HEAD * 0.85 * h), look.hair)
        brush.ellipse((j.head[0] + self.facing * 0.028 * h, j.head[1] + 0.018 * h), (0.045 * h, 0.055 * h), look.skin)
        eye = (j.head[0] + self.facing * 0.042 * h, j.head[1] - 0.002 * h)
        brush.circle(eye, 0.009 * h, (20, 20, 24))
        brush.extent = None

    def draw_near(self, brush: Brush) -> None:
        """Draw the near arm."""
        brush.extent = self.extent
        self._arm(brush, self.joints.near_elbow, self.joints.near_hand, 1.06)
        brush.extent = None

    def _arm(self, brush: Brush, elbow: Point, hand: Point, light: float) -> None:
        h, look = self.look.height, self.look
        sleeve = shade(look.shirt, light * 0.94)
        brush.line([elbow, hand], 0.044 * h, sleeve if look.long_sleeves else shade(look.skin, light))
        brush.line([self.joints.shoulder, elbow], 0.056 * h, sleeve)
        brush.circle(hand, 0.03 * h, shade(look.skin, light))

    def _leg(self, brush: Brush, knee: Point, foot: Point, light: float) -> None:
        h = self.look.height
        cloth = shade(self.look.trousers, light)
        brush.line([knee, foot], 0.062 * h * self.look.width, cloth)
        brush.line([self.joints.hip, knee], 0.078 * h * self.look.width, cloth)
        toe = (foot[0] + self.facing * 0.065 * h, foot[1] + 0.004 * h)
        brush.line([foot, toe], 0.042 * h, shade((52, 44, 42), light))
