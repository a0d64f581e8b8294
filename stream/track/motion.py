"""Boxes that move: constant velocity between frames, in seconds, so that the frame rate does not matter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.track.boxes import Corners
from stream.track.saved import Arrays

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
HUMAN = -1
"""The label of humans; objects have their class, from 0."""

_BOX, _VELOCITY, _SEEN = slice(0, 4), slice(4, 6), 6  # rows of the state


class BoxTracks:
    """The boxes of all tracked humans and objects of one source, in the order in which they were first seen.

    A detection is taken as it is; only the velocity is smoothed. Unseen boxes coast and slow down, so that a long
    occlusion does not throw a track across the frame.
    """

    def __init__(self, *, velocity_s: float, coast_s: float) -> None:
        self._velocity_s, self._coast_s = velocity_s, coast_s
        self._next_ids = {True: 1, False: 1}  # of humans, of objects
        self.ids: Ints = np.zeros(0, np.int64)  # to show: humans 1, 2, …, objects 1, 2, …; never given out twice
        self.labels: Ints = np.zeros(0, np.int64)
        self._state = np.zeros((7, 0))  # box xyxy in pixels as last seen, velocity in pixels/s, seen at s

    def saved(self) -> dict[str, NDArray[Any]]:
        """Return the state; see `stream.track.saved`."""
        next_ids = np.array([self._next_ids[True], self._next_ids[False]], np.int64)
        return {"next_ids": next_ids, "ids": self.ids, "labels": self.labels, "state": self._state}

    def restore(self, arrays: Arrays) -> None:
        """Go on from what `saved` returned."""
        humans, objects = arrays["next_ids"].tolist()
        self._next_ids = {True: humans, False: objects}
        self.ids, self.labels, self._state = arrays["ids"], arrays["labels"], arrays["state"]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def seen_s(self) -> Floats:
        """[N] when last."""
        seen_s: Floats = self._state[_SEEN]
        return seen_s

    @property
    def velocity(self) -> Floats:
        """[2, N] of the centres, in pixels a second."""
        velocity: Floats = self._state[_VELOCITY]
        return velocity

    def predict(self, t_s: float) -> Corners:
        """Return the boxes [2, 2, N] expected at `t_s`, in pixels."""
        state = self._state
        reach_s = np.expm1((state[_SEEN] - t_s) / self._coast_s)
        reach_s *= -self._coast_s
        boxes: Corners = state[_BOX].reshape(2, 2, -1) + state[_VELOCITY] * reach_s
        return boxes

    def correct(self, rows: Ints, boxes: Corners, t_s: float) -> None:
        """Take detections `boxes` [2, 2, M] for the distinct tracks `rows`."""
        state = self._state.take(rows, axis=1)
        elapsed_s = np.maximum(t_s - state[_SEEN], 1e-6)
        shift = boxes - state[_BOX].reshape(2, 2, -1)
        speed = shift[0] + shift[1]
        speed /= 2 * elapsed_s
        velocity = state[_VELOCITY]
        speed -= velocity
        speed *= np.expm1(elapsed_s / -self._velocity_s)
        velocity -= speed
        state[_BOX], state[_SEEN] = boxes.reshape(4, -1), t_s
        self._state[:, rows] = state

    def follow(self, rows: Ints, boxes: Corners, t_s: float) -> None:
        """Take detections `boxes` [2, 2, M] for those of the tracks `rows` that were not seen at `t_s`, each once."""
        _, first = np.unique(rows, return_index=True)
        first = first[self.seen_s[rows[first]] < t_s]
        if len(first):
            self.correct(rows[first], boxes[..., first], t_s)

    def add(self, boxes: Corners, labels: Ints, t_s: float) -> None:
        """Begin tracks for `boxes` [2, 2, M], as the last rows."""
        ids = np.zeros(len(labels), np.int64)
        for is_human in (True, False):
            of_kind = (labels == HUMAN) == is_human
            first, count = self._next_ids[is_human], int(np.count_nonzero(of_kind))
            ids[of_kind] = np.arange(first, first + count)
            self._next_ids[is_human] += count
        new = np.zeros((7, len(labels)))
        new[_BOX], new[_SEEN] = boxes.reshape(4, -1), t_s
        self.ids = np.append(self.ids, ids)
        self.labels = np.append(self.labels, labels)
        self._state = np.concatenate([self._state, new], axis=1)

    def show_as(self, row: int, old_id: int) -> None:
        """Show the track `row` by the id of what it continues; the track of its kind that has this id takes its own."""
        same_kind = (self.labels == HUMAN) == (self.labels[row] == HUMAN)
        self.ids[same_kind & (self.ids == old_id)] = self.ids[row]
        self.ids[row] = old_id

    def keep(self, is_kept: Bools) -> None:
        """Forget the tracks that `is_kept` [N] does not say."""
        self.ids, self.labels, self._state = self.ids[is_kept], self.labels[is_kept], self._state[:, is_kept]
