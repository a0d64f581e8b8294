"""What callers may write for a vocabulary, a tracker, an engine and sources, as the configuration that it means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from hoiclip.errors import InputError
from hoiclip.vocabulary import DeploymentVocabulary
from stream.rules.language import RulesFile
from stream.run.config import SourceConfig, TrackerConfig
from stream.run.event_sink import EventSink
from stream.run.layout_config import LayoutConfig, load_layout_config
from stream.track.settings import TrackerSettings

Words = Sequence[str | Mapping[str, str]]
"""What to look for: names that the model knows, such as ``ride bicycle``, or what the entries of a vocabulary file may
be, such as ``{"text": "a person carrying a ladder", "object": "any"}``."""
Location = str | Path | SourceConfig
Checked = TypeVar("Checked", bound=BaseModel)


def checked(model: type[Checked], values: Any, what: str) -> Checked:
    """Return `values` as a configuration of type `model`. Raises InputError that begins with `what`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{what}{f', `{place}`' if place else ''}: {message}") from None


def vocabulary_of(vocabulary: Words | str | Path | None) -> Path | DeploymentVocabulary | None:
    """Return a vocabulary file, or words as a vocabulary; None for all that the model knows."""
    if vocabulary is None:
        return None
    if isinstance(vocabulary, str | Path):
        path = Path(vocabulary).expanduser()
        if not path.is_file():
            raise InputError(
                f"vocabulary: no file {path}; give a YAML file, or a list of words such as [{str(vocabulary)!r}]"
            )
        return path
    return checked(DeploymentVocabulary, {"interactions": list(vocabulary)}, "vocabulary")


def tracker_of(tracker: TrackerSettings | Mapping[str, Any] | None) -> TrackerConfig:
    """Return the tracker's settings as a configuration; a mapping changes the defaults that it names."""
    values = asdict(tracker) if isinstance(tracker, TrackerSettings) else dict(tracker or {})
    return checked(TrackerConfig, values, "tracker")


def layout_of(zones: Mapping[str, Any] | str | Path | None) -> LayoutConfig:
    """Return zones, lines and masks in a YAML file or a mapping with the keys of one, as a configuration."""
    if isinstance(zones, str | Path):
        return load_layout_config(Path(zones).expanduser())
    return checked(LayoutConfig, dict(zones or {}), "zones")


def rules_of(rules: Mapping[str, Any] | str | Path | None) -> Path | RulesFile | None:
    """Return a file of rules, or a mapping with the keys of one as rules; None for none."""
    if rules is None:
        return None
    if isinstance(rules, str | Path):
        path = Path(rules).expanduser()
        if not path.is_file():
            raise InputError(f"rules: no file {path}")
        return path
    return checked(RulesFile, dict(rules), "rules")


def sources_of(
    sources: Location | Iterable[Location] | Mapping[str, Location], target_fps: float | None, layout: LayoutConfig
) -> list[SourceConfig]:
    """Return a configuration for each source; one without an id is called after its file or camera.

    `target_fps` and `layout` are those of every source that is no `SourceConfig`.

    Raises InputError for a file that does not exist and for an id that is used twice.
    """
    if isinstance(sources, Mapping):
        found = [_source(location, source_id, target_fps, layout) for source_id, location in sources.items()]
    else:
        listed = [sources] if isinstance(sources, str | Path | SourceConfig) else list(sources)
        taken = {source.id for source in listed if isinstance(source, SourceConfig)}
        found = []
        for location in listed:
            source = _source(location, _free_id(location, taken), target_fps, layout)
            taken.add(source.id)
            found.append(source)
    if not found:
        raise InputError("no sources: give a camera's URL, a file's path, or several of them")
    for source in found:
        path = Path(source.url.removeprefix("file://"))
        if not source.live and not path.is_file():
            raise InputError(f"source {source.id!r}: {path}: no such file")
    return found


def _source(location: Location, source_id: str, target_fps: float | None, layout: LayoutConfig) -> SourceConfig:
    if isinstance(location, SourceConfig):
        return location
    url = location if isinstance(location, str) and "://" in location else str(Path(location).expanduser())
    values = {"id": source_id, "url": url, "target_fps": target_fps, **dict(layout)}
    return checked(SourceConfig, values, f"source {source_id!r}")


def _free_id(location: Location, taken: set[str]) -> str:
    if isinstance(location, SourceConfig):
        return location.id
    text = str(location)
    parts = urlsplit(text) if "://" in text else None  # the user and password are no part of a name
    plain = f"{parts.hostname}{parts.path}" if parts and parts.hostname else Path(text).stem
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-.")[:56] or "source"
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    return candidate


def sinks_of(sinks: Iterable[str | EventSink]) -> tuple[list[str], list[EventSink]]:
    """Return the sinks that are named by URL, and those that are objects."""
    given = [sinks] if isinstance(sinks, str) else list(sinks)
    for sink in given:
        if not isinstance(sink, str) and not (hasattr(sink, "write") and hasattr(sink, "close")):
            raise InputError(f"sink {sink!r}: expected a URL, or an object with `write(event)` and `close()`")
    return [sink for sink in given if isinstance(sink, str)], [sink for sink in given if not isinstance(sink, str)]


class CallbackSink:
    """Hands events to a function."""

    def __init__(self, on_event: Callable[[Any], object]) -> None:
        self.write = on_event

    def close(self) -> None:
        """Nothing to close."""
