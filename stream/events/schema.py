"""What is published: interactions, lines they cross, alerts of rules, coverage gaps, source states and lost events.

Imports nothing but pydantic, so a subscriber needs no torch. Times on the media's clock are seconds from the start of
the source's run (for a recording: of the file); wall-clock times are UTC and named in `CLOCK_FIELDS`.

How it grows: a minor version adds fields (with a default), kinds of events and codes, and readers ignore what they do
not know; whatever else changes makes a new major version, which is published to a stream of another name. So
`schema_version` in an event is the major version, and never changes within one stream.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypedDict

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from hoiclip.hashes import short_hash

SCHEMA_VERSION: Final = 1
"""Major version: in every event, and in the name of the stream from 2 on (``hoistream:events:v2``)."""

SCHEMA_MINOR: Final = 1
"""Raised when a field, a kind of event or a code is added; see `docs/events.md`."""

CLOCK_FIELDS: Final = frozenset({"capture_time", "published_time", "from_time", "to_time"})
"""Fields that hold a wall clock: the only ones that differ when the same file is processed again."""


def _tenth(value: float) -> float:
    return round(value, 1)


def _milli(value: float) -> float:
    return round(value, 3)


def _score(value: float) -> float:
    return round(value, 4)


# Rounding belongs to the schema: it makes events short, and equal where arithmetic differs in the last bits.
Pixel = Annotated[float, AfterValidator(_tenth)]
MediaSeconds = Annotated[float, AfterValidator(_milli)]
Score = Annotated[float, Field(ge=0.0, le=1.0), AfterValidator(_score)]
Box = tuple[Pixel, Pixel, Pixel, Pixel]


PlainText = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]


class _Event(BaseModel):
    """What every event carries."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, allow_inf_nan=False, json_schema_serialization_defaults_required=True
    )

    schema_version: Literal[1] = SCHEMA_VERSION
    event_id: str = Field(description="Unique and repeatable: deduplicate by it. Equal for replays of one event.")
    run_id: PlainText = Field(description="One run of one source configuration; repeatable for recordings.")
    source_id: PlainText = Field(description="The camera's or the file's name in the configuration.")
    seq: int = Field(ge=1, description="Counts the events of this source in this run, without holes.")
    media_time_s: MediaSeconds = Field(description="Position in the media, in seconds.")
    capture_time: AwareDatetime | None = Field(
        default=None, description="When the frame was captured, UTC; null where a recording does not say."
    )
    published_time: AwareDatetime | None = Field(
        default=None, description="When the publisher accepted the event, UTC."
    )

    @property
    def clock(self) -> datetime | None:
        """The best wall time known: capture, else publication."""
        return self.capture_time or self.published_time


class _PairEvent(_Event):
    """What an event about one interaction of a human and an object carries."""

    interaction_id: str = Field(description="Shared by the started, updated and ended events of one interaction.")
    pair_id: int = Field(description="The tracked (human, object) pair; unique in source and run.")
    human_id: int = Field(
        description="The tracked human, the same over several interactions; unique in source and run."
    )
    object_id: int = Field(description="The tracked object; unique in source and run.")
    verb: str = Field(description="Such as `ride`; for a free-text interaction its whole name.")
    object: str = Field(description="Object class such as `bicycle`.")
    interaction: str = Field(description="Name to show, such as `ride bicycle`.")
    prompt: str = Field(description="The text whose CLIP embedding the score was measured against.")
    score: Score = Field(description="Smoothed score at this moment.")
    peak_score: Score = Field(description="Highest smoothed score since the start.")
    human_box_xyxy_px: Box = Field(description="Left, top, right, bottom in source pixels, to 0.1 px.")
    object_box_xyxy_px: Box = Field(description="Left, top, right, bottom in source pixels, to 0.1 px.")
    frame_width_px: int = Field(ge=1, description="Width of the source frame, after rotation.")
    frame_height_px: int = Field(ge=1, description="Height of the source frame, after rotation.")
    started_media_s: MediaSeconds = Field(description="Media time at which the interaction began.")
    duration_s: MediaSeconds = Field(ge=0, description="Seconds of media time since the start.")
    reason: str = Field(description="Code of why this event came, such as `score` or `lost`; see docs/events.md.")
    why: str = Field(description="The same for people, with the numbers that decided.")
    model_fingerprint: str = Field(description="Hash of the weights.")
    vocabulary_fingerprint: str = Field(description="Hash of the names and prompts in use.")
    zones: tuple[str, ...] = Field(
        default=(), description="The source's zones that the pair is in now; of `ended`, where it was last. Since 1.1."
    )
    dwell_s: dict[str, MediaSeconds] = Field(
        default_factory=dict,
        description="By zone, how many seconds of the interaction so far the pair was in it. Since 1.1.",
    )


class InteractionEvent(_PairEvent):
    """A human and an object began an interaction, still are in it, or ended it.

    The events of one interaction share `interaction_id`: one `started`, any number of `updated`, one `ended`.
    """

    type: Literal["started", "updated", "ended"]


class LineCrossedEvent(_PairEvent):
    """A pair crossed a line of its source while in an interaction: one event for each interaction that goes on.

    Since 1.1.
    """

    type: Literal["line_crossed"] = "line_crossed"
    line: str = Field(description="Name of the line in the source's configuration.")
    direction: Literal["in", "out"] = Field(
        description="`in`: from the left to the right hand of who walks from the line's `start` to its `end`."
    )
    count: int = Field(ge=1, description="How often this interaction has crossed this line this way in this run.")


class AlertEvent(_Event):
    """A rule matched. Its `run_id` is the rules' own over the run of its newest event, and `seq` counts within that.

    `event_id` follows from the rule and `event_ids`, so an alert that is found again is the same one. Since 1.1.
    """

    type: Literal["alert"] = "alert"
    rule: str = Field(description="Name of the rule.")
    severity: Literal["info", "warning", "critical"]
    reason: str = Field(description="Which operator matched: `lasts`, `sequence`, `absence` or `count`.")
    why: str = Field(description="The same for people, with the numbers that decided.")
    event_ids: tuple[str, ...] = Field(min_length=1, description="The events that it came from, in order.")
    interaction_ids: tuple[str, ...] = Field(description="Their interactions, each once.")
    interactions: tuple[str, ...] = Field(description="Names of these, each once, such as `hold phone`.")
    sources: tuple[str, ...] = Field(description="Their sources, each once; `source_id` is that of the newest.")
    human_ids: tuple[int, ...] = Field(description="Their humans, each once.")
    zones: tuple[str, ...] = Field(default=(), description="The zones that their pairs were in, each once.")


class CoverageGapEvent(_Event):
    """A stretch in which the source could not be seen: nothing can be said about it."""

    type: Literal["coverage_gap"] = "coverage_gap"
    from_media_s: MediaSeconds = Field(description="Media time of the last frame seen before.")
    to_media_s: MediaSeconds = Field(description="Media time of the first frame seen after, or of the end.")
    from_time: AwareDatetime | None = Field(default=None, description="Wall time of the beginning, UTC.")
    to_time: AwareDatetime | None = Field(default=None, description="Wall time of the end, UTC.")
    blind_s: MediaSeconds = Field(ge=0, description="Length in seconds.")
    reason: str = Field(description="Code such as `stalled`, `refused`, `ended`, `corrupt`, `crashed`.")
    why: str = Field(default="", description="The same for people.")
    open: bool = Field(
        default=False,
        description="It goes on: `to_media_s` is now; the whole gap, from the same moment, follows when it is over.",
    )


class SourceStateEvent(_Event):
    """A source is being opened, shows something, is away, or is over."""

    type: Literal["source_state"] = "source_state"
    state: str = Field(description="One of `SOURCE_STATES`; a later minor version may add more.")
    reason: str = Field(default="", description="Code of why, such as `stalled` or `refused`; empty where none is due.")
    why: str = Field(default="", description="Detail for people; never holds a password.")


SOURCE_STATES: Final = ("connecting", "up", "lost", "failed", "removed", "ended")


class EventsLostEvent(_Event):
    """Events were lost: their source's `seq` has a hole. Published by the publisher itself, as `PUBLISHER_ID`."""

    type: Literal["events_lost"] = "events_lost"
    count: int = Field(ge=1, description="How many; where that cannot be known, at least so many.")
    where: str = Field(description="`spool`: before they reached the stream. `stream`: after; the spool may have them.")
    reason: str = Field(description="Code: `damaged`, `truncated`, `removed`, `deleted`; see docs/events.md.")
    why: str = Field(default="", description="The same for people.")


PUBLISHER_ID: Final = "(publisher)"
"""The `source_id` of what the publisher says about itself: no camera can be called so."""

EVENT_TYPES: Final = (
    "started",
    "updated",
    "ended",
    "line_crossed",
    "alert",
    "coverage_gap",
    "source_state",
    "events_lost",
)
Event = InteractionEvent | LineCrossedEvent | AlertEvent | CoverageGapEvent | SourceStateEvent | EventsLostEvent
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])


class UnknownEventTypeError(ValueError):
    """A sound event of a kind that a newer minor version added: to be passed over."""


class _Kind(BaseModel):
    schema_version: Literal[1]
    type: str
    event_id: str


def parse_event(data: str | bytes) -> Event:
    """Return the typed event in one JSON document; fields that this version does not know are left out.

    Raises UnknownEventTypeError for a kind of event that this version does not know, and pydantic.ValidationError for
    what is no event of this major version.
    """
    try:
        return _ADAPTER.validate_json(data)
    except ValidationError as error:
        if error.errors(include_url=False, include_input=False)[0]["type"] != "union_tag_invalid":
            raise
    kind = _Kind.model_validate_json(data)
    raise UnknownEventTypeError(f"event {kind.event_id}: type {kind.type!r} is newer than this reader")


def event_json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of every event, as it is published."""
    return _ADAPTER.json_schema(mode="serialization")


def comparable(event: Event) -> dict[str, Any]:
    """Return the JSON-ready fields of `event` without its wall clocks: equal for two runs over the same file."""
    return event.model_dump(mode="json", exclude=set(CLOCK_FIELDS))


class Numbered(TypedDict):
    """The fields that `EventNumbers.next` fills."""

    event_id: str
    run_id: str
    source_id: str
    seq: int


class EventNumbers:
    """Hand out the ids of one source's events; repeatable, so equal runs give equal ids.

    Use: ``InteractionEvent(**numbers.next(), type="started", ...)``.
    """

    def __init__(self, run_id: str, source_id: str, last_seq: int = 0) -> None:
        self.run_id = run_id
        self.source_id = source_id
        self.seq = last_seq

    def next(self) -> Numbered:
        """Return the ids of the next event; `seq` counts from 1."""
        self.seq += 1
        identity = short_hash(self.run_id, self.source_id, str(self.seq))
        return Numbered(event_id=identity, run_id=self.run_id, source_id=self.source_id, seq=self.seq)

    def interaction_id(self, pair_id: int, interaction: str, started_media_s: float) -> str:
        """Return the id shared by the events of one interaction of one pair."""
        return short_hash(self.run_id, self.source_id, str(pair_id), interaction, f"{started_media_s:.3f}")
