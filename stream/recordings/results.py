"""What a batch job leaves for each video: events as JSONL and Parquet, a timeline, and a receipt to resume by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

from hoiclip.files import replacing, write_whole
from stream.events.schema import Event, InteractionEvent
from stream.recordings.table import event_table
from stream.recordings.timeline import Span, draw_timeline


class ResultPaths(NamedTuple):
    """The files of one video, beside each other in the output folder."""

    events: Path
    parquet: Path
    timeline: Path
    annotated: Path
    receipt: Path  # written last: its presence means the others are complete

    @classmethod
    def of(cls, directory: Path, name: str) -> ResultPaths:
        """Return the paths for the video called `name`."""
        parts = ("events.jsonl", "events.parquet", "timeline.png", "annotated.mp4", "receipt.json")
        return cls(*(directory / f"{name}.{part}" for part in parts))


@dataclass(frozen=True)
class Receipt:
    """What was done with one video, and what came of it."""

    job: str | None  # run id of finished work; None when it failed, so that it is tried again
    identity: dict[str, Any]  # the record that the run id is a hash of
    video: str
    frames: int
    dropped: int
    length_s: float
    events: int
    failed: str | None  # one line
    coverage: dict[str, Any]
    engines: list[str]
    seconds: float  # wall
    rules: str | None = None  # fingerprint of the rules that judged the events
    unlike_training: str | None = None  # that and why the model knows nothing like it

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return the receipt in `path`; None where there is none that this release can read."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        names = {item.name for item in fields(cls)}
        return cls(**values) if isinstance(values, dict) and set(values) == names else None


def finished(paths: ResultPaths, job: str, *, annotated: bool) -> Receipt | None:
    """Return the receipt of a video that `job` (same content, model, vocabulary and settings) has finished, or None."""
    receipt = Receipt.read(paths.receipt)
    needed = (paths.events, paths.parquet, paths.timeline, *([paths.annotated] if annotated else []))
    if receipt is None or receipt.job != job or not all(path.exists() for path in needed):
        return None
    return receipt


def write_results(paths: ResultPaths, events: Sequence[Event], *, title: str, receipt: Receipt) -> None:
    """Write JSONL, Parquet, timeline and, last of all, the receipt; each file appears synced and whole, or not at all.

    Raises OSError as the file system gives it.
    """
    import pyarrow.parquet as pq

    write_whole(paths.events, "".join(f"{event.model_dump_json()}\n" for event in events))
    with replacing(paths.parquet) as part:
        pq.write_table(event_table(events), part)
    with replacing(paths.timeline) as part:
        draw_timeline(part, spans_of(events), title=title, length_s=receipt.length_s)
    write_whole(paths.receipt, json.dumps(asdict(receipt), indent=2) + "\n")


def spans_of(events: Iterable[Event]) -> list[Span]:
    """Return one span for each `ended` event."""
    return [
        Span(e.interaction, e.started_media_s, e.started_media_s + e.duration_s, f"human {e.human_id}")
        for e in events
        if isinstance(e, InteractionEvent) and e.type == "ended"
    ]
