"""How long to wait before trying again."""

from __future__ import annotations

import random


class Backoff:
    """Exponential delays with jitter, 0.75 to 1 times the nominal one, so that cameras do not return in step."""

    def __init__(self, initial_s: float, max_s: float, *, factor: float = 2.0, seed: object = None) -> None:
        self._initial_s, self._max_s, self._factor = initial_s, max_s, factor
        self._random = random.Random(str(seed)) if seed is not None else random.Random()
        self.attempt = 0

    def next(self) -> float:
        """Return the next delay in seconds; never above `max_s`."""
        nominal = min(self._max_s, self._initial_s * self._factor ** min(self.attempt, 30))
        self.attempt += 1
        return nominal * self._random.uniform(0.75, 1.0)

    def reset(self) -> None:
        """Begin again with the initial delay: the source works."""
        self.attempt = 0
