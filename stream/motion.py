"""Boxes that move: constant velocity between frames, in seconds, so that the frame rate does not matter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


class BoxTracks:
    """The boxes of all tracked humans, or of all tracked objects, of one source, one row each.

    A detection is taken as it is; only the velocity is smoothed. Unseen boxes coast and slow down, so that a long
    occlusion does not throw a track across the frame.
    """

    def __init__(self, *, velocity_s: float, coast_s: float) -> None:
        self._velocity_s, self._coast_s = velocity_s, coast_s
        self._next_id = 1
        self.ids: list[int] = []
        self.boxes: Float = np.zeros((0, 4))  # xyxy in pixels, as last seen
        self.velocities: Float = np.zeros((0, 2))  # of the centre, pixels a second
        self.labels: NDArray[np.int64] = np.zeros(0, np.int64)  # object class; 0 for humans
        self.seen_s: Float = np.zeros(0)  # media time of the last detection

    def __len__(self) -> int:
        return len(self.ids)

    def predict(self, t_s: float) -> Float:
        """Return the boxes [N, 4] expected at `t_s`, xyxy in pixels."""
        reach_s = self._coast_s * -np.expm1((self.seen_s - t_s) / self._coast_s)
        shift = self.velocities * reach_s[:, None]
        return self.boxes + np.concatenate([shift, shift], axis=1)

    def correct(self, rows: list[int], boxes: NDArray[Any], t_s: float) -> None:
        """Take detections `boxes` [M, 4] for the distinct tracks `rows`."""
        if not rows:
            return
        elapsed_s = np.maximum(t_s - self.seen_s[rows], 1e-6)[:, None]
        shift = boxes - self.boxes[rows]
        speed = (shift[:, :2] + shift[:, 2:]) / (2 * elapsed_s)
        gain = -np.expm1(-elapsed_s / self._velocity_s)
        self.velocities[rows] += gain * (speed - self.velocities[rows])
        self.boxes[rows] = boxes
        self.seen_s[rows] = t_s

    def add(self, box: NDArray[Any], label: int, t_s: float) -> int:
        """Begin a track and return its row; its id was never given out before."""
        self.ids.append(self._next_id)
        self._next_id += 1
        self.boxes = np.concatenate([self.boxes, np.asarray(box, np.float64)[None]])
        self.velocities = np.concatenate([self.velocities, np.zeros((1, 2))])
        self.labels = np.append(self.labels, label)
        self.seen_s = np.append(self.seen_s, t_s)
        return len(self.ids) - 1

    def drop_unseen_since(self, t_s: float) -> set[int]:
        """Forget the tracks last seen before `t_s`; return their ids."""
        keep = self.seen_s >= t_s
        return set() if keep.all() else self._keep(keep)

    def drop(self, ids: set[int]) -> None:
        """Forget the tracks with these ids."""
        self._keep(np.array([i not in ids for i in self.ids], np.bool_))

    def _keep(self, keep: NDArray[np.bool_]) -> set[int]:
        dropped = {self.ids[row] for row in np.flatnonzero(~keep)}
        self.ids = [self.ids[row] for row in np.flatnonzero(keep)]
        self.boxes, self.velocities = self.boxes[keep], self.velocities[keep]
        self.labels, self.seen_s = self.labels[keep], self.seen_s[keep]
        return dropped
