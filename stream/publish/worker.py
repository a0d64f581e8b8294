"""A long-lived thread whose owner sees it end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from hoiclip.errors import HoistreamError

logger = logging.getLogger(__name__)


class Worker:
    """Runs `work` in a thread until it returns; `ended` is called when it has, however that came."""

    def __init__(self, name: str, work: Callable[[], None], ended: Callable[[], None]) -> None:
        self.name = name
        self.failure: BaseException | None = None  # what ended the thread, if anything did
        self._work = work
        self._ended = ended
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # a bug must not end in silence: `raise_failure` tells it
            self.failure = error
            logger.exception("%s stopped", self.name)
        finally:
            self._ended()

    @property
    def running(self) -> bool:
        """Whether the thread has begun and not ended."""
        return self._thread.is_alive()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; return whether it came in time."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, timeout_s))
        return not self._thread.is_alive()

    def raise_failure(self) -> None:
        """Raise HoistreamError when something ended the thread."""
        if self.failure is not None:
            raise HoistreamError(f"{self.name} stopped: {self.failure}") from self.failure
