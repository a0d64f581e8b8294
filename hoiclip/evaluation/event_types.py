"""What events are compared with: published interactions, true ones, and where everybody was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hoiclip.evaluation.overlap import paired_iou

MIN_HUMAN_IOU = 0.3  # tells people apart; whether boxes are tight is the business of picture measures

Box = tuple[float, float, float, float]  # xyxy in pixels


class Sighting(NamedTuple):
    """Where an event line put its pair, at a media time."""

    t_s: float
    human_box: Box
    object_box: Box | None = None
    score: float | None = None  # smoothed, in [0, 1]


@dataclass(frozen=True)
class PredictedEvent:
    """One published interaction, from its lines `started` to `ended`."""

    name: str
    human_id: int
    start_s: float  # as dated
    end_s: float  # as dated
    announced_s: float  # media time of the frame that said so
    closed_s: float  # media time of the frame that ended it
    sightings: tuple[Sighting, ...] = ()
    pair_id: int = 0
    object: str = ""  # class of the object
    peak_score: float = 1.0  # highest smoothed score, in [0, 1]: how sure the event is
    last_seen: Sighting | None = None  # the pair at the end as dated

    def announced_at(self, threshold: float) -> float | None:
        """Return the media time of the first line whose score reaches `threshold`, or None; lines may be 2 s apart."""
        return next((s.t_s for s in self.sightings if s.score is None or s.score >= threshold), None)


@dataclass(frozen=True)
class TrueInteraction:
    """One interaction that really happened."""

    name: str
    human_id: int
    start_s: float
    end_s: float
    object_id: int = 0
    object: str = ""  # class of the object


@dataclass(frozen=True)
class TrueVideo:
    """The truth about a video; without `human_boxes` only names and times are compared."""

    interactions: tuple[TrueInteraction, ...]
    frame_times_s: NDArray[np.float64]  # [F] rising
    human_boxes: Sequence[Mapping[int, Box]] = ()  # per frame, by human id
    object_boxes: Sequence[Mapping[int, Box]] = ()  # per frame, by object id
    objects: Mapping[int, str] = field(default_factory=dict)  # class by object id
    length_s: float = 0.0

    def human_box(self, human_id: int, t_s: float) -> Box | None:
        """Return the box of a human in the frame nearest to `t_s`, or None where it is not in view."""
        return self.humans_at(t_s).get(human_id)

    def nearest_human(self, box: Box, t_s: float) -> int | None:
        """Return the human who overlaps `box` best at `t_s`, at `MIN_HUMAN_IOU` or more."""
        people = self.humans_at(t_s)
        if not people:
            return None
        ids = sorted(people)
        overlap = paired_iou(np.array([box] * len(ids)), np.array([people[i] for i in ids]))
        best = int(overlap.argmax())
        return ids[best] if overlap[best] >= MIN_HUMAN_IOU else None

    def humans_at(self, t_s: float) -> Mapping[int, Box]:
        """Return everybody's box in the frame nearest to `t_s`."""
        return self.human_boxes[self.nearest_frame(t_s)] if self.human_boxes else {}

    def objects_at(self, t_s: float) -> Mapping[int, Box]:
        """Return the boxes of all objects in the frame nearest to `t_s`."""
        return self.object_boxes[self.nearest_frame(t_s)] if self.object_boxes else {}

    def nearest_frame(self, t_s: float) -> int:
        """Return the index of the annotated frame nearest to `t_s`."""
        after = int(np.searchsorted(self.frame_times_s, t_s))
        near = [i for i in (after - 1, after) if 0 <= i < len(self.frame_times_s)]
        return min(near, key=lambda i: abs(self.frame_times_s[i] - t_s))


def who(video: TrueVideo, event: PredictedEvent) -> int | None:
    """Return the true human whom most of an event's sightings show, or None where most show nobody."""
    seen = [video.nearest_human(s.human_box, s.t_s) for s in event.sightings]
    if not seen:
        return None
    best = max(dict.fromkeys(seen), key=seen.count)
    return best if 2 * seen.count(best) >= len(seen) else None
