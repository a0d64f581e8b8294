"""Small events and rules for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from stream.events.schema import CoverageGapEvent, Event, EventNumbers, InteractionEvent, LineCrossedEvent
from stream.rules.language import RulesFile

EPOCH = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)  # a Monday


class Scene:
    """Events of one source in order; of a camera when `live`, else of a recording."""

    def __init__(self, source_id: str = "cam", run_id: str = "run", *, live: bool = False) -> None:
        self._numbers, self._live = EventNumbers(run_id, source_id), live
        self._started_s: dict[str, float] = {}
        self.events: list[Event] = []

    def say(self, t: float, kind: str, interaction: str, *, human: int = 1, **fields: Any) -> InteractionEvent:
        """Add an event of an interaction; its id is `interaction` and `human`, or `life`."""
        life = fields.pop("life", f"{interaction} {human}")
        if kind == "started":
            self._started_s[life] = t - fields.get("duration_s", 0.0)
        duration_s = max(0.0, t - self._started_s.get(life, t))
        event = InteractionEvent(
            **(self._values(t, interaction, human, life) | {"type": kind, "duration_s": duration_s} | fields)
        )
        self.events.append(event)
        return event

    def cross(self, t: float, interaction: str, line: str, direction: str, *, human: int = 1) -> LineCrossedEvent:
        """Add a crossing."""
        values = self._values(t, interaction, human, f"{interaction} {human}")
        event = LineCrossedEvent(**values, duration_s=0.0, line=line, direction=direction, count=1)
        self.events.append(event)
        return event

    def blind(self, from_s: float, to_s: float) -> CoverageGapEvent:
        """Add a blind stretch, told at its end."""
        event = CoverageGapEvent(
            **self._numbers.next(),
            media_time_s=to_s,
            capture_time=self._wall(to_s),
            from_media_s=from_s,
            to_media_s=to_s,
            blind_s=to_s - from_s,
            reason="stalled",
        )
        self.events.append(event)
        return event

    def _wall(self, t: float) -> datetime | None:
        return EPOCH + timedelta(seconds=t) if self._live else None

    def _values(self, t: float, interaction: str, human: int, life: str) -> dict[str, Any]:
        verb, _, thing = interaction.partition(" ")
        return {
            **self._numbers.next(),
            "media_time_s": t,
            "capture_time": self._wall(t),
            "interaction_id": life,
            "pair_id": human,
            "human_id": human,
            "object_id": human,
            "verb": verb,
            "object": thing or "thing",
            "interaction": interaction,
            "prompt": "",
            "score": 0.5,
            "peak_score": 0.5,
            "human_box_xyxy_px": (0, 0, 1, 1),
            "object_box_xyxy_px": (0, 0, 1, 1),
            "frame_width_px": 10,
            "frame_height_px": 10,
            "started_media_s": self._started_s.get(life, t),
            "reason": "score",
            "why": "",
            "model_fingerprint": "m",
            "vocabulary_fingerprint": "v",
        }


def rules_of(*rules: dict[str, Any], timezone: str = "UTC") -> RulesFile:
    """Return rules; one without a name gets its number."""
    named = [{"name": f"rule {number}", **rule} for number, rule in enumerate(rules)]
    return RulesFile.model_validate({"timezone": timezone, "rules": named})
