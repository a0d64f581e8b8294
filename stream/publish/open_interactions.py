"""Which interactions have started and not ended, so that a start after a crash can end them.

The spool is the journal: each of its segments begins with a snapshot of this, and the records since lead to the rest.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping

from hoiclip.foreign_json import UNFIT, parse_json
from stream.events.schema import Event, EventNumbers, InteractionEvent, UnknownEventTypeError, parse_event
from stream.publish.records import Record

logger = logging.getLogger(__name__)


class OpenInteractions:
    """The newest event of every open interaction, and the last seq of every source's run.

    Implements `spool.Journal`; its owner calls `note` from one thread at a time.
    """

    def __init__(self) -> None:
        self._newest: dict[str, InteractionEvent] = {}  # by interaction id
        self._seq: dict[tuple[str, str], int] = {}  # by run and source

    def note(self, event: Event) -> None:
        """Take account of an event that is published."""
        run = (event.run_id, event.source_id)
        self._seq[run] = max(event.seq, self._seq.get(run, 0))
        if isinstance(event, InteractionEvent):
            if event.type == "ended":
                self._newest.pop(event.interaction_id, None)
            else:
                self._newest[event.interaction_id] = event

    def note_all(self, documents: Iterable[bytes]) -> None:
        """Take account of published events as JSON; what is none is passed over."""
        for document in documents:
            try:
                self.note(parse_event(document))
            except UnknownEventTypeError:  # of a newer version: has no interaction of ours
                pass
            except ValueError as error:
                logger.warning("a record of the spool is no event: %s", str(error).partition("\n")[0])

    def restore(self, snapshot: bytes, records: Iterable[bytes]) -> None:
        """Begin with the newest snapshot of an earlier process, and what it recorded since."""
        for event, last_seq in _entries(snapshot):
            self.note(event)
            run = (event.run_id, event.source_id)
            self._seq[run] = max(self._seq[run], last_seq)
        self.note_all(_documents(records))

    def snapshot(self) -> bytes:
        """Return what `restore` needs."""
        entries = [
            b'{"last_seq":%d,"event":%b}' % (self._seq[event.run_id, event.source_id], Record.of(event).json)
            for event in self._newest.values()
        ]
        return b"[%b]" % b",".join(entries)

    def __len__(self) -> int:
        return len(self._newest)

    def sources(self) -> set[str]:
        """Return the sources that have open interactions."""
        return {event.source_id for event in self._newest.values()}

    def crashed(self, runs: Mapping[str, str], among: Collection[str] | None = None) -> list[InteractionEvent]:
        """Return the `ended` events that are missing because a process died, oldest first.

        `runs` are the run ids of the sources that begin now: what is open in the same run is not over, because a
        recording that is processed again tells its own end. Sources outside `among` are left alone; None means all.
        """
        seq = dict(self._seq)
        ends = []
        for event in list(self._newest.values()):
            if runs.get(event.source_id) == event.run_id or (among is not None and event.source_id not in among):
                continue
            run = (event.run_id, event.source_id)
            ends.append(_crashed(event, seq[run]))
            seq[run] += 1
        return ends


def _entries(snapshot: bytes) -> Iterator[tuple[Event, int]]:
    """Yield what a snapshot holds: events, and the last seq of their runs. What is none is passed over."""
    try:
        entries = list(parse_json(snapshot or b"[]"))
    except (ValueError, TypeError) as error:
        logger.warning("a snapshot of the spool cannot be read, what was open in it stays without end: %s", error)
        return
    for entry in entries:
        try:
            event, last_seq = parse_event(json.dumps(entry["event"])), entry["last_seq"]
            if not isinstance(last_seq, int):
                raise TypeError(f"last_seq is {type(last_seq).__name__}")
        except UNFIT as error:
            logger.warning("an entry of a snapshot of the spool is no event: %s", str(error).partition("\n")[0])
        else:
            yield event, last_seq


def _documents(records: Iterable[bytes]) -> Iterator[bytes]:
    for record in records:
        try:
            yield Record.unpack(record).json
        except ValueError as error:
            logger.warning("a record of the spool is none of ours: %s", error)


def _crashed(event: InteractionEvent, last_seq: int) -> InteractionEvent:
    """Return the end of an interaction whose newest event is `event`, in a run whose last event was `last_seq`."""
    numbers = EventNumbers(event.run_id, event.source_id, last_seq)
    seen = f"at {event.media_time_s:.1f} s" if event.capture_time is None else f"{event.capture_time:%F %T} UTC"
    why = f"the process ended without closing it; seen last {seen}"
    changes = {"type": "ended", "reason": "crashed", "why": why, "published_time": None, **numbers.next()}
    return event.model_copy(update=changes)
