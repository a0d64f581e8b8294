"""Pairs over time, and their interactions as transitions: started, updated, ended. One tracker a source."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stream.track.absence import note_absence
from stream.track.association import associate
from stream.track.boxes import to_corners
from stream.track.decision import decide
from stream.track.detected import DetectedPairs, worth_tracking
from stream.track.episodes import Episodes
from stream.track.idle import find_idle
from stream.track.lifecycle import LifeCycle
from stream.track.matching import KnownPairs
from stream.track.motion import BoxTracks
from stream.track.pairs import PairTable
from stream.track.replacement import ReplacementDetector
from stream.track.saved import Arrays, as_optional, optional, part, prefixed
from stream.track.scenery import SceneryPlaces, watch_movement
from stream.track.scores import smooth, smoothing_gain, with_evidence
from stream.track.settings import TrackerSettings
from stream.track.sighting import Sighting, nothing_seen, sight
from stream.track.transitions import PairView, Reporter, Transition

if TYPE_CHECKING:
    from hoiclip.postprocess import PairDetections

__all__ = ["PairTracker", "PairView", "TrackerSettings", "Transition"]

logger = logging.getLogger(__name__)

VELOCITY_S = 0.3  # smoothing of velocities
COAST_S = 0.5  # unseen boxes travel at most this long at their last speed


class PairTracker:
    """Follow the pairs of one source and decide when their interactions begin and end.

    Deterministic: equal calls give equal transitions and ids. Ids are counted per tracker and never reused.
    Not thread-safe.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        object_names: Sequence[str],
        no_interaction: Sequence[bool] | NDArray[np.bool_] | None = None,
        settings: TrackerSettings | None = None,
        source_id: str = "",
    ) -> None:
        """Prepare for detections with K = `len(names)` scores a pair.

        Args:
            names: interactions, such as ``ride bicycle``; thresholds are looked up by them.
            object_names: the classes that `PairDetections.object_labels` counts.
            no_interaction: [K] classes that say "nothing happens"; they never become events.
            settings: thresholds and times.
            source_id: for log lines.
        """
        self.settings = settings or TrackerSettings()
        self.names = tuple(names)
        for unknown in sorted(set(self.settings.thresholds) - set(self.names)):
            logger.warning("%s: thresholds for %r are unused: no such interaction here", source_id, unknown)
        is_silent = np.zeros(len(names), np.bool_) if no_interaction is None else np.asarray(no_interaction, np.bool_)
        self._life_cycle = LifeCycle(self.names, is_silent, self.settings)
        self._reporter = Reporter(self.names, object_names)
        self._last_s: float | None = None
        self._next_pair_id = 1
        self._tracks = BoxTracks(velocity_s=VELOCITY_S, coast_s=COAST_S)
        self._pairs = PairTable.empty(len(self.names))
        self._episodes = Episodes.empty()
        self._scenery = SceneryPlaces(len(self.names))
        self._replacement = ReplacementDetector()

    def update(
        self,
        t_s: float,
        detections: PairDetections,
        corrupt: bool = False,
        cut: bool = False,
        size_hw: tuple[int, int] | None = None,
    ) -> list[Transition]:
        """Take the pairs of the frame at media time `t_s` and return what began, went on and ended.

        Args:
            t_s: media time; frames come in order. A step back is a restarted clock: everything ends there.
            detections: the frame's pairs, in source pixels.
            corrupt: the decoder marked the frame as damaged. It opens nothing and counts as not seen.
            size_hw: the frame's height and width in pixels; without it nothing is known to leave it at an edge.
            cut: the caller knows that this frame begins another view: everything ends, ids start anew.
        """
        transitions: list[Transition] = []
        if self._last_s is not None and t_s < self._last_s:
            transitions += self._end_all(self._last_s, "clock", f"media time went back to {t_s:.1f} s")
            self._last_s = None
        elif cut and self._last_s is not None:
            transitions += self._end_all(t_s, "cut", "the picture changed to another view")
            self._scenery.forget()
        elapsed_s = None if self._last_s is None else t_s - self._last_s
        self._last_s = t_s
        self._pairs.is_seen[:] = False
        if not corrupt:
            transitions += self._take(t_s, elapsed_s, detections, size_hw)
        decision = decide(self._pairs, self._episodes, self._tracks, self._life_cycle, self._reporter, t_s=t_s)
        self._episodes = decision.episodes
        self._drop_pairs(decision.continued)
        self._drop_old(t_s)
        return transitions + decision.transitions

    def flush(self, t_s: float, reason: str) -> list[Transition]:
        """End everything that is open, for `reason` (a code such as ``end_of_file``), and forget all tracks."""
        return self._end_all(t_s, reason, reason.replace("_", " "))

    def snapshot(self) -> list[PairView]:
        """Return the pairs seen in the last frame and those with an open interaction, by pair id."""
        return self._reporter.views(self._pairs, self._episodes)

    def saved(self) -> dict[str, NDArray[Any]]:
        """Return all that later frames depend on, as named arrays that are the tracker's own: write them at once."""
        return {
            "last_s": optional(self._last_s),
            "next_pair_id": np.array([self._next_pair_id], np.int64),
            **prefixed("tracks", self._tracks.saved()),
            **prefixed("pairs", self._pairs._asdict()),
            **prefixed("episodes", self._episodes._asdict()),
            **prefixed("scenery", self._scenery.saved()),
            **prefixed("replacement", self._replacement.saved()),
        }

    def restore(self, arrays: Arrays) -> None:
        """Go on from what `saved` of a tracker with equal names and settings returned. Raises KeyError, ValueError."""
        self._last_s = as_optional(arrays["last_s"])
        self._next_pair_id = int(arrays["next_pair_id"][0])
        self._tracks.restore(part("tracks", arrays))
        self._pairs = PairTable(**part("pairs", arrays))
        self._episodes = Episodes(**part("episodes", arrays))
        self._scenery.restore(part("scenery", arrays))
        self._replacement.restore(part("replacement", arrays))

    # -- one frame -----------------------------------------------------------------------------------------------

    def _take(
        self, t_s: float, elapsed_s: float | None, detections: PairDetections, size_hw: tuple[int, int] | None
    ) -> list[Transition]:
        """Move tracks, pairs and scores on by a frame; return what ends when it begins another view."""
        detected = worth_tracking(detections, self.settings.min_pair_score)
        sighting = self._sight(detected, t_s) if len(detected.labels) else nothing_seen(len(self.names))
        pairs, rows = self._pairs, sighting.rows
        pairs.seen_s[rows] = pairs.in_view_s[rows] = t_s
        pairs.is_seen[rows], pairs.boxes[rows], pairs.absent_s[rows] = True, sighting.boxes, 0.0
        if len(rows) < pairs.num_pairs and elapsed_s is not None:
            sighting = self._with_idle(sighting, detections, size_hw, elapsed_s, t_s)
            rows = sighting.rows
        smooth(pairs, self._episodes, sighting, smoothing_gain(elapsed_s, self.settings.smoothing_s))
        if len(rows):
            self._episodes = with_evidence(self._episodes, pairs, sighting, self._life_cycle, t_s)
            watch_movement(pairs, rows, t_s)
        humans = frozenset(pairs.human_ids.take(rows).tolist())
        gone = self._replacement.observe(humans, any_found=sighting.any_found, t_s=t_s)
        return self._end_replaced(gone, t_s) if gone else []

    def _sight(self, detected: DetectedPairs, t_s: float) -> Sighting:
        """Find the detected pairs among those of before, and add the new ones to these."""
        pairs = self._pairs
        affinity = np.minimum(pairs.smoothed @ detected.scores.T, 1.0)
        known = KnownPairs(pairs.human_rows, pairs.object_rows, pairs.labels, affinity)
        match = associate(self._tracks, known, detected, t_s)
        sighting = sight(self._tracks, known, match, detected, t_s=t_s, next_pair_id=self._next_pair_id)
        if sighting.new is not None:
            self._scenery.mute(sighting.new)
            self._next_pair_id += sighting.new.num_pairs
            self._pairs = pairs.followed_by(sighting.new)
        return sighting

    def _with_idle(
        self,
        sighting: Sighting,
        detections: PairDetections,
        size_hw: tuple[int, int] | None,
        elapsed_s: float,
        t_s: float,
    ) -> Sighting:
        """Return the sighting with pairs that were doing something and do little now; of others note why they lack."""
        pairs, tracks = self._pairs, self._tracks
        is_wanted = np.zeros(pairs.num_pairs, np.bool_)
        is_wanted[self._episodes.rows] = True
        is_wanted &= ~pairs.is_seen
        wanted = is_wanted.nonzero()[0]
        if not len(wanted):
            return sighting
        note_absence(pairs, tracks, wanted, size_hw, elapsed_s=elapsed_s, t_s=t_s)
        idle = find_idle(pairs, tracks, wanted, detections, min_score=self.settings.min_pair_score, t_s=t_s)
        if idle is None:
            return sighting
        pairs.in_view_s[idle.rows], pairs.is_seen[idle.rows] = t_s, True
        pairs.boxes[idle.rows], pairs.absent_s[idle.rows] = idle.boxes, 0.0
        tracks.follow(pairs.human_rows[idle.rows], to_corners(idle.boxes[:, :4]), t_s)
        tracks.follow(pairs.object_rows[idle.rows], to_corners(idle.boxes[:, 4:]), t_s)
        return sighting._replace(
            rows=np.concatenate([sighting.rows, idle.rows]),
            boxes=np.concatenate([sighting.boxes, idle.boxes]),
            scores=np.concatenate([sighting.scores, idle.scores]),
        )

    # -- endings -------------------------------------------------------------------------------------------------

    def _end_all(self, t_s: float, reason: str, why: str) -> list[Transition]:
        """End and forget all pairs; what is scenery among them stays known by its place."""
        transitions = self._end(np.ones(self._pairs.num_pairs, np.bool_), t_s, reason, why)
        self._scenery.remember(self._pairs)
        self._tracks.keep(np.zeros(len(self._tracks), np.bool_))
        self._pairs = PairTable.empty(len(self.names))
        self._replacement = ReplacementDetector()
        return transitions

    def _end_replaced(self, gone: frozenset[int], t_s: float) -> list[Transition]:
        """End and forget the pairs of humans that were replaced, and the scenery: another view has begun."""
        is_gone = np.isin(self._pairs.human_ids, list(gone))
        transitions = self._end(is_gone, t_s, "cut", f"all {len(gone)} people were replaced at once")
        is_kept = np.ones(len(self._tracks), np.bool_)
        for track_rows in (self._pairs.human_rows, self._pairs.object_rows):
            is_kept[track_rows[is_gone]] = False
        for track_rows in (self._pairs.human_rows, self._pairs.object_rows):
            is_kept[track_rows[~is_gone]] = True
        self._drop_pairs(is_gone.nonzero()[0].tolist())
        self._keep_tracks(is_kept)
        self._scenery.forget()
        return transitions

    def _end(self, is_over: NDArray[np.bool_], t_s: float, reason: str, why: str) -> list[Transition]:
        """End the episodes of the pairs that `is_over` [N] says."""
        pairs, episodes = self._pairs, self._episodes
        is_ended = is_over[episodes.rows]
        self._episodes = episodes.at(~is_ended)
        ended = episodes.one_by_one((is_ended & episodes.is_open).nonzero()[0])
        return [self._reporter.transition("ended", pairs, episode, t_s, reason, why) for episode in ended]

    # -- forgetting ----------------------------------------------------------------------------------------------

    def _drop_old(self, t_s: float) -> None:
        """Forget what was not seen for so long that nothing of it can be open any more."""
        memory_s = max(self.settings.track_memory_s, self.settings.gap_s)
        is_kept = self._tracks.seen_s >= t_s - memory_s
        if not is_kept.all():
            is_gone = ~(is_kept[self._pairs.human_rows] & is_kept[self._pairs.object_rows])
            self._drop_pairs(is_gone.nonzero()[0].tolist())
            self._keep_tracks(is_kept)

    def _keep_tracks(self, is_kept: NDArray[np.bool_]) -> None:
        """Forget the other tracks, which belong to no pair any more."""
        self._tracks.keep(is_kept)
        new_rows = np.cumsum(is_kept) - 1
        for track_rows in (self._pairs.human_rows, self._pairs.object_rows):
            track_rows[:] = new_rows[track_rows]

    def _drop_pairs(self, rows: list[int]) -> None:
        """Forget pairs and their episodes; what is scenery among them stays known by its place."""
        if rows:
            self._scenery.remember(self._pairs.at(np.array(rows)))
            keep = np.ones(self._pairs.num_pairs, np.bool_)
            keep[rows] = False
            self._pairs, self._episodes = self._pairs.at(keep), self._episodes.of_kept_pairs(keep)
