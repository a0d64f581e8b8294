"""Random scenes for the tracker: people and objects whose boxes a detector sees badly, equal for equal seeds.

Only `Generator.random` and plain arithmetic are used, so that a scene is the same with every NumPy, everywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.track.tracker import PairTracker, TrackerSettings

GOLDEN = Path(__file__).with_name("scenes.json")
"""The outcomes of the first `NUM_SCENES` scenes, as recorded last."""
NUM_SCENES = 240
WIDTH, HEIGHT = 1280.0, 720.0
OBJECT_NAMES = ("bicycle", "cup", "suitcase")


@dataclass
class Detections:
    """The fields of `hoiclip.postprocess.PairDetections`."""

    human_boxes_xyxy: NDArray[np.float32]
    object_boxes_xyxy: NDArray[np.float32]
    object_labels: NDArray[np.int64]
    object_scores: NDArray[np.float32]
    scores: NDArray[np.float32]


@dataclass
class Frame:
    """What `PairTracker.update` is called with."""

    t_s: float
    detections: Detections
    corrupt: bool
    cut: bool


@dataclass
class Actor:
    """A human with an object, and what they do; places in pixels, speed in pixels a second."""

    at: NDArray[np.float64]  # [2] upper left corner of the human
    speed: NDArray[np.float64]  # [2]
    size: NDArray[np.float64]  # [2] width and height of the human
    offset: NDArray[np.float64]  # [2] of the object, from the human's corner
    object_size: float
    label: int
    doing: dict[int, tuple[float, float]]  # interaction: (seconds of its cycle, offset of its phase)


class Scene:
    """One random scene: settings of a tracker, and frames."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self.num_interactions = self._pick(1, 4, 4, 12, 40)
        self.names = tuple(f"interaction {k}" for k in range(self.num_interactions))
        self.no_interaction = [self._chance(0.1) for _ in self.names]
        self._fps = self._pick(2.5, 5.0, 5.0, 10.0, 25.0)
        self._num_frames = self._pick(40, 60, 90)
        self._num_actors = self._pick(1, 2, 3, 4, 6, 16)
        self._jitter_px = self._pick(0.0, 1.0, 4.0)
        self._miss = self._pick(0.0, 0.03, 0.15, 0.4)
        self._swap = self._pick(0.0, 0.0, 0.02, 0.1)  # two actors exchange objects, or one jumps away
        self.settings = TrackerSettings(
            enter_score=self._pick(0.3, 0.5),
            smoothing_s=self._pick(0.0, 0.4, 0.5),
            min_duration_s=self._pick(0.0, 0.2, 0.3),
            gap_s=self._pick(0.0, 0.5, 1.0, 2.0),
            update_interval_s=self._pick(0.2, 1.0, 2.0),
            max_event_s=self._pick(0.0, 0.0, 3.0),
            stationary_s=self._pick(0.0, 1.5, 4.0, 60.0),
            min_pair_score=self._pick(0.0, 0.1, 0.2),
            track_memory_s=self._pick(0.0, 2.0, 4.0),
            thresholds={name: (0.6, 0.2) for name in self.names if self._chance(0.1)},
        )

    def frames(self) -> Iterator[Frame]:
        """Make the frames; may be called once."""
        actors = [self._actor() for _ in range(self._num_actors)]
        t_s, hidden_until_s, elsewhere_until_s = 0.0, 0.0, 0.0
        for _ in range(self._num_frames):
            t_s += (
                1 + (self._rng.random() < 0.05) * self._pick(1, 2, 10)
            ) / self._fps  # now and then frames are missing
            if self._chance(0.004):
                t_s = max(0.0, t_s - 20.0)  # the camera's clock started anew
                hidden_until_s = elsewhere_until_s = 0.0
            is_cut = self._chance(0.012)
            if is_cut:
                actors = [self._actor() for _ in range(self._num_actors)]
            elif self._chance(self._swap):
                self._confuse(actors)
            if self._chance(0.02):
                hidden_until_s = t_s + self._pick(0.3, 1.0, 3.0)
            if self._chance(0.01):
                elsewhere_until_s = t_s + self._pick(0.2, 0.5)  # false detections far from everybody, for a moment
            seen = [] if t_s < hidden_until_s else self._seen(actors, t_s)
            if t_s < elsewhere_until_s:
                seen = [(boxes + 900, label, scores) for boxes, label, scores in seen]
            yield Frame(t_s, self._detections(seen), corrupt=self._chance(0.03), cut=is_cut and self._chance(0.5))
            for actor in actors:
                actor.at = actor.at + actor.speed / self._fps
                actor.speed = np.where((actor.at < 0) | (actor.at > (WIDTH - 100, HEIGHT - 250)), -1, 1) * actor.speed

    # -- chance --------------------------------------------------------------------------------------------------

    def _chance(self, probability: float) -> bool:
        return bool(self._rng.random() < probability)

    def _pick(self, *choices: Any) -> Any:
        return choices[int(self._rng.random() * len(choices))]

    def _noise(self, *shape: int) -> NDArray[np.float64]:
        """Return numbers about 0 of deviation 1."""
        return self._rng.random((4, *shape)).sum(0) * 1.7320508 - 2 * 1.7320508

    # -- people and objects --------------------------------------------------------------------------------------

    def _actor(self) -> Actor:
        is_still = self._chance(0.4)
        return Actor(
            at=self._rng.random(2) * (WIDTH - 100, HEIGHT - 250),
            speed=np.zeros(2) if is_still else (self._rng.random(2) - 0.5) * (400, 60),
            size=np.array([60.0, 160.0]) * (0.6 + 0.8 * self._rng.random()),
            offset=(self._rng.random(2) - 0.2) * (60, 120),
            object_size=20 + 60 * self._rng.random(),
            label=int(self._rng.random() * len(OBJECT_NAMES)),
            doing={
                int(self._rng.random() * self.num_interactions): (2 + 20 * self._rng.random(), self._rng.random())
                for _ in range(self._pick(1, 2, 3))
            },
        )

    def _confuse(self, actors: list[Actor]) -> None:
        """Let what an actor does go on with another human, another object, or at another place."""
        actor, other = self._pick(*actors), self._pick(*actors)
        change = self._pick("hand over", "hand over", "human", "object")
        if change == "hand over":  # the object stays, its human becomes another one
            place = actor.at + actor.offset
            actor.at, other.at = other.at, actor.at
            actor.offset = place - actor.at
        elif change == "human":
            actor.at, actor.offset = actor.at + 300, actor.offset - 300
        else:
            actor.offset = actor.offset + 350

    # -- what a detector sees ------------------------------------------------------------------------------------

    def _seen(self, actors: list[Actor], t_s: float) -> list[tuple[NDArray[Any], int, NDArray[Any]]]:
        seen = []
        for number, actor in enumerate(actors):
            if self._chance(self._miss):
                continue
            human = np.concatenate([actor.at, actor.at + actor.size])
            item = np.concatenate([actor.at + actor.offset, actor.at + actor.offset + actor.object_size])
            scores = 0.12 * self._rng.random(self.num_interactions)
            for k, (cycle_s, phase) in actor.doing.items():
                is_on = (t_s / cycle_s + phase) % 1.0 < 0.7
                scores[k] = np.clip((0.75 if is_on else 0.2) + 0.12 * self._noise(), 0, 1)
            seen.append((np.concatenate([human, item]), actor.label, scores))
            if self._chance(0.3):  # a second query finds the pair too
                seen.append((seen[-1][0] + 2 * self._noise(8), actor.label, scores * self._rng.random()))
            if self._chance(0.15):  # a query takes this human and the object of somebody else
                other = self._pick(*actors)
                box = np.concatenate([other.at + other.offset, other.at + other.offset + other.object_size])
                seen.append((np.concatenate([human, box]), other.label, 0.5 * scores))
            if self._chance(0.05):  # a query calls the object by another class
                seen.append((seen[-1][0], (actor.label + 1) % len(OBJECT_NAMES), 0.6 * scores))
            if number and self._chance(0.02):  # nothing there at all
                place = self._rng.random(2) * (WIDTH, HEIGHT)
                box = np.concatenate([place, place + 60, place + 10, place + 50])
                seen.append((box, self._pick(0, 1, 2), self._rng.random(self.num_interactions)))
        return [(boxes + self._jitter_px * self._noise(8), label, scores) for boxes, label, scores in seen]

    def _detections(self, seen: list[tuple[NDArray[Any], int, NDArray[Any]]]) -> Detections:
        num_pairs = len(seen)
        order = np.argsort(self._rng.random(num_pairs), kind="stable")
        boxes = np.array([boxes for boxes, _, _ in seen], np.float32).reshape(num_pairs, 8)[order]
        scores = np.array([scores for _, _, scores in seen], np.float32).reshape(num_pairs, self.num_interactions)
        return Detections(
            human_boxes_xyxy=boxes[:, :4],
            object_boxes_xyxy=boxes[:, 4:],
            object_labels=np.array([label for _, label, _ in seen], np.int64)[order],
            object_scores=np.ones(num_pairs, np.float32),
            scores=scores[order],
        )


def outcome(seed: int) -> str:
    """Return a hash of every transition and of every snapshot that a tracker makes of the scene of this seed."""
    scene = Scene(seed)
    tracker = PairTracker(
        scene.names, object_names=OBJECT_NAMES, no_interaction=scene.no_interaction, settings=scene.settings
    )
    digest, last_s = hashlib.sha256(), 0.0
    for frame in scene.frames():
        digest.update(repr(tracker.update(frame.t_s, frame.detections, frame.corrupt, frame.cut)).encode())
        digest.update(repr(tracker.snapshot()).encode())
        last_s = frame.t_s
    digest.update(repr(tracker.flush(last_s, "end_of_file")).encode())
    return digest.hexdigest()[:16]


if __name__ == "__main__":  # record anew, after a change that is meant: python -m tests.stream.track.scenes
    GOLDEN.write_text(json.dumps([outcome(seed) for seed in range(NUM_SCENES)], indent=0) + "\n")
