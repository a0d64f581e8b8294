"""When an interaction of a pair begins and ends: smoothing, two thresholds and times, all in seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from hoiclip.errors import InputError


@dataclass(frozen=True)
class TrackerSettings:
    """How scores of pairs become events. Times are in seconds of media time, so the frame rate does not matter."""

    enter_score: float = 0.5
    """Smoothed score that opens an interaction."""
    leave_score: float | None = None
    """Smoothed score below which it closes; `LEAVE_RATIO` of the enter score when None."""
    smoothing_s: float = 0.5
    """Time constant: after it a jump of the score has come through to 63 %."""
    min_duration_s: float = 0.3
    """How long the evidence must last before an event opens, and its absence before one closes."""
    gap_s: float = 2.0
    """How long a pair may be unseen (hidden, missed, a corrupt frame) before its interactions close."""
    update_interval_s: float = 2.0
    """At most one `updated` transition of an interaction in this time."""
    max_event_s: float = 0.0
    """An interaction that lasts longer is closed, and may open anew; 0 means never."""
    stationary_s: float = 60.0
    """An interaction whose human *and* object stayed still this long is taken for scenery (a poster, a parked
    bicycle), closed, and stays silent until one of them moves; 0 means never."""
    min_pair_score: float = 0.2
    """Pairs whose best score is lower are not tracked at all."""
    track_memory_s: float = 2.0
    """How long an unseen human or object keeps its id; at least `gap_s`."""
    thresholds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """(enter, leave) by name of the interaction, where these differ; as `hoistream calibrate` suggests."""

    def __post_init__(self) -> None:
        for name in (
            "smoothing_s", "min_duration_s", "gap_s", "update_interval_s", "max_event_s", "stationary_s",
            "track_memory_s",
        ):  # fmt: skip
            if not getattr(self, name) >= 0:
                raise InputError(f"tracker: {name} must be 0 or more seconds, got {getattr(self, name)}")
        both = {"enter_score, leave_score": self.thresholds_of(None), **self.thresholds}
        for name, (enter, leave) in both.items():
            if not 0 <= leave <= enter <= 1:
                raise InputError(
                    f"tracker: {name}: expected 0 <= leave <= enter <= 1, got enter {enter}, leave {leave}"
                )

    def thresholds_of(self, name: str | None) -> tuple[float, float]:
        """Return (enter, leave) of the interaction called `name`; None gives the common ones."""
        if name is not None and name in self.thresholds:
            enter, leave = self.thresholds[name]
            return enter, leave
        leave_score = LEAVE_RATIO * self.enter_score if self.leave_score is None else self.leave_score
        return self.enter_score, leave_score


LEAVE_RATIO = 0.65
"""Source: the closest published live tracker enters at 0.3 and leaves at 0.65 of that."""


@dataclass(slots=True)
class Episode:
    """One interaction of one pair, from its first evidence; `started_s` is None until an event opened."""

    onset_s: float  # first frame at or above the enter score
    evidence_s: float  # last frame whose own score was at or above the leave score
    low_since_s: float | None = None  # since when the smoothed score is below leave, while the pair is seen
    started_s: float | None = None
    updated_s: float = 0.0
    peak_score: float = 0.0

    @property
    def is_open(self) -> bool:
        """Whether `started` was published and `ended` was not."""
        return self.started_s is not None


@dataclass(frozen=True)
class Limits:
    """The thresholds of one interaction and the times that go with them; decides, and says why."""

    enter: float
    leave: float
    settings: TrackerSettings
    longest_s: float = field(init=False)
    longest_still_s: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "longest_s", self.settings.max_event_s or math.inf)
        object.__setattr__(self, "longest_still_s", self.settings.stationary_s or math.inf)

    def opens(self, episode: Episode, score: float, t_s: float) -> str | None:
        """Return why the episode opens at `t_s`, or None."""
        held_s = t_s - episode.onset_s
        if score < self.enter or held_s < self.settings.min_duration_s - 1e-9:
            return None
        return f"score {score:.2f} ≥ enter {self.enter:.2f}, evidence for {held_s:.1f} s"

    def holds(self, episode: Episode, score: float, unseen_s: float, still_s: float, t_s: float) -> bool:
        """Whether an open episode plainly goes on: what `closes` would find out, for nearly every frame and faster."""
        if score < self.leave or unseen_s > 0 or still_s >= self.longest_still_s or episode.started_s is None:
            return False
        episode.low_since_s = None
        return t_s - episode.started_s < self.longest_s

    def closes(
        self, episode: Episode, score: float, unseen_s: float, still_s: float, t_s: float
    ) -> tuple[str, str] | None:
        """Return the reason code and the reason in words if an open episode closes at `t_s`, or None."""
        settings = self.settings
        assert episode.started_s is not None
        if unseen_s > 0:
            if unseen_s >= settings.gap_s - 1e-9:
                return "lost", f"pair unseen for {unseen_s:.1f} s ≥ gap {settings.gap_s:.1f} s"
        elif score >= self.leave:
            episode.low_since_s = None
        else:
            episode.low_since_s = t_s if episode.low_since_s is None else episode.low_since_s
            low_s = t_s - episode.low_since_s
            if low_s >= settings.min_duration_s - 1e-9:
                return "score", f"score {score:.2f} < leave {self.leave:.2f} for {low_s:.1f} s"
        lasted_s = t_s - episode.started_s
        if 0 < settings.max_event_s <= lasted_s:
            return "max_duration", f"lasted {lasted_s:.1f} s ≥ max_event_s {settings.max_event_s:.1f}"
        if 0 < settings.stationary_s <= min(still_s, lasted_s):
            return "stationary", f"human and object still for {still_s:.1f} s; silent until one moves"
        return None
