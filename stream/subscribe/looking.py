"""Look at a stream without a group: nothing is acknowledged, nothing is delivered again."""

from __future__ import annotations

import logging

from stream.events.entries import Entry, entries_of, stream_entries
from stream.subscribe.reader import Reader
from stream.subscribe.settings import ReadSettings, stream_id
from stream.subscribe.steps import Call, HandOver, Steps

logger = logging.getLogger(__name__)


class LookingReader(Reader):
    """Yields what is in the stream from `start` on, to `until`, or for ever."""

    def __init__(self, settings: ReadSettings) -> None:
        super().__init__(settings)
        self._position = ""  # the last id seen

    def _read(self) -> Steps:
        s = self.settings
        if not self._position:
            if s.start == "new":
                newest = entries_of((yield Call(("XREVRANGE", s.stream, "+", "-", "COUNT", 1))))
                self._position = newest[0].id.decode() if newest else "0"
            else:
                self._position = stream_id(s.start)
        while True:
            block = ("BLOCK", s.block_ms) if s.follow else ()
            entries = stream_entries(
                (yield Call(("XREAD", "COUNT", s.batch, *block, "STREAMS", s.stream, self._position)))
            )
            if not entries and not s.follow:
                return
            for entry in entries:
                if s.until is not None and _milliseconds(entry) >= s.until.timestamp() * 1000:
                    return
                yield from self._show(entry)
                self._position = entry.id.decode()

    def _show(self, entry: Entry) -> Steps:
        event = self._event_of(entry)
        if isinstance(event, str):
            logger.warning("stream %s, entry %s left out: %s", self.settings.stream, entry.id.decode(), event)
        elif event is not None:
            if self._is_wanted(event):
                yield HandOver(event)
            self._remember(event)

    def finish(self, steps: Steps, *, handled: bool) -> Steps:
        """Stop `steps`; nothing is left to do."""
        steps.close()
        yield from ()


def _milliseconds(entry: Entry) -> int:
    return int(entry.id.split(b"-")[0])
