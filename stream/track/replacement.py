"""A cut that shows in the people only: everybody was replaced at once, and it stayed so."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.track.saved import Arrays, as_optional, optional

CONFIRM_S = 0.4  # everybody new for so long: the camera was moved or the film was cut
MIN_HUMANS = 2  # one may just have been missed while another came


class ReplacementDetector:
    """Look at the ids of one source's humans, frame by frame."""

    def __init__(self) -> None:
        self._last: frozenset[int] = frozenset()  # in the last frame
        self._gone: frozenset[int] = frozenset()  # who a cut may have taken away
        self._since_s: float | None = None  # since when

    def observe(self, human_ids: frozenset[int], *, any_found: bool, t_s: float) -> frozenset[int]:
        """Take the next frame that is not corrupt; return who was replaced, empty when nobody was.

        Args:
            human_ids: the humans of the frame.
            any_found: whether any human or object of before is among what the frame shows.
            t_s: media time.
        """
        last, self._last = self._last, human_ids
        if self._since_s is None:
            if human_ids and not any_found and len(last) >= MIN_HUMANS:
                self._gone, self._since_s = last, t_s
        elif human_ids & self._gone:
            self._since_s = None  # they were only missed
        elif human_ids and t_s - self._since_s >= CONFIRM_S - 1e-9:
            self._since_s = None
            return self._gone
        return frozenset()

    def saved(self) -> dict[str, NDArray[Any]]:
        """Return the state; see `stream.track.saved`."""
        last, gone = (np.array(sorted(ids), np.int64) for ids in (self._last, self._gone))
        return {"last": last, "gone": gone, "since_s": optional(self._since_s)}

    def restore(self, arrays: Arrays) -> None:
        """Go on from what `saved` returned."""
        self._last, self._gone = frozenset(arrays["last"].tolist()), frozenset(arrays["gone"].tolist())
        self._since_s = as_optional(arrays["since_s"])
