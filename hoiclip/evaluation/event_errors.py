"""Why events are wrong: what each missed interaction and each false event has to do with the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hoiclip.evaluation.event_types import PredictedEvent, TrueInteraction, who
from hoiclip.evaluation.events import MIN_TEMPORAL_IOU, Candidates

MissedCause = Literal["split", "time", "person", "verb", "object", "silent"]
FalseCause = Literal["repeat", "time", "outside", "verb", "object", "person", "idle", "nobody"]

MISSED_CAUSES: dict[str, str] = {
    "split": "told in pieces that together cover it",
    "time": "told, with too little overlap in time",
    "person": "told at that time, of somebody else or nobody",
    "verb": "the same person and kind of object, with another verb",
    "object": "the same person and verb, with another kind of object",
    "silent": "nothing told of it",
}
FALSE_CAUSES: dict[str, str] = {
    "repeat": "one of several pieces told of one true interaction",
    "time": "the right interaction and person, with too little overlap in time",
    "outside": "the right interaction and person, up to 2 s before or after",
    "verb": "the person does something else with that kind of object",
    "object": "the person does that with another kind of object",
    "person": "somebody else does that",
    "idle": "the person does nothing of the kind",
    "nobody": "nobody is there",
}
NEAR_S = 2.0


@dataclass(frozen=True)
class MissedInteraction:
    """A true interaction that no event matches."""

    video: str
    true: TrueInteraction
    cause: MissedCause
    events: tuple[PredictedEvent, ...]  # what was told instead


@dataclass(frozen=True)
class FalseEvent:
    """An event that matches no true interaction."""

    video: str
    event: PredictedEvent
    cause: FalseCause
    true: tuple[TrueInteraction, ...]  # what was true instead


@dataclass(frozen=True)
class EventErrors:
    """Every error of all videos, with its cause."""

    missed: tuple[MissedInteraction, ...]
    false: tuple[FalseEvent, ...]

    def summary(self) -> dict[str, Any]:
        """Return counts by cause, the largest first, ready for JSON."""
        return {
            "missed": dict(Counter(error.cause for error in self.missed).most_common()),
            "false": dict(Counter(error.cause for error in self.false).most_common()),
        }


def find_errors(compared: Sequence[Candidates]) -> EventErrors:
    """Return the errors of all videos, each with the first cause of `MISSED_CAUSES` or `FALSE_CAUSES` that fits."""
    missed: list[MissedInteraction] = []
    false: list[FalseEvent] = []
    for each in compared:
        chosen = each.match()
        humans = [who(each.truth, event) if each.truth.human_boxes else None for event in each.events]
        found, used = {i for i, _ in chosen}, {j for _, j in chosen}
        missed += [_missed(each, i, humans) for i in range(len(each.true)) if i not in found]
        false += [_false(each, j, humans[j]) for j in range(len(each.events)) if j not in used]
    return EventErrors(tuple(missed), tuple(false))


def _missed(each: Candidates, i: int, humans: Sequence[int | None]) -> MissedInteraction:
    true = each.true[i]
    pieces = [event for j, event in enumerate(each.events) if each.same[i, j] and each.overlap[i, j] > 0]
    if len(pieces) > 1 and _union_iou(pieces, true) >= MIN_TEMPORAL_IOU:
        return MissedInteraction(each.video, true, "split", tuple(pieces))
    if pieces:
        return MissedInteraction(each.video, true, "time", tuple(pieces))
    beside = [(event, human) for event, human in zip(each.events, humans, strict=True) if _shared_s(event, true) > 0]
    same_name = [event for event, _ in beside if event.name == true.name and _iou(event, true) >= MIN_TEMPORAL_IOU]
    if same_name:
        return MissedInteraction(each.video, true, "person", tuple(same_name))
    theirs = [event for event, human in beside if human == true.human_id]
    others = [event for event in theirs if event.object == true.object and event.name not in _names(each, true)]
    if others:
        return MissedInteraction(each.video, true, "verb", tuple(others))
    same_verb = [event for event in theirs if _verb(event.name, event.object) == _verb(true.name, true.object)]
    if same_verb:
        return MissedInteraction(each.video, true, "object", tuple(same_verb))
    return MissedInteraction(each.video, true, "silent", ())


def _false(each: Candidates, j: int, human: int | None) -> FalseEvent:
    event = each.events[j]
    for i, true in enumerate(each.true):
        if each.same[i, j] and each.overlap[i, j] > 0:
            in_pieces = (each.same[i] & (each.overlap[i] > 0)).sum() > 1
            return FalseEvent(each.video, event, "repeat" if in_pieces else "time", (true,))
    for i, true in enumerate(each.true):
        if each.same[i, j] and max(true.start_s - event.end_s, event.start_s - true.end_s) <= NEAR_S:
            return FalseEvent(each.video, event, "outside", (true,))
    beside = [true for true in each.true if 2 * _shared_s(event, true) >= event.end_s - event.start_s]
    mine = [true for true in beside if true.human_id == human]
    if theirs := [true for true in mine if true.object == event.object]:
        return FalseEvent(each.video, event, "verb", tuple(theirs))
    if theirs := [true for true in mine if _verb(true.name, true.object) == _verb(event.name, event.object)]:
        return FalseEvent(each.video, event, "object", tuple(theirs))
    if theirs := [true for true in beside if true.name == event.name]:
        return FalseEvent(each.video, event, "person", tuple(theirs))
    return FalseEvent(each.video, event, "nobody" if human is None else "idle", tuple(mine))


def _names(each: Candidates, true: TrueInteraction) -> set[str]:
    """Return all that is true of the human at some time during `true`: events of these names are no confusion of it."""
    return {
        other.name
        for other in each.true
        if other.human_id == true.human_id and min(other.end_s, true.end_s) > max(other.start_s, true.start_s)
    }


def _verb(name: str, thing: str) -> str:
    return name.removesuffix(f" {thing}")


def _shared_s(event: PredictedEvent, true: TrueInteraction) -> float:
    return min(event.end_s, true.end_s) - max(event.start_s, true.start_s)


def _iou(event: PredictedEvent, true: TrueInteraction) -> float:
    shared = max(_shared_s(event, true), 0.0)
    return shared / max(event.end_s - event.start_s + true.end_s - true.start_s - shared, 1e-9)


def _union_iou(pieces: Sequence[PredictedEvent], true: TrueInteraction) -> float:
    """Return the temporal IoU of `true` with all that `pieces` cover together."""
    covered = shared = 0.0
    until = -1.0
    for piece in sorted(pieces, key=lambda each: each.start_s):
        start = max(piece.start_s, until)
        if piece.end_s > start:
            covered += piece.end_s - start
            shared += max(min(piece.end_s, true.end_s) - max(start, true.start_s), 0.0)
            until = piece.end_s
    return shared / max(covered + true.end_s - true.start_s - shared, 1e-9)
