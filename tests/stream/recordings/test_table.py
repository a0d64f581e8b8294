from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stream.events.schema import CoverageGapEvent, Event, EventNumbers, InteractionEvent, SourceStateEvent
from stream.recordings.table import event_columns, event_table


def test_a_quiet_videos_table_has_the_same_typed_columns_as_any_other(
    make_events: Callable[..., list[Event]], tmp_path: Path
) -> None:
    busy, quiet = event_table(make_events(2)), event_table([])
    assert quiet.num_rows == 0
    assert quiet.schema == busy.schema == event_columns()
    for name, table in (("busy", busy), ("quiet", quiet)):
        pq.write_table(table, tmp_path / f"{name}.parquet")
    assert pq.read_table(tmp_path).schema.names == busy.schema.names  # as one data set
    assert pq.read_table(tmp_path).num_rows == 2


def test_every_field_of_every_type_of_event_has_a_column() -> None:
    columns = set(event_columns().names)
    for kind in (InteractionEvent, CoverageGapEvent, SourceStateEvent):
        for name in kind.model_fields:
            expected = name.replace("_xyxy_px", "_x0_px") if name.endswith("_xyxy_px") else name
            assert expected in columns, (kind, name)
    types = {name: event_columns().field(name).type for name in columns}
    assert types["score"] == types["human_box_y1_px"] == types["blind_s"] == pa.float64()
    assert types["seq"] == types["human_id"] == types["schema_version"] == pa.int64()
    assert types["capture_time"] == types["from_time"] == pa.timestamp("us", tz="UTC")
    assert types["interaction"] == types["reason"] == types["type"] == pa.string()
    assert pa.null() not in types.values()


def test_rows_hold_what_the_events_say(make_events: Callable[..., list[Event]]) -> None:
    when = datetime(2026, 11, 23, 14, 2, 1, 500_000, UTC)
    numbers = EventNumbers("run", "cam")
    gap = CoverageGapEvent(
        **numbers.next(),
        media_time_s=4.0,
        from_media_s=1.0,
        to_media_s=4.0,
        blind_s=3.0,
        reason="stalled",
        to_time=when,
    )
    event, other = event_table([*make_events(1, numbers=numbers), gap]).to_pylist()
    box = [event[f"human_box_{corner}_px"] for corner in ("x0", "y0", "x1", "y1")]
    assert box == [1.0, 2.0, 30.0, 40.0]
    assert (event["interaction"], event["blind_s"], event["to_time"]) == ("ride bicycle", None, None)
    assert (other["type"], other["blind_s"], other["to_time"], other["score"]) == ("coverage_gap", 3.0, when, None)
