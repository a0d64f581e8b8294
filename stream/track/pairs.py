"""What the tracker knows of a pair, and what it says about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from stream.track.lifecycle import Episode

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Transition:
    """One step in the life of one interaction of one pair."""

    kind: Literal["started", "updated", "ended"]
    t_s: float  # media time of the frame that decided
    started_s: float  # media time of the first evidence
    duration_s: float  # to t_s; of `ended`, to the last evidence
    pair_id: int
    human_id: int
    object_id: int
    interaction: int  # index in the source's vocabulary
    object: str  # class of the tracked object
    score: float  # smoothed, in [0, 1]
    peak_score: float  # highest smoothed score since the start
    human_box_xyxy_px: Box
    object_box_xyxy_px: Box
    reason: str  # score, interval, lost, cut, clock, stationary, max_duration, or what `flush` was told
    why: str  # the same for people, with numbers


@dataclass(frozen=True)
class PairView:
    """A live pair, to be drawn."""

    pair_id: int
    human_id: int
    object_id: int
    object: str
    human_box_xyxy_px: Box
    object_box_xyxy_px: Box
    is_seen: bool  # in the last frame; else boxes are where it was last seen
    interactions: tuple[tuple[str, float], ...]  # open ones: name and smoothed score, best first


@dataclass(slots=True)
class Pair:
    """A tracked pair and what it does."""

    pair_id: int
    human_id: int
    object_id: int
    label: int
    row: int  # in the tables of smoothed scores and boxes
    seen_s: float
    still_since_s: float
    episodes: dict[int, Episode] = field(default_factory=dict)
    muted: set[int] = field(default_factory=set)  # interactions taken for scenery
