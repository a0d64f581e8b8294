"""How many records of a spool one sink has acknowledged, remembered over restarts."""

from __future__ import annotations

import logging
from pathlib import Path

from stream.publish.spool import Spool

logger = logging.getLogger(__name__)


def cursor_path(directory: Path, name: str) -> Path:
    """Return the file of the sink called `name` in a spool's directory."""
    return directory / f"{name}.cursor"


class Cursor:
    """A number in a file of the spool's directory.

    The file is replaced without a sync: after a power cut an older number only means that more is replayed.
    """

    def __init__(self, spool: Spool, name: str) -> None:
        self._path = cursor_path(spool.directory, name)
        self.record = self._load(spool)

    def _load(self, spool: Spool) -> int:
        oldest = spool.oldest.record
        try:
            record = int(self._path.read_text())
        except (OSError, ValueError):
            return oldest
        return record if oldest <= record <= spool.end.record else oldest

    def save(self) -> None:
        """Remember `record` for the next start."""
        part = self._path.with_suffix(".part")
        try:
            part.write_text(f"{self.record}\n")
            part.replace(self._path)
        except OSError as error:  # a full disk: the number is still right in memory, and replays are harmless
            logger.debug("%s: not saved (%s)", self._path, error.strerror)
