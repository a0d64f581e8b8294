"""From the matched boxes of a frame to its pairs: known ones, new ones, each once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.track.association import Association
from stream.track.detected import DetectedPairs
from stream.track.matching import NONE, KnownPairs
from stream.track.motion import BoxTracks
from stream.track.pairs import PairTable

Ints = NDArray[np.int64]


class Sighting(NamedTuple):
    """The S pairs that a frame shows; N are known."""

    rows: Ints  # [S] in the table of pairs, each once; new pairs follow the N known ones
    boxes: NDArray[np.float64]  # [S, 8] human and object, xyxy in pixels
    scores: NDArray[np.float32]  # [S, K]
    new: PairTable | None  # the new ones, if any
    any_found: bool  # whether the frame shows any human or object of before


def nothing_seen(num_interactions: int) -> Sighting:
    """Return what an empty frame shows."""
    return Sighting(
        np.zeros(0, np.int64), np.zeros((0, 8)), np.zeros((0, num_interactions), np.float32), None, any_found=False
    )


def sight(
    tracks: BoxTracks, known: KnownPairs, match: Association, detected: DetectedPairs, *, t_s: float, next_pair_id: int
) -> Sighting:
    """Return the pairs of a frame. Of several detections of one, the best gives the boxes, each its best scores."""
    if match.pair_rows is not None:
        return Sighting(match.pair_rows, detected.boxes, detected.scores, None, match.any_found)
    num_known, num_tracks = len(known.human_rows), len(tracks)
    pair_of = np.full(num_tracks * num_tracks, NONE)  # [tracks of humans, of objects], flat
    pair_of[known.human_rows * num_tracks + known.object_rows] = np.arange(num_known)
    ends = match.human_rows * num_tracks + match.object_rows
    best: dict[int, int] = {}  # the first, best, detection of each pair
    new: dict[int, int] = {}  # rows of new pairs, by their ends
    others: list[tuple[int, int]] = []  # a further detection, the best one of its pair
    for detection, (row, end) in enumerate(zip(pair_of.take(ends).tolist(), ends.tolist(), strict=True)):
        if row == NONE:
            row = new.setdefault(end, num_known + len(new))
        if best.setdefault(row, detection) != detection:
            others.append((detection, best[row]))
    first = np.array([best[row] for row in new.values()], np.int64)
    begun = _begin(tracks, match, detected, first, t_s, next_pair_id) if new else None
    boxes, scores = detected.boxes, detected.scores
    if others:
        scores = scores.copy()
        for detection, leader in others:
            np.maximum(scores[leader], scores[detection], out=scores[leader])
        leaders = list(best.values())
        boxes, scores = boxes[leaders], scores[leaders]
    return Sighting(np.array(list(best), np.int64), boxes, scores, begun, match.any_found)


def _begin(
    tracks: BoxTracks, match: Association, detected: DetectedPairs, first: Ints, t_s: float, next_pair_id: int
) -> PairTable:
    """Return a table of the pairs that the detections `first` begin."""
    num_new, num_interactions = len(first), detected.scores.shape[1]
    humans, objects = match.human_rows[first], match.object_rows[first]
    return PairTable(
        pair_ids=np.arange(next_pair_id, next_pair_id + num_new),
        human_ids=tracks.ids[humans],
        object_ids=tracks.ids[objects],
        labels=tracks.labels[objects],
        human_rows=humans,
        object_rows=objects,
        seen_s=np.full(num_new, t_s),
        in_view_s=np.full(num_new, t_s),
        still_since_s=np.full(num_new, t_s),
        is_seen=np.ones(num_new, np.bool_),
        boxes=detected.boxes[first],
        anchors=detected.boxes[first],
        smoothed=np.zeros((num_new, num_interactions), np.float32),
        is_muted=np.zeros((num_new, num_interactions), np.bool_),
        absence=np.zeros(num_new, np.int64),
        absent_s=np.zeros(num_new),
    )
