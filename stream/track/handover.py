"""What one pair was doing until it was lost goes on in another: the two are one.

Behind somebody who passes, or when a hand hides most of a cup, tracks may end, begin anew or change people. What goes
on at the same place, or with the half that is left, is one event to people.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream.track.boxes import box_distance, to_corners
from stream.track.episodes import NEVER, Episodes
from stream.track.matching import MAX_HUMAN_DISTANCE, MAX_OBJECT_DISTANCE, NONE
from stream.track.motion import BoxTracks
from stream.track.pairs import PairTable

Bools = NDArray[np.bool_]
OVERLAP_S = 1.0  # how long a pair may still be seen when its continuation shows first evidence
SAME_PLACE_DISTANCE = 0.9  # `box_distance` of boxes that overlap: two detections of one pair
MAX_SHIFT = 0.4  # of the human's height: how far a human may be moved about an object and be the same one


def find_continued(pairs: PairTable, episodes: Episodes, place: int, is_past: Bools, t_s: float) -> int | None:
    """Return the row of the pair that the episode at `place`, about to open, continues; the last seen one, if any.

    `is_past` [E] are episodes that this frame has ended.
    """
    row, old = _open_alike(pairs, episodes, place, is_past)
    if not len(old):
        return None
    until_s = min(episodes.onset_s.item(place) + OVERLAP_S, t_s - 1e-6)
    old = old[pairs.seen_s.take(old) <= until_s]
    is_open = (episodes.started_s < NEVER) & ~is_past
    if not len(old) or np.count_nonzero(is_open & (episodes.rows == row)):
        return None  # what has an open event was published under its own ids
    old = old[_is_near(pairs, old, row) | _lost_one_half(pairs, old, row) | _changed_humans(pairs, old, row)]
    return int(old[pairs.seen_s[old].argmax()]) if len(old) else None


def is_duplicate(pairs: PairTable, episodes: Episodes, place: int, is_past: Bools) -> bool:
    """Whether the episode at `place`, about to open, is one that is open and in view, whose pair was found twice."""
    row, others = _open_alike(pairs, episodes, place, is_past)
    others = others[pairs.is_seen.take(others)]
    if not len(others):
        return False
    is_same = np.ones(len(others), np.bool_)
    for box, track_rows in ((slice(0, 4), pairs.human_rows), (slice(4, 8), pairs.object_rows)):
        theirs, mine = to_corners(pairs.boxes[others, box]), to_corners(pairs.boxes[[row], box])
        is_same &= (track_rows[others] == track_rows[row]) | (box_distance(theirs, mine)[0] < SAME_PLACE_DISTANCE)
    return bool(is_same.any())


def _open_alike(pairs: PairTable, episodes: Episodes, place: int, is_past: Bools) -> tuple[int, NDArray[np.int64]]:
    """Return the row of the episode at `place`, and other rows of that object class where the same event is open."""
    row = episodes.rows.item(place)
    is_open = (episodes.started_s < NEVER) & ~is_past
    alike = episodes.rows[is_open & (episodes.interactions == episodes.interactions[place])]
    return row, alike[(pairs.labels.take(alike) == pairs.labels[row]) & (alike != row)]


def _is_near(pairs: PairTable, old: NDArray[np.int64], row: int) -> Bools:
    """Return [M]: whether human and object of the pairs `old` [M] are where those of `row` are."""
    is_near = np.ones(len(old), np.bool_)
    for box, limit in ((slice(0, 4), MAX_HUMAN_DISTANCE), (slice(4, 8), MAX_OBJECT_DISTANCE)):
        before, now = to_corners(pairs.boxes[old, box]), to_corners(pairs.boxes[[row], box])
        is_near &= box_distance(before, now)[0] < limit
    return is_near


def _lost_one_half(pairs: PairTable, old: NDArray[np.int64], row: int) -> Bools:
    """Return [M]: whether the pairs `old` [M] share one half with `row`, and their other half was not seen since."""
    same_human = pairs.human_rows[old] == pairs.human_rows[row]
    same_object = pairs.object_rows[old] == pairs.object_rows[row]
    lost = np.where(same_object, pairs.human_rows[old], pairs.object_rows[old])[:, None]
    is_later = ((pairs.human_rows == lost) | (pairs.object_rows == lost)) & (pairs.seen_s > pairs.seen_s[old, None])
    has_half: Bools = (same_human != same_object) & ~is_later.any(axis=1)
    return has_half


def _changed_humans(pairs: PairTable, old: NDArray[np.int64], row: int) -> Bools:
    """Return [M]: whether the pairs `old` [M] look like `row` with its human's track mixed up with another's.

    They share the object, are out of view, and had their human at the same side of it, as nearly as people are who
    pass each other. Who takes a thing over from somebody else stands at its other side.
    """
    same_object = (pairs.object_rows[old] == pairs.object_rows[row]) & (pairs.human_rows[old] != pairs.human_rows[row])
    height = np.maximum(pairs.boxes[old, 3] - pairs.boxes[old, 1], 1.0)
    shift = np.abs(_offsets(pairs.boxes[old]) - _offsets(pairs.boxes[[row]])).max(axis=1)
    changed: Bools = same_object & (pairs.in_view_s[old] < pairs.in_view_s[row]) & (shift < MAX_SHIFT * height)
    return changed


def _offsets(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the way [M, 2] from the object's centre to the human's, of boxes [M, 8]."""
    centres = (boxes.reshape(-1, 2, 2, 2)).mean(axis=2)  # pair, kind, coordinate
    return np.asarray(centres[:, 0] - centres[:, 1])


def take_over(
    pairs: PairTable, episodes: Episodes, tracks: BoxTracks, row: int, old_row: int, is_past: Bools
) -> NDArray[np.int64]:
    """Make the pair `row` the continuation of `old_row`, ids and open episodes included, in place.

    Nothing is left of the old pair: its row is to be dropped, and its episodes are moved to `row`, or marked in
    `is_past` [E] where `row` has that interaction too. Returns the places of the moved ones, out of order.
    """
    for track_rows, ids in ((pairs.human_rows, pairs.human_ids), (pairs.object_rows, pairs.object_ids)):
        if track_rows[row] != track_rows[old_row]:
            tracks.show_as(int(track_rows[row]), int(ids[old_row]))
        ids[row] = ids[old_row]
    pairs.pair_ids[row] = pairs.pair_ids[old_row]
    np.maximum(pairs.smoothed[row], pairs.smoothed[old_row], out=pairs.smoothed[row])
    moved = _join_episodes(episodes, row, old_row, is_past)
    pairs.human_rows[old_row] = pairs.object_rows[old_row] = NONE
    take_ids_of_tracks(pairs, episodes, tracks, is_past)
    return moved


def take_ids_of_tracks(pairs: PairTable, episodes: Episodes, tracks: BoxTracks, is_past: Bools) -> None:
    """Show the pairs that have no open event by the ids of their tracks; an open event keeps those it began with."""
    is_free = pairs.human_rows != NONE
    is_free[episodes.rows[episodes.is_open & ~is_past]] = False
    for track_rows, ids in ((pairs.human_rows, pairs.human_ids), (pairs.object_rows, pairs.object_ids)):
        ids[is_free] = tracks.ids[track_rows[is_free]]


def _join_episodes(episodes: Episodes, row: int, old_row: int, is_past: Bools) -> NDArray[np.int64]:
    """Let the episodes of `old_row` go on in `row`; an open one counts more than what `row` has."""
    current = {int(episodes.interactions[place]): place for place in ((episodes.rows == row) & ~is_past).nonzero()[0]}
    moved = []
    for old in ((episodes.rows == old_row) & ~is_past).nonzero()[0]:
        now = current.get(int(episodes.interactions[old]))
        if now is None:
            episodes.rows[old] = row
            moved.append(old)
            continue
        if episodes.started_s[old] < NEVER:
            evidence_s = max(episodes.evidence_s[old], episodes.evidence_s[now])
            episodes.values[:, now] = episodes.values[:, old]
            episodes.evidence_s[now] = evidence_s
        is_past[old] = True
    return np.array(moved, np.int64)
