"""Pairs over time, and their interactions as transitions: started, updated, ended. One tracker a source."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from stream.track.association import MAX_HUMAN_DISTANCE, MAX_OBJECT_DISTANCE, associate, box_distance
from stream.track.lifecycle import Episode, Limits, TrackerSettings
from stream.track.motion import BoxTracks
from stream.track.pairs import Box, Pair, PairView, Transition

if TYPE_CHECKING:
    from hoiclip.postprocess import PairDetections

__all__ = ["PairTracker", "PairView", "TrackerSettings", "Transition"]

logger = logging.getLogger(__name__)

VELOCITY_S = 0.3  # smoothing of velocities
COAST_S = 0.5  # unseen boxes travel at most this long at their last speed
CUT_CONFIRM_S = 0.4  # everybody new for so long, at once: the camera was moved or the film was cut
STILL_SHIFT = 0.06  # of the human's size: less is a detector's jitter
SAME_PLACE_IOU = 0.7
HANDOVER_OVERLAP_S = 1.0  # how long an old pair may still be seen when its continuation shows first evidence
MAX_MUTED_PLACES = 64


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
        self.names, self._object_names, self._source_id = tuple(names), tuple(object_names), source_id
        for unknown in sorted(set(self.settings.thresholds) - set(self.names)):
            logger.warning("%s: thresholds for %r are unused: no such interaction here", source_id, unknown)
        limits = [self.settings.thresholds_of(name) for name in self.names]
        self._limits = [Limits(enter, leave, self.settings) for enter, leave in limits]
        self._enter = np.array([enter for enter, _ in limits], np.float32)
        self._leave = np.array([leave for _, leave in limits], np.float32)
        silent = np.zeros(len(self.names), np.bool_) if no_interaction is None else np.asarray(no_interaction, np.bool_)
        self._enter[silent] = self._leave[silent] = np.inf  # never evidence
        self._lowest_leave = float(self._leave.min(initial=np.inf))
        self._next_pair_id = 1
        self._last_s: float | None = None
        self._muted_places: list[tuple[NDArray[np.float64], set[int]]] = []  # boxes as in `_boxes`, interactions
        self._tracks = BoxTracks(velocity_s=VELOCITY_S, coast_s=COAST_S)
        self._smoothed = np.zeros((16, len(self.names)), np.float32)
        self._boxes = np.zeros((16, 8))  # human and object xyxy in pixels, as last seen
        self._anchors = np.zeros((16, 8))  # the same when the pair last moved
        self._forget()

    def _forget(self) -> None:
        """Drop every track; ids go on counting."""
        self._tracks.drop_unseen_since(np.inf)
        self._pairs: dict[tuple[int, int], Pair] = {}  # by the keys of their tracks, in order of pair id
        self._free_rows = list(range(len(self._smoothed)))[::-1]
        self._seen: list[Pair] = []
        self._humans_before: set[int] = set()  # in the last clear frame
        self._before_cut: set[int] = set()  # humans that a cut may have taken away
        self._cut_since_s: float | None = None

    def update(
        self, t_s: float, detections: PairDetections, corrupt: bool = False, cut: bool = False
    ) -> list[Transition]:
        """Take the pairs of the frame at media time `t_s` and return what began, went on and ended.

        Args:
            t_s: media time; frames come in order. A step back is a restarted clock: everything ends there.
            detections: the frame's pairs, in source pixels.
            corrupt: the decoder marked the frame as damaged. It opens nothing and counts as not seen.
            cut: the caller knows that this frame begins another view: everything ends, ids start anew.
        """
        transitions: list[Transition] = []
        if self._last_s is not None and t_s < self._last_s:
            transitions += self._end_all(self._last_s, "clock", f"media time went back to {t_s:.1f} s")
            self._last_s = None
        elif cut and self._last_s is not None:
            transitions += self._end_all(t_s, "cut", "the caller reported a cut")
        elapsed_s = None if self._last_s is None else t_s - self._last_s
        self._last_s = t_s
        if corrupt:
            self._seen = []
        else:
            found = self._associate(t_s, detections)
            self._smooth(t_s, elapsed_s)
            self._watch_movement(t_s)
            if self._was_cut(t_s, found):
                transitions += self._end_old(t_s)
        transitions += self._decide(t_s, is_clear=not corrupt)
        self._drop_old(t_s)
        return transitions

    def flush(self, t_s: float, reason: str) -> list[Transition]:
        """End everything that is open, for `reason` (a code such as ``end_of_file``), and forget all tracks."""
        return self._end_all(t_s, reason, reason.replace("_", " "))

    def snapshot(self) -> list[PairView]:
        """Return the pairs seen in the last frame and those with an open interaction, by pair id."""
        seen = {pair.pair_id for pair in self._seen}
        views = []
        for pair in self._pairs.values():
            interactions = sorted(
                ((self.names[k], float(self._smoothed[pair.row, k])) for k, e in pair.episodes.items() if e.is_open),
                key=lambda item: (-item[1], item[0]),
            )
            if interactions or pair.pair_id in seen:
                views.append(
                    PairView(
                        pair.pair_id,
                        pair.human_id,
                        pair.object_id,
                        self._object_names[pair.label],
                        self._box(pair.row, 0),
                        self._box(pair.row, 4),
                        pair.pair_id in seen,
                        tuple(interactions),
                    )
                )
        return views

    # -- one frame -----------------------------------------------------------------------------------------------

    def _associate(self, t_s: float, detections: PairDetections) -> bool:
        """Find the pairs of this frame, into `_seen`; return whether any human or object was found again."""
        self._seen, self._rows_of_seen = [], []
        self._best = np.zeros((0, len(self.names)), np.float32)
        scores = np.asarray(detections.scores, np.float32)
        strength = scores.max(axis=1, initial=0.0)
        chosen = np.flatnonzero(strength >= self.settings.min_pair_score)
        if not len(chosen):
            return False
        if len(chosen) < len(scores):
            scores, strength = scores[chosen], strength[chosen]
        boxes = np.concatenate([detections.human_boxes_xyxy, detections.object_boxes_xyxy], axis=1, dtype=np.float64)
        boxes, labels = boxes[chosen], np.asarray(detections.object_labels, np.int64)[chosen]
        order = np.argsort(-strength, kind="stable").tolist()

        row_of = {key: row for row, key in enumerate(self._tracks.keys)}
        known = ([row_of[human] for human, _ in self._pairs], [row_of[thing] for _, thing in self._pairs])
        before = self._smoothed[[pair.row for pair in self._pairs.values()]]
        affinity = np.minimum(before @ scores.T, 1.0)
        matched = associate(self._tracks, known, boxes, labels, order, t_s, affinity)

        keys = self._tracks.keys
        members: dict[int, list[int]] = {}  # by row of the table: the detections of that pair, best first
        for p in order:
            ends = matched.human_rows[p], matched.object_rows[p]
            pair = self._pairs.get((keys[ends[0]], keys[ends[1]])) or self._add_pair(*ends, boxes[p], t_s)
            if pair.row in members:
                members[pair.row].append(p)
            else:
                members[pair.row] = [p]
                self._seen.append(pair)
                pair.seen_s = t_s
        self._rows_of_seen = list(members)
        leaders = [group[0] for group in members.values()]
        self._best, self._boxes[self._rows_of_seen] = scores[leaders], boxes[leaders]
        if len(members) < len(order):
            for i, group in enumerate(members.values()):
                if len(group) > 1:  # several queries found one pair
                    self._best[i] = scores[group].max(axis=0)
        return bool(matched.found_rows)

    def _smooth(self, t_s: float, elapsed_s: float | None) -> None:
        """Move the smoothed scores on by one frame, and note evidence."""
        gain = 1.0  # the first frame: nothing is known of before
        if elapsed_s is not None:
            gain = -float(np.expm1(-elapsed_s / self.settings.smoothing_s)) if self.settings.smoothing_s > 0 else 1.0
        rows, seen_ids = self._rows_of_seen, {pair.pair_id for pair in self._seen}
        unseen = [pair for pair in self._pairs.values() if pair.pair_id not in seen_ids]
        # Not to be seen counts against what is not open yet, and not against what is: that is what `gap_s` is for.
        if unseen:
            held = [(p.row, k, self._smoothed[p.row, k]) for p in unseen for k, e in p.episodes.items() if e.is_open]
            self._smoothed[[pair.row for pair in unseen]] *= np.float32(1.0 - gain)
            for row, k, value in held:
                self._smoothed[row, k] = value
        if not rows:
            return
        before = self._smoothed[rows]
        before += np.float32(gain) * (self._best - before)
        self._smoothed[rows] = before
        if self._best.max() < self._lowest_leave:
            return
        hit_pairs, hit_classes = np.nonzero(self._best >= self._leave)
        is_strong = (self._best[hit_pairs, hit_classes] >= self._enter[hit_classes]).tolist()
        for i, k, strong in zip(hit_pairs.tolist(), hit_classes.tolist(), is_strong, strict=True):
            pair = self._seen[i]
            episode = pair.episodes.get(k)
            if episode is not None:
                episode.evidence_s = t_s
            elif strong and k not in pair.muted:
                pair.episodes[k] = Episode(onset_s=t_s, evidence_s=t_s)

    def _decide(self, t_s: float, *, is_clear: bool) -> list[Transition]:
        """Open, update and close episodes; by pair id and interaction."""
        transitions = []
        alive = [(pair, k) for pair in self._pairs.values() for k in sorted(pair.episodes)]  # the dict is by pair id
        rows, classes = [pair.row for pair, _ in alive], [k for _, k in alive]
        scores = self._smoothed[rows, classes].tolist() if alive else []
        update_before_s = t_s - self.settings.update_interval_s + 1e-9
        for (pair, k), score in zip(alive, scores, strict=True):
            if (episode := pair.episodes.get(k)) is None:
                continue  # it went on in another pair a moment ago
            limits = self._limits[k]
            unseen_s = t_s - pair.seen_s
            if not episode.is_open:
                if not is_clear or unseen_s > 0:
                    if unseen_s >= self.settings.gap_s:
                        del pair.episodes[k]
                elif why := limits.opens(episode, score, t_s):
                    if self._goes_on(pair, k, episode, t_s):
                        continue
                    transitions.append(self._start(pair, k, episode, score, t_s, why))
                elif score < limits.leave and episode.evidence_s < t_s:
                    del pair.episodes[k]  # a flicker
                continue
            episode.peak_score = max(episode.peak_score, score)
            still_s = pair.seen_s - pair.still_since_s
            if not limits.holds(episode, score, unseen_s, still_s, t_s) and (
                closing := limits.closes(episode, score, unseen_s, still_s, t_s)
            ):
                transitions.append(self._transition("ended", pair, k, episode, t_s, *closing))
                del pair.episodes[k]
                if closing[0] == "stationary":
                    pair.muted.add(k)
            elif unseen_s == 0 and episode.updated_s <= update_before_s:
                episode.updated_s = t_s
                why = f"still {score:.2f} ≥ leave {limits.leave:.2f}" if score >= limits.leave else "fading"
                transitions.append(self._transition("updated", pair, k, episode, t_s, "interval", why))
        return transitions

    # -- transitions ---------------------------------------------------------------------------------------------

    def _start(self, pair: Pair, k: int, episode: Episode, score: float, t_s: float, why: str) -> Transition:
        # Evidence may have hovered about the threshold for long before; that is not when it began.
        earliest_s = t_s - self.settings.min_duration_s - 2 * self.settings.smoothing_s
        episode.started_s = max(episode.onset_s, earliest_s)
        episode.updated_s, episode.peak_score = t_s, score
        return self._transition("started", pair, k, episode, t_s, "score", why)

    def _transition(
        self, kind: Literal["started", "updated", "ended"], pair: Pair, k: int, episode: Episode, t_s: float,
        reason: str, why: str,
    ) -> Transition:  # fmt: skip
        assert episode.started_s is not None
        until_s = max(episode.evidence_s, episode.started_s) if kind == "ended" else t_s
        return Transition(
            kind=kind,
            t_s=t_s,
            started_s=episode.started_s,
            duration_s=until_s - episode.started_s,
            pair_id=pair.pair_id,
            human_id=pair.human_id,
            object_id=pair.object_id,
            interaction=k,
            object=self._object_names[pair.label],
            score=min(max(float(self._smoothed[pair.row, k]), 0.0), 1.0),
            peak_score=min(episode.peak_score, 1.0),
            human_box_xyxy_px=self._box(pair.row, 0),
            object_box_xyxy_px=self._box(pair.row, 4),
            reason=reason,
            why=why,
        )

    def _end_all(self, t_s: float, reason: str, why: str) -> list[Transition]:
        transitions = self._end(list(self._pairs.values()), t_s, reason, why)
        self._forget()
        return transitions

    def _end(self, pairs: list[Pair], t_s: float, reason: str, why: str) -> list[Transition]:
        transitions = []
        for pair in pairs:
            for k in sorted(pair.episodes):
                episode = pair.episodes.pop(k)
                if episode.is_open:
                    transitions.append(self._transition("ended", pair, k, episode, t_s, reason, why))
        return transitions

    def _box(self, row: int, first: int) -> Box:
        x0, y0, x1, y1 = self._boxes[row, first : first + 4].tolist()
        return x0, y0, x1, y1

    # -- handing over --------------------------------------------------------------------------------------------

    def _goes_on(self, pair: Pair, k: int, episode: Episode, t_s: float) -> bool:
        """Whether this start is what another pair was doing until it was lost; if so, make them one.

        Behind somebody who passes, or when a hand hides most of a cup, tracks may end, begin anew or change people.
        What goes on at the same place, or with the half that is left, is one event to people.
        """
        if any(each.is_open for each in pair.episodes.values()):
            return False  # it was published under its own ids
        key = next(key for key, value in self._pairs.items() if value is pair)
        boxes = self._boxes[pair.row].reshape(2, 4)
        best: tuple[float, tuple[int, int]] | None = None
        for old_key, old in self._pairs.items():
            past = old.episodes.get(k)
            if past is None or not past.is_open or old.label != pair.label or old is pair:
                continue
            if old.seen_s > min(episode.onset_s + HANDOVER_OVERLAP_S, t_s - 1e-6):
                continue
            apart = box_distance(self._boxes[old.row].reshape(2, 4), boxes)[0].diagonal()
            if apart[0] >= MAX_HUMAN_DISTANCE or apart[1] >= MAX_OBJECT_DISTANCE:
                same_human, same_object = old_key[0] == key[0], old_key[1] == key[1]
                lost = old_key[0] if same_object else old_key[1]
                if same_human == same_object or any(
                    lost in other and p.seen_s > old.seen_s for other, p in self._pairs.items()
                ):
                    continue
            if best is None or old.seen_s > best[0]:
                best = old.seen_s, old_key
        if best is not None:
            self._take_over(key, best[1])
        return best is not None

    def _take_over(self, key: tuple[int, int], old_key: tuple[int, int]) -> None:
        """Make the pair `key` the continuation of `old_key`, ids and open episodes included."""
        pair, old, tracks = self._pairs[key], self._pairs[old_key], self._tracks
        row_of = {track: row for row, track in enumerate(tracks.keys)}
        for new_track, old_track, old_id in zip(key, old_key, (old.human_id, old.object_id), strict=True):
            if new_track == old_track:
                continue
            row = row_of[new_track]
            if old_track in row_of:  # it follows somebody else by now
                tracks.ids[row_of[old_track]] = tracks.ids[row]
            tracks.ids[row] = old_id
        pair.pair_id, pair.human_id, pair.object_id = old.pair_id, old.human_id, old.object_id
        for k, past in old.episodes.items():
            now = pair.episodes.get(k)
            past.evidence_s = max(past.evidence_s, now.evidence_s if now else 0.0)
            if past.is_open or now is None:
                pair.episodes[k] = past
        old.episodes = {}
        self._smoothed[pair.row] = np.maximum(self._smoothed[pair.row], self._smoothed[old.row])
        self._drop([old_key])
        for (human, thing), other in self._pairs.items():  # what has no open event takes its tracks' new ids
            if not any(each.is_open for each in other.episodes.values()):
                other.human_id, other.object_id = tracks.ids[row_of[human]], tracks.ids[row_of[thing]]

    # -- pairs ---------------------------------------------------------------------------------------------------

    def _add_pair(self, human_row: int, object_row: int, boxes: NDArray[Any], t_s: float) -> Pair:
        if not self._free_rows:
            size = len(self._smoothed)
            self._smoothed = np.concatenate([self._smoothed, np.zeros_like(self._smoothed)])
            self._boxes, self._anchors = np.tile(self._boxes, (2, 1)), np.tile(self._anchors, (2, 1))
            self._free_rows = list(range(size, 2 * size))[::-1]
        row = self._free_rows.pop()
        self._smoothed[row] = 0.0
        self._anchors[row] = boxes
        tracks = self._tracks
        label = int(tracks.labels[object_row])
        pair = Pair(self._next_pair_id, tracks.ids[human_row], tracks.ids[object_row], label, row, t_s, t_s)
        self._next_pair_id += 1
        self._pairs[tracks.keys[human_row], tracks.keys[object_row]] = pair
        for place, muted in self._muted_places:  # scenery that was missed for a while is still scenery
            overlap = box_distance(place.reshape(2, 4), boxes.reshape(2, 4))[1]
            if overlap.diagonal().min() >= SAME_PLACE_IOU:
                pair.muted |= muted
                self._anchors[row] = place
        return pair

    def _watch_movement(self, t_s: float) -> None:
        """Note which of the pairs of this frame moved since their anchor was set."""
        rows = self._rows_of_seen
        boxes, anchors = self._boxes[rows], self._anchors[rows]
        area = (anchors[:, 2] - anchors[:, 0]) * (anchors[:, 3] - anchors[:, 1])
        moved = np.abs(boxes - anchors).max(axis=1) > STILL_SHIFT * np.sqrt(np.maximum(area, 1.0))
        for i in np.flatnonzero(moved).tolist():
            self._seen[i].still_since_s = t_s
            self._seen[i].muted.clear()
            self._anchors[rows[i]] = boxes[i]

    def _drop_old(self, t_s: float) -> None:
        memory_s = max(self.settings.track_memory_s, self.settings.gap_s)
        gone = self._tracks.drop_unseen_since(t_s - memory_s)
        if gone:
            self._drop([key for key in self._pairs if not gone.isdisjoint(key)])

    def _drop(self, keys: list[tuple[int, int]]) -> None:
        for key in keys:
            pair = self._pairs.pop(key)
            self._free_rows.append(pair.row)
            if pair.muted:
                self._muted_places = self._muted_places[1 - MAX_MUTED_PLACES :]
                self._muted_places.append((self._anchors[pair.row].copy(), pair.muted))

    # -- cuts ----------------------------------------------------------------------------------------------------

    def _was_cut(self, t_s: float, found: bool) -> bool:
        """Whether everybody was replaced at once, and it stayed so for `CUT_CONFIRM_S`.

        One person with one object may just have been missed while another came: at least two must vanish together.
        """
        new = {pair.human_id for pair in self._seen}
        old, self._humans_before = self._humans_before, new
        if self._cut_since_s is None:
            if new and not found and len(old) >= 2:
                self._before_cut, self._cut_since_s = old, t_s
            return False
        if new & self._before_cut:
            self._cut_since_s = None
            return False
        return bool(new) and t_s - self._cut_since_s >= CUT_CONFIRM_S - 1e-9

    def _end_old(self, t_s: float) -> list[Transition]:
        """End the pairs from before the cut and forget them, and the scenery."""
        keys = [key for key, pair in self._pairs.items() if pair.human_id in self._before_cut]
        why = f"all {len(self._before_cut)} people were replaced at once"
        transitions = self._end([self._pairs[key] for key in keys], t_s, "cut", why)
        self._drop(keys)
        kept = {track for key in self._pairs for track in key}
        self._tracks.drop({track for key in keys for track in key} - kept)
        self._muted_places = []
        self._cut_since_s = None
        return transitions
