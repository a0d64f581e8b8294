"""What a configuration may draw on a camera's picture: zones, lines, masks, in parts of its width and height."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from hoiclip.yaml_lines import load_config
from stream.zones.geometry import self_crossing
from stream.zones.layout import Layout, Line, Polygon, Zone

MOST_CORNERS = 100


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _simple(polygon: Polygon) -> Polygon:
    if len(polygon) > 3 and polygon[0] == polygon[-1]:
        polygon = polygon[:-1]  # as GeoJSON writes them
    if (found := self_crossing(polygon)) is not None:
        first, second = found
        raise ValueError(
            f"crosses or touches itself: the edge from corner {first} meets the edge from corner {second}; "
            "give the corners in order round the area, each once"
        )
    return polygon


Part = Annotated[float, Field(ge=0.0, le=1.0)]
Corner = tuple[Part, Part]
SimplePolygon = Annotated[tuple[Corner, ...], Field(min_length=3, max_length=MOST_CORNERS), AfterValidator(_simple)]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f,]+$")]


class ZoneConfig(_Strict):
    """An area that pairs are in or not."""

    polygon: SimplePolygon = Field(description="Corners [x, y] from the left and the top, in 0..1, in order.")
    by: Literal["feet", "object", "both"] = Field(
        "feet", description="What must be inside: the human's feet, the object's centre, or both."
    )
    settle_s: float = Field(
        0.3, ge=0.0, le=60.0, description="How long inside before a pair is in, and outside before it is out."
    )


class LineConfig(_Strict):
    """A line whose crossings count, by direction."""

    start: Corner = Field(description="Where the line begins, [x, y] in 0..1.")
    end: Corner = Field(description="Where it ends; `in` is from the left to the right hand of who walks there.")
    by: Literal["feet", "object"] = Field("feet", description="What crosses: the human's feet or the object's centre.")

    @model_validator(mode="after")
    def _has_length(self) -> Self:
        if self.start == self.end:
            raise ValueError("`start` and `end` are the same point")
        return self


class LayoutConfig(_Strict):
    """All that is drawn on one picture."""

    zones: dict[Name, ZoneConfig] = Field(default_factory=dict, description="Areas by name, in events as `zones`.")
    lines: dict[Name, LineConfig] = Field(default_factory=dict, description="Lines by name, in `line_crossed` events.")
    masks: list[SimplePolygon] = Field(
        default_factory=list, description="Pairs whose human stands in one of these are not looked at."
    )

    def layout(self) -> Layout:
        """Return it as what the pipeline takes."""
        return Layout(
            zones=tuple(Zone(name, z.polygon, z.by, z.settle_s) for name, z in self.zones.items()),
            lines=tuple(Line(name, line.start, line.end, line.by) for name, line in self.lines.items()),
            masks=tuple(self.masks),
        )


def load_layout_config(path: Path) -> LayoutConfig:
    """Return what a YAML file with the keys of a source draws: zones, lines, masks. Raises InputError."""
    return load_config(path, LayoutConfig)
