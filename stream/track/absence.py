"""Why a pair is not seen: it left the frame, somebody hides it, or it was missed. It decides how long to wait."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from stream.track.boxes import Corners
from stream.track.motion import HUMAN, BoxTracks
from stream.track.pairs import PairTable

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
EDGE = 0.02  # of the frame's size: a box so near is cut off by the frame's edge
MIN_SPEED = 0.1  # of the box's own size in a second: slower is standing
MIN_COVERED = 0.3  # part of a box behind somebody's box: as good as hidden
STEP_S = 0.5  # at most so much of the time between two frames counts: what was not looked at was not missed


class Absence(IntEnum):
    """Why a pair is not seen."""

    MISSED = 0  # it should be in view
    LEFT = 1  # its human went out at the frame's edge
    HIDDEN = 2  # somebody is before it


PATIENCE = (0.5, 0.25, 1.0)
"""By `Absence`: how much of `gap_s` a pair is waited for."""
WORDS = ("not found where it should be", "out at the frame's edge", "behind somebody")


def note_absence(
    pairs: PairTable, tracks: BoxTracks, rows: Ints, size_hw: tuple[int, int] | None, *, elapsed_s: float, t_s: float
) -> None:
    """Note of the pairs `rows` [M], which the frame at `t_s` does not show, why that may be and for how long, in place.

    Args:
        pairs: all pairs.
        tracks: all humans and objects; those that the frame shows are where it shows them.
        rows: in the table of pairs.
        size_hw: of the frame, in pixels; without it nothing is known to leave.
        elapsed_s: since the frame before.
        t_s: media time.
    """
    humans, objects = pairs.human_rows.take(rows), pairs.object_rows.take(rows)
    boxes = tracks.predict(t_s)
    absence = np.full(len(rows), int(Absence.MISSED))
    people = ((tracks.labels == HUMAN) & (tracks.seen_s == t_s)).nonzero()[0]
    if len(people):
        both = np.concatenate([humans, objects])
        covered = _covered(boxes.take(both, axis=2)[..., None], boxes.take(people, axis=2)[..., None, :])
        covered = covered.reshape(2, len(rows), -1)
        covered[:, humans[:, None] == people] = 0.0  # nobody hides himself
        absence[covered.max(axis=(0, 2)) >= MIN_COVERED] = Absence.HIDDEN
    if size_hw is not None:
        absence[_is_leaving(boxes.take(humans, axis=2), tracks.velocity.take(humans, axis=1), size_hw)] = Absence.LEFT
    pairs.absence[rows] = absence
    pairs.absent_s[rows] += np.where(absence == Absence.HIDDEN, 0.0, min(elapsed_s, STEP_S))


def _covered(boxes: Corners, others: Corners) -> NDArray[np.float64]:
    """Return which part of each box others cover; corners [2, 2, …] that broadcast."""
    shared = np.minimum(boxes[1], others[1]) - np.maximum(boxes[0], others[0])
    np.maximum(shared, 0.0, out=shared)
    size = np.maximum(boxes[1] - boxes[0], 1e-6)
    part: NDArray[np.float64] = shared[0] * shared[1] / (size[0] * size[1])
    return part


def _is_leaving(boxes: Corners, velocity: NDArray[np.float64], size_hw: tuple[int, int]) -> Bools:
    """Return [M]: whether boxes [2, 2, M] touch an edge of the frame and go on outwards at `velocity` [2, M]."""
    frame = np.array([[size_hw[1]], [size_hw[0]]], np.float64)
    speed = MIN_SPEED * (boxes[1] - boxes[0])
    is_out = (boxes[0] <= EDGE * frame) & (velocity < -speed)
    is_out |= (boxes[1] >= (1 - EDGE) * frame) & (velocity > speed)
    is_leaving: Bools = is_out.any(axis=0)
    return is_leaving
