"""Boxes that move: constant velocity between frames, in seconds, so that the frame rate does not matter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
HUMAN = -1
"""The label of humans; objects have their class, from 0."""

_BOX, _VELOCITY, _SEEN = slice(0, 4), slice(4, 6), 6  # columns of the state


class BoxTracks:
    """The boxes of all tracked humans and objects of one source, one row each.

    A detection is taken as it is; only the velocity is smoothed. Unseen boxes coast and slow down, so that a long
    occlusion does not throw a track across the frame.
    """

    def __init__(self, *, velocity_s: float, coast_s: float) -> None:
        self._velocity_s, self._coast_s = velocity_s, coast_s
        self._next_key = 0
        self._next_ids = {True: 1, False: 1}  # of humans, of objects
        self.keys: list[int] = []  # unique among humans and objects together
        self.ids: list[int] = []  # to show: humans 1, 2, …, objects 1, 2, …; never given out twice
        self.labels: NDArray[np.int64] = np.zeros(0, np.int64)
        self._state: Float = np.zeros((0, 7))  # box xyxy in pixels as last seen, velocity in pixels/s, seen at s

    def __len__(self) -> int:
        return len(self.keys)

    def predict(self, t_s: float) -> Float:
        """Return the boxes [N, 4] expected at `t_s`, xyxy in pixels."""
        reach_s = self._coast_s * -np.expm1((self._state[:, _SEEN] - t_s) / self._coast_s)
        return self._state[:, _BOX] + self._state[:, [4, 5, 4, 5]] * reach_s[:, None]

    def correct(self, rows: list[int], boxes: NDArray[Any], t_s: float) -> None:
        """Take detections `boxes` [M, 4] for the distinct tracks `rows`."""
        state = self._state[rows]
        elapsed_s = np.maximum(t_s - state[:, _SEEN:], 1e-6)
        shift = boxes - state[:, _BOX]
        speed = (shift[:, :2] + shift[:, 2:]) / (2 * elapsed_s)
        state[:, _VELOCITY] += -np.expm1(elapsed_s / -self._velocity_s) * (speed - state[:, _VELOCITY])
        state[:, _BOX] = boxes
        state[:, _SEEN] = t_s
        self._state[rows] = state

    def add(self, boxes: NDArray[Any], labels: list[int], t_s: float) -> None:
        """Begin tracks for `boxes` [M, 4], as the last rows."""
        for label in labels:
            is_human = label == HUMAN
            self.keys.append(self._next_key)
            self.ids.append(self._next_ids[is_human])
            self._next_key += 1
            self._next_ids[is_human] += 1
        new = np.zeros((len(labels), 7))
        new[:, _BOX], new[:, _SEEN] = boxes, t_s
        self._state = np.concatenate([self._state, new])
        self.labels = np.append(self.labels, labels)

    def drop_unseen_since(self, t_s: float) -> set[int]:
        """Forget the tracks last seen before `t_s`; return their keys."""
        keep = self._state[:, _SEEN] >= t_s
        return set() if keep.all() else self._keep(keep)

    def drop(self, keys: set[int]) -> None:
        """Forget the tracks with these keys."""
        self._keep(np.array([key not in keys for key in self.keys], np.bool_))

    def _keep(self, keep: NDArray[np.bool_]) -> set[int]:
        dropped = {self.keys[row] for row in np.flatnonzero(~keep)}
        rows = np.flatnonzero(keep).tolist()
        self.keys, self.ids = [self.keys[row] for row in rows], [self.ids[row] for row in rows]
        self.labels, self._state = self.labels[keep], self._state[keep]
        return dropped
