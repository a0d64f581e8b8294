"""From what a configuration says to what the parts take: files found, sources, tracker."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hoiclip.errors import InputError
from hoiclip.types import Canvas
from hoiclip.vocabulary import DeploymentVocabulary
from hoiclip.yaml_lines import load_config
from stream.decode.sources import SourceSettings
from stream.run.config import RunConfig, SourceConfig, TrackerConfig
from stream.run.models import model_path
from stream.track.settings import TrackerSettings

_HOST = re.compile(
    r"([^/@\s]+@)?[\w-]+(\.[\w-]+)+:\d{2,5}(/|$)|([^/@\s]+@)?\d+(\.\d+){3}(/|$)"
)  # of a URL without its scheme


def load_run_config(config: Path, *, model: str | None = None) -> RunConfig:
    """Read a deployment's YAML; `model`, where given, takes the place of what the file says.

    Every file that it names is looked up beside it, then in the working directory, and comes back as found. Raises
    InputError with the line of what cannot be right, and naming the first file that does not exist.
    """
    settings = load_config(config, RunConfig)
    if not settings.sinks:
        raise InputError(f"{config}: `sinks` is empty: events would go nowhere; name one, such as stdout:")
    if model is not None:
        settings = settings.model_copy(update={"model": model})
    beside = config.parent
    located = {
        "model": str(model_path(settings.model, beside=beside)),
        "vocabulary": _located_vocabulary("vocabulary", settings.vocabulary, config),
        "tracker": _located_tracker("tracker", settings.tracker, config),
        "rules": _located("rules", settings.rules, config) if isinstance(settings.rules, Path) else settings.rules,
        "sources": [_located_source(source, config) for source in settings.sources],
    }
    return settings.model_copy(update=located)


def _located_source(source: SourceConfig, config: Path) -> SourceConfig:
    key = f"sources.{source.id}"
    found: dict[str, Any] = {
        "vocabulary": _located_vocabulary(f"{key}.vocabulary", source.vocabulary, config),
        "tracker": _located_tracker(f"{key}.tracker", source.tracker, config),
    }
    if not source.live:
        found["url"] = str(_located(f"{key}.url", Path(source.url.removeprefix("file://")), config))
    return source.model_copy(update=found)


def _located_tracker(key: str, tracker: TrackerConfig, config: Path) -> TrackerConfig:
    if tracker.calibration is None:
        return tracker
    return tracker.model_copy(update={"calibration": _located(f"{key}.calibration", tracker.calibration, config)})


def _located_vocabulary(
    key: str, vocabulary: Path | DeploymentVocabulary | None, config: Path
) -> Path | DeploymentVocabulary | None:
    return _located(key, vocabulary, config) if isinstance(vocabulary, Path) else vocabulary


def _located(key: str, path: Path, config: Path) -> Path:
    if path.is_absolute() and path.exists():
        return path
    for candidate in (config.parent / path, path):
        if candidate.exists():
            return candidate
    if key.endswith(".url") and _HOST.match(str(path)):
        raise InputError(f"{config}: `{key}`: {path} looks like a camera's address; write rtsp://{path}")
    raise InputError(f"{config}: `{key}`: {path} does not exist (looked beside the file and in {Path.cwd()})")


def source_settings(source: SourceConfig, canvases: Sequence[Canvas]) -> SourceSettings:
    """Return what the decoder needs to know."""
    return SourceSettings(
        id=source.id,
        url=source.url,
        kind="live" if source.live else "file",
        canvases=tuple(canvases),
        target_fps=source.target_fps,
        timeout_s=source.timeout_s,
        staleness_s=source.staleness_s,
        max_still_s=source.still_s,
    )


def tracker_settings(*configs: TrackerConfig) -> TrackerSettings:
    """Return the tracker's settings; later configurations override earlier ones where they say something.

    A `calibration` file is read by `stream.run.calibration_file.calibrated` before.
    """
    values: dict[str, Any] = {}
    thresholds: dict[str, tuple[float, float]] = {}
    for config in configs:
        given = config.model_dump(exclude_none=True, exclude={"calibration"})
        thresholds |= given.pop("thresholds")
        values |= given
    return replace(TrackerSettings(), **values, thresholds=thresholds)
