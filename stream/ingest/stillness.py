"""Whether a picture shows what the engine saw last, so that the last result can stand for it.

The picture is compared block by block with the one that went through the engine, never with the one before: what moves
slowly adds up until it is seen. Blocks overlap, so that somebody at the far end of a view is never split between
four of them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hoiclip.types import Canvas

CELL: Final = 4  # px; a block is 2 x 2 cells
MIN_CHANGE: Final = 7.0
"""Grey levels by which a block has changed. Key frames move blocks by 2 to 6 where nothing happens, those of strongly
compressed video by up to 13 (then the engine looks, which costs time and nothing else); a walker 12 px high, drawn on
varied grounds, changes one by 9 to 18 in 0.6 s."""
NOISE_FACTOR: Final = 7.0  # times the picture's noise: one of 7,000 blocks reaches 5 by chance every 250 pictures
MAX_NOISE: Final = 2.5  # grey levels of a block's mean; a picture that is noisier may hide somebody
MAX_GAIN: Final = 0.1  # relative; more light or less than that is news
MAX_ROW_SHIFT: Final = 4.0  # grey levels; lamps that flicker make bands, light that moves makes slopes
SETTLE_S: Final = 0.6  # after a change the engine goes on looking for so long: the tracker needs several looks
_ROUNDING_S: Final = 1e-6
_DARK: Final = 16.0  # added to grey levels, so that a ratio of dark ones says little


class View(NamedTuple):
    """What must be the same for two pictures to be compared."""

    canvas: Canvas
    width: int  # of the source picture, px
    height: int
    epoch: int  # of the connection


class GateState(NamedTuple):
    """A gate between two pictures; times are media times."""

    view: View | None
    looked: NDArray[np.float32] | None  # blocks of the picture that the engine saw last
    looked_s: float
    changed_s: float
    last_s: float


class StillGate:
    """Follows the pictures of one source in order; deterministic, about 0.3 ms a picture.

    Between two pictures that go through the engine lie at most `max_still_s` of media time; 0 sends every picture.
    `state` is that of a gate to go on from.
    """

    def __init__(self, max_still_s: float, state: GateState | None = None) -> None:
        state = state or GateState(None, None, 0.0, 0.0, 0.0)
        self._max_still_s = max_still_s
        self._view, self._looked = state.view, state.looked
        self._looked_s, self._changed_s, self._last_s = state.looked_s, state.changed_s, state.last_s

    @property
    def state(self) -> GateState:
        """What later pictures are judged by; its arrays never change."""
        return GateState(self._view, self._looked, self._looked_s, self._changed_s, self._last_s)

    def observe(self, picture: NDArray[np.uint8], media_s: float, view: View, *, corrupt: bool) -> bool:
        """Take the next picture, uint8 [H, W, 3]; return whether it is still: nothing new since the engine looked.

        A picture that may be damaged is never still, and neither is the one after it.
        """
        if self._max_still_s <= 0:
            return False
        step_s, self._last_s = media_s - self._last_s, media_s
        looked, self._looked = self._looked, None
        if corrupt:
            return False
        blocks = _blocks(picture)
        if looked is None or view != self._view or step_s <= 0 or blocks.size == 0 or _differ(looked, blocks):
            self._changed_s = media_s
        elif (
            media_s - self._changed_s >= SETTLE_S - _ROUNDING_S
            and media_s + step_s - self._looked_s <= self._max_still_s + _ROUNDING_S  # so that the next one keeps it
        ):
            self._looked = looked
            return True
        self._view, self._looked, self._looked_s = view, blocks, media_s
        return False


def _blocks(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the mean grey level of every block, float32 [h - 1, w - 1] for h x w cells."""
    height, width = picture.shape[0] // CELL, picture.shape[1] // CELL
    rows = picture[: height * CELL, : width * CELL].reshape(height, CELL, width * CELL * 3)
    sums = rows[:, 0].astype(np.uint16)
    for row in range(1, CELL):
        sums += rows[:, row]
    cells = sums.reshape(height, width, CELL * 3).sum(2, dtype=np.float32)
    pairs = cells[:, 1:] + cells[:, :-1]
    blocks: NDArray[np.float32] = (pairs[1:] + pairs[:-1]) * np.float32(1 / (4 * CELL * CELL * 3))
    return blocks


def _differ(before: NDArray[np.float32], now: NDArray[np.float32]) -> bool:
    """Return whether anything but light, noise and compression makes the difference."""
    gain = np.median((now + _DARK) / (before + _DARK))
    if abs(gain - 1) > MAX_GAIN:
        return True
    change = (now + _DARK) - gain * (before + _DARK)
    change -= np.clip(np.median(change, axis=1, keepdims=True), -MAX_ROW_SHIFT, MAX_ROW_SHIFT)
    size = np.abs(change)
    noise = 1.4826 * float(np.median(size))
    return noise > MAX_NOISE or float(size.max()) > max(MIN_CHANGE, NOISE_FACTOR * noise)
