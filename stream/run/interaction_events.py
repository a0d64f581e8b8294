"""The tracker's transitions, and what zones and lines see, as events of one source."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple, TypedDict

from hoiclip.classifier import TextClassifier
from stream.events.schema import Event, EventNumbers, InteractionEvent, LineCrossedEvent
from stream.track.transitions import Box, PairView, Transition
from stream.zones.watch import Changes, ZoneWatch


class Places(TypedDict):
    """Where a pair is, in the fields of an event."""

    zones: tuple[str, ...]
    dwell_s: dict[str, float]


class _Frame(NamedTuple):
    t_s: float
    size_hw: tuple[int, int]
    capture_time: datetime | None


class InteractionEvents:
    """Make the events of the interactions of one source; keeps the newest event of each open one."""

    def __init__(
        self, numbers: EventNumbers, classifier: TextClassifier, model_fingerprint: str, zones: ZoneWatch | None
    ) -> None:
        self._numbers, self._classifier, self._model_fingerprint = numbers, classifier, model_fingerprint
        self._zones = zones
        self._open: dict[tuple[int, int], InteractionEvent] = {}  # by pair and interaction

    def saved(self) -> list[Any]:
        """Return the open interactions' events, ready for JSON."""
        return [[*key, event.model_dump(mode="json")] for key, event in self._open.items()]

    def restore(self, saved: list[Any]) -> None:
        """Go on from what `saved` returned. Raises ValueError."""
        self._open = {(int(pair), int(k)): InteractionEvent.model_validate(event) for pair, k, event in saved}

    def event(
        self, transition: Transition, size_hw: tuple[int, int], capture_time: datetime | None
    ) -> InteractionEvent:
        """Return the event of a step in an interaction's life, in a frame of `size_hw`."""
        classifier, index = self._classifier, transition.interaction
        key = (transition.pair_id, index)
        if transition.kind == "started":
            interaction_id = self._numbers.interaction_id(
                transition.pair_id, classifier.names[index], transition.started_s
            )
        else:
            interaction_id = self._open[key].interaction_id
        height, width = size_hw
        event = InteractionEvent(
            **self._numbers.next(),
            type=transition.kind,
            media_time_s=transition.t_s,
            capture_time=capture_time,
            interaction_id=interaction_id,
            pair_id=transition.pair_id,
            human_id=transition.human_id,
            object_id=transition.object_id,
            verb=classifier.verbs[index],
            object=transition.object,
            interaction=classifier.names[index],
            prompt=classifier.prompts[index],
            score=transition.score,
            peak_score=transition.peak_score,
            human_box_xyxy_px=_inside(transition.human_box_xyxy_px, width, height),
            object_box_xyxy_px=_inside(transition.object_box_xyxy_px, width, height),
            frame_width_px=width,
            frame_height_px=height,
            started_media_s=transition.started_s,
            duration_s=transition.duration_s,
            reason=transition.reason,
            why=transition.why,
            model_fingerprint=self._model_fingerprint,
            vocabulary_fingerprint=classifier.fingerprint,
            **self._places(transition.pair_id, transition.started_s, transition.started_s + transition.duration_s),
        )
        if transition.kind == "ended":
            del self._open[key]
        else:
            self._open[key] = event
        return event

    def _places(self, pair_id: int, from_s: float, until_s: float) -> Places:
        """Return the zones that a pair is in, and for how long it was in each between two media times."""
        if self._zones is None:
            return {"zones": (), "dwell_s": {}}
        return {"zones": self._zones.zones_of(pair_id), "dwell_s": self._zones.dwell_s(pair_id, from_s, until_s)}

    def changed(
        self,
        changes: Changes,
        views: list[PairView],
        t_s: float,
        size_hw: tuple[int, int],
        capture_time: datetime | None,
    ) -> list[Event]:
        """Return the events of open interactions whose pair came into a zone, left one or crossed a line."""
        events: list[Event] = []
        if self._zones is None or not (changes.moves or changes.crossings):
            return events
        by_pair = {view.pair_id: view for view in views}
        at = _Frame(t_s, size_hw, capture_time)
        for move in changes.moves:
            steps = [f"entered {name}" for name in move.entered] + [f"left {name}" for name in move.left]
            for key in self._open_of(move.pair_id):
                if self._open[key].media_time_s != round(t_s, 3):  # else an event of this frame says it already
                    fields = {"type": "updated", "reason": "zone", "why": ", ".join(steps)}
                    self._open[key] = InteractionEvent(**(self._now(key, at, by_pair[move.pair_id]) | fields))
                    events.append(self._open[key])
        for crossing in changes.crossings:
            for key in self._open_of(crossing.pair_id):
                crossed: dict[str, Any] = {
                    "reason": "line",
                    "why": f"crossed {crossing.line}, {crossing.direction}",
                    "line": crossing.line,
                    "direction": crossing.direction,
                    "count": self._zones.count(crossing, self._open[key].interaction),
                }
                events.append(LineCrossedEvent(**(self._now(key, at, by_pair[crossing.pair_id]) | crossed)))
        return events

    def _open_of(self, pair_id: int) -> list[tuple[int, int]]:
        return [key for key in self._open if key[0] == pair_id]

    def _now(self, key: tuple[int, int], at: _Frame, view: PairView) -> dict[str, Any]:
        """Return the fields of an event about an open interaction, as its pair is seen in a frame."""
        event, (height, width) = self._open[key], at.size_hw
        score = min(max(dict(view.interactions)[event.interaction], 0.0), 1.0)
        fields = dict(event)
        fields.pop("type")
        return fields | {
            **self._numbers.next(),
            "media_time_s": at.t_s,
            "capture_time": at.capture_time,
            "score": score,
            "peak_score": max(score, event.peak_score),
            "human_box_xyxy_px": _inside(view.human_box_xyxy_px, width, height),
            "object_box_xyxy_px": _inside(view.object_box_xyxy_px, width, height),
            "duration_s": max(0.0, at.t_s - event.started_media_s),
            **self._places(key[0], event.started_media_s, at.t_s),
        }


def _inside(box: Box, width: int, height: int) -> Box:
    """Return the part of a box that is in the frame: the model's boxes may reach a little beyond it."""
    left, top, right, bottom = box
    return min(max(left, 0), width), min(max(top, 0), height), min(max(right, 0), width), min(max(bottom, 0), height)
