"""What happens to one source's frames after the engine: scores, pairs, tracks, events, in order."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hoiclip.classifier import TextClassifier
from hoiclip.familiarity import TrainingFeatures
from hoiclip.postprocess import IN_VIEW_SCORE, PairDetections, score, to_pairs
from hoiclip.types import Outputs
from stream.events.schema import CoverageGapEvent, Event, EventNumbers, SourceStateEvent
from stream.ingest.batcher import FrameMeta
from stream.ingest.coverage import CoverageGap
from stream.ingest.source_state import SourceMessage
from stream.run.footage import REASON, FootageWatch, Unlike
from stream.run.interaction_events import InteractionEvents
from stream.track.cuts import CutDetector
from stream.track.saved import Arrays, part, prefixed
from stream.track.settings import TrackerSettings
from stream.track.tracker import PairTracker
from stream.track.transitions import PairView, Transition
from stream.zones.layout import Layout
from stream.zones.watch import ZoneWatch

logger = logging.getLogger(__name__)
PairWatcher = Callable[[float, list[PairView]], object]
"""Gets the media time and the live pairs of each frame."""


@dataclass(frozen=True)
class Head:
    """How one source's embeddings become pairs; sources may share one."""

    classifier: TextClassifier
    model_fingerprint: str
    enhancement: bool = False
    min_pair_score: float = 0.2
    training: TrainingFeatures | None = None  # what the model knows; None where its card does not say

    def pairs(self, outputs: Outputs[NDArray[np.float32]], size_hw: tuple[int, int]) -> PairDetections:
        """Return the pairs of one frame, outputs of batch 1, in pixels of `size_hw`."""
        scores = score(outputs, self.classifier, enhancement=self.enhancement)
        return to_pairs(
            scores, 0, size_hw, self.classifier, min_score=self.min_pair_score, min_object_score=IN_VIEW_SCORE
        )

    def nothing(self) -> PairDetections:
        """Return a frame without pairs."""
        boxes = np.zeros((0, 4), np.float32)
        scores = np.zeros((0, len(self.classifier)), np.float32)
        return PairDetections(boxes, boxes, np.zeros(0, np.int64), np.zeros(0, np.float32), scores)


class SavedRun(NamedTuple):
    """A recording's run after one of its frames."""

    record: dict[str, Any]  # ready for JSON
    arrays: Arrays


@dataclass
class SourceRun:
    """One source's head, tracker and event numbers; used from one thread, frames in order."""

    source_id: str
    run_id: str
    head: Head
    tracker: PairTracker
    on_pairs: PairWatcher | None = None
    is_live: bool = False
    layout: Layout = field(default_factory=Layout)
    frames: int = 0
    last_s: float = 0.0  # media time of the last frame
    seen_at_s: float | None = None  # monotonic clock at the capture of a camera's last frame
    _captured_s: float | None = None  # wall clock of the last frame; None for recordings
    _numbers: EventNumbers = field(init=False)
    _cuts: CutDetector = field(default_factory=CutDetector)
    _size_hw: tuple[int, int] = (1, 1)
    _last: PairDetections | None = None  # what the engine saw last, outside masks
    _interactions: InteractionEvents = field(init=False)
    _zones: ZoneWatch | None = field(init=False)
    _footage: FootageWatch | None = field(init=False)

    def __post_init__(self) -> None:
        self._numbers = EventNumbers(self.run_id, self.source_id)
        settings = self.tracker.settings
        memory_s = max(settings.gap_s, settings.track_memory_s)
        self._zones = ZoneWatch(self.layout, memory_s) if self.layout else None
        self._footage = FootageWatch(self.head.training) if self.head.training is not None else None
        self._interactions = InteractionEvents(
            self._numbers, self.head.classifier, self.head.model_fingerprint, self._zones
        )

    def frame(self, outputs: Outputs[NDArray[np.float32]], meta: FrameMeta, picture: NDArray[np.uint8]) -> list[Event]:
        """Return the events that a frame brings: outputs of batch 1 for `picture` uint8 [H, W, 3] (RGB, the canvas)."""
        self._size_hw = (meta.height, meta.width)
        self._last = self.head.pairs(outputs, self._size_hw)
        if self.layout.masks:
            self._last = _outside(self._last, self.layout, self._size_hw)
        cut = not meta.corrupt and self._cuts.observe(picture)  # damage is no evidence of another view
        unlike = None if self._footage is None or meta.corrupt else self._footage.observe(outputs, meta.pts_s)
        events = self._track(meta, self._last, cut=cut)
        return events if unlike is None else [*events, self._unlike(unlike)]

    def still(self, meta: FrameMeta) -> list[Event]:
        """Return the events of a frame in which nothing is new: what the engine saw last goes on."""
        return self._track(meta, self._last or self.head.nothing(), cut=False)

    def _track(self, meta: FrameMeta, detections: PairDetections, *, cut: bool) -> list[Event]:
        self.frames += 1
        self.last_s, self._captured_s = meta.pts_s, meta.capture_wall_s
        if meta.capture_wall_s is not None:
            self.seen_at_s = time.monotonic() - max(0.0, time.time() - meta.capture_wall_s)
        transitions = self.tracker.update(meta.pts_s, detections, corrupt=meta.corrupt, cut=cut, size_hw=self._size_hw)
        views = self.tracker.snapshot() if self._zones is not None or self.on_pairs is not None else []
        if self.on_pairs is not None:
            self.on_pairs(meta.pts_s, views)
        if self._zones is None:
            return self._events(transitions)
        changes = self._zones.update(meta.pts_s, views, self._size_hw)  # before the events, which say where pairs are
        events = self._events(transitions)
        events += self._interactions.changed(changes, views, meta.pts_s, self._size_hw, self._capture_time(meta.pts_s))
        self._zones.forget_old(meta.pts_s)
        return events

    def saved(self) -> SavedRun:
        """Return all that later frames of a recording depend on; its arrays are this run's own: write them at once."""
        record = {
            "frames": self.frames,
            "last_s": self.last_s,
            "seq": self._numbers.seq,
            "size_hw": list(self._size_hw),
            "open": self._interactions.saved(),
            "zones": self._zones.saved() if self._zones is not None else None,
        }
        arrays = {**prefixed("tracker", self.tracker.saved()), **prefixed("cuts", self._cuts.saved())}
        if self._footage is not None:
            arrays |= prefixed("footage", self._footage.saved())
        if self._last is not None:
            arrays |= prefixed("last", vars(self._last))
        return SavedRun(record, arrays)

    def restore(self, saved: SavedRun) -> None:
        """Go on from what `saved` of a run with the same identity returned. Raises KeyError, TypeError, ValueError."""
        record = saved.record
        self.frames, self.last_s = int(record["frames"]), float(record["last_s"])
        self._numbers.seq = int(record["seq"])
        height, width = record["size_hw"]
        self._size_hw = int(height), int(width)
        self._interactions.restore(record["open"])
        if self._zones is not None:
            self._zones.restore(record["zones"])
        self.tracker.restore(part("tracker", saved.arrays))
        self._cuts.restore(part("cuts", saved.arrays))
        if self._footage is not None:
            self._footage.restore(part("footage", saved.arrays))
        last = part("last", saved.arrays)
        self._last = PairDetections(**last) if last else None

    def _unlike(self, unlike: Unlike) -> SourceStateEvent:
        """Say loudly that the model knows nothing like what this source shows."""
        logger.warning("%s: %s", self.source_id, unlike)
        return SourceStateEvent(
            **self._numbers.next(),
            media_time_s=self.last_s,
            capture_time=self._capture_time(self.last_s),
            state="up",
            reason=REASON,
            why=str(unlike),
        )

    def changed(self, message: SourceMessage) -> list[Event]:
        """Return the event of a source that is something else from here on; none where its state stays the same."""
        if message.state is None:
            return []
        event = SourceStateEvent(
            **self._numbers.next(),
            media_time_s=self.last_s,
            capture_time=_utc(message.wall_s) if self.is_live else None,
            state=message.state,
            reason=message.reason,
            why=message.detail,
        )
        return [event]

    def unseen(self) -> list[Event]:
        """Return the ends of what was going on when a camera went away: it has not been seen for the tracker's gap."""
        t_s = self.last_s + self.tracker.settings.gap_s  # no later: the next frame may be on its way
        return self._events(self.tracker.update(t_s, self.head.nothing(), corrupt=True))

    def interrupted(self, gap: CoverageGap) -> list[Event]:
        """Return the event of a blind stretch; what was going on closes by the tracker's gap tolerance."""
        event = CoverageGapEvent(
            **self._numbers.next(),
            media_time_s=gap.to_media_s,
            capture_time=_utc(gap.to_wall_s),
            from_media_s=gap.from_media_s,
            to_media_s=gap.to_media_s,
            from_time=_utc(gap.from_wall_s),
            to_time=_utc(gap.to_wall_s),
            blind_s=gap.blind_s,
            reason=gap.reason,
            why=gap.why,
            open=gap.open,
        )
        return [event]

    def finish(self, reason: str) -> list[Event]:
        """Close every open interaction at the last frame's time."""
        return self._events(self.tracker.flush(self.last_s, reason))

    def _events(self, transitions: list[Transition]) -> list[Event]:
        return [self._interactions.event(step, self._size_hw, self._capture_time(step.t_s)) for step in transitions]

    def _capture_time(self, media_s: float) -> datetime | None:
        """Return the time on the wall at a media time, by that of the last frame; None for recordings."""
        return _utc(None if self._captured_s is None else self._captured_s + media_s - self.last_s)


def _outside(detections: PairDetections, layout: Layout, size_hw: tuple[int, int]) -> PairDetections:
    """Return the pairs whose human does not stand in a mask."""
    kept = ~layout.is_masked(detections.human_boxes_xyxy, size_hw)
    return PairDetections(
        detections.human_boxes_xyxy[kept],
        detections.object_boxes_xyxy[kept],
        detections.object_labels[kept],
        detections.object_scores[kept],
        detections.scores[kept],
    )


def source_tracker(source_id: str, classifier: TextClassifier, settings: TrackerSettings) -> PairTracker:
    """Return the tracker of one source."""
    return PairTracker(
        classifier.names,
        object_names=classifier.object_names,
        no_interaction=classifier.no_interaction,
        settings=settings,
        source_id=source_id,
    )


def _utc(wall_s: float | None) -> datetime | None:
    return None if wall_s is None else datetime.fromtimestamp(wall_s, UTC)
