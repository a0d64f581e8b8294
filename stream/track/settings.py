"""How scores of pairs become events: what can be set, in scores and seconds."""

from __future__ import annotations

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
