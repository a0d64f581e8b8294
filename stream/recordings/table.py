"""Events as a table: one row an event, the same typed columns whatever happened in the video."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, get_args

from stream.events.schema import Event

if TYPE_CHECKING:
    import pyarrow as pa

_BOX = "_xyxy_px"
_CORNERS = ("x0", "y0", "x1", "y1")


def event_table(events: Iterable[Event]) -> pa.Table:
    """Return a table of `event_columns`; a box is four of them, and what an event's type does not have is null."""
    import pyarrow as pa

    return pa.Table.from_pylist([_row(event) for event in events], schema=event_columns())


@lru_cache(maxsize=1)
def event_columns() -> pa.Schema:
    """Return the columns, which follow from the published schema: every field of every type of event.

    Text is string, counts int64, seconds, scores and pixels float64, wall clocks timestamp in UTC to the microsecond.
    """
    import pyarrow as pa

    kinds: dict[str, Any] = {
        "string": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "date-time": pa.timestamp("us", tz="UTC"),
    }
    types: dict[str, Any] = {}
    for event in get_args(Event):
        for name, described in event.model_json_schema(mode="serialization")["properties"].items():
            if name.endswith(_BOX):
                types |= {f"{name.removesuffix(_BOX)}_{corner}_px": pa.float64() for corner in _CORNERS}
            else:
                types.setdefault(name, kinds.get(_kind(described), pa.string()))
    return pa.schema(list(types.items()))


def _kind(described: dict[str, Any]) -> str:
    """Return the JSON type of a property, null aside; what is nested is written as JSON text."""
    options = [option for option in described.get("anyOf", [described]) if option.get("type") != "null"]
    if len(options) != 1:
        return "json"
    if "const" in options[0]:
        return "integer" if isinstance(options[0]["const"], int) else "string"
    return str(options[0].get("format", options[0].get("type", "json")))


def _row(event: Event) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in event.model_dump().items():
        if name.endswith(_BOX) and value is not None:
            prefix = name.removesuffix(_BOX)
            row |= {f"{prefix}_{corner}_px": v for corner, v in zip(_CORNERS, value, strict=True)}
        elif isinstance(value, dict | list | tuple):
            row[name] = json.dumps(value, ensure_ascii=False)
        else:
            row[name] = value
    return row
