"""What a batch job leaves for each video: events as JSONL and Parquet, a timeline, and a receipt to resume by."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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


def is_done(paths: ResultPaths, job: str) -> bool:
    """Whether a video was finished by a job of the same fingerprint: same file, model, vocabulary and settings."""
    try:
        receipt = json.loads(paths.receipt.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(receipt, dict) and receipt.get("job") == job and paths.events.exists() and paths.parquet.exists()


def write_results(
    paths: ResultPaths, events: Sequence[dict[str, Any]], *, title: str, length_s: float, receipt: dict[str, Any]
) -> None:
    """Write JSONL, Parquet, timeline and, last of all, the receipt; each file appears complete or not at all."""
    _replace(
        paths.events, "".join(json.dumps(e, ensure_ascii=False, separators=(",", ":")) + "\n" for e in events).encode()
    )
    _write_parquet(paths.parquet, events)
    _write_timeline(paths.timeline, spans_of(events), title=title, length_s=length_s)
    _replace(paths.receipt, (json.dumps(receipt, indent=2) + "\n").encode())


def spans_of(events: Iterable[dict[str, Any]]) -> list[Span]:
    """Return one span for each `ended` event."""
    return [
        Span(e["interaction"], e["started_media_s"], e["started_media_s"] + e["duration_s"], f"human {e['human_id']}")
        for e in events
        if e["type"] == "ended"
    ]


def _write_timeline(path: Path, spans: Sequence[Span], *, title: str, length_s: float) -> None:
    part = path.with_suffix(".part.png")
    draw_timeline(part, spans, title=title, length_s=length_s)
    part.replace(path)


def _write_parquet(path: Path, events: Sequence[dict[str, Any]]) -> None:
    """One row an event; boxes become four columns each, so that any reader can filter on them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [flatten(event) for event in events]
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table({name: [row.get(name) for row in rows] for name in names})
    part = path.with_suffix(".part")
    pq.write_table(table, part)
    part.replace(path)


def flatten(event: dict[str, Any]) -> dict[str, Any]:
    """Return `event` with each box as ``…_x0 _y0 _x1 _y1`` and other nested values as JSON text."""
    row: dict[str, Any] = {}
    for name, value in event.items():
        if name.endswith("_box_xyxy_px") and value is not None:
            prefix = name.removesuffix("_xyxy_px")
            row |= {f"{prefix}_{corner}_px": v for corner, v in zip(("x0", "y0", "x1", "y1"), value, strict=True)}
        elif isinstance(value, dict | list):
            row[name] = json.dumps(value)
        else:
            row[name] = value
    return row


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
