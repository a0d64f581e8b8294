"""From a configuration to running parts: model, classifiers, engines, trackers, sources, publisher."""

from __future__ import annotations

import logging
import re
import threading
import uuid
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import typer

from engines.registry import open_engine
from hoiclip.classifier import TextClassifier
from hoiclip.errors import HoistreamError, InputError
from hoiclip.hashes import short_hash
from hoiclip.lessons import open_vocabulary
from hoiclip.shipped import shipped_model
from hoiclip.types import Canvas, Engine
from hoiclip.weights import LoadedModel, load_model
from stream.decode.sources import SourceSettings
from stream.ingest.batcher import FrameBatcher
from stream.ingest.supervisor import SourceMessage, SourceSupervisor
from stream.publish.publisher import Publisher
from stream.redaction import redact
from stream.run.config import EngineConfig, RunConfig, SourceConfig, TrackerConfig
from stream.run.identity import recording_run_id
from stream.run.inference import EnginePool
from stream.run.metrics import Metrics, MetricsServer
from stream.run.pipeline import Pipeline, SourceReport
from stream.run.source_run import Head, SourceRun
from stream.track.tracker import PairTracker, TrackerSettings

logger = logging.getLogger(__name__)


def open_model(path: Path | None) -> LoadedModel:
    """Load a model; without `path` the shipped demonstration model, and say so on stderr."""
    if path is None:
        path = shipped_model()
        typer.echo(f"model: the shipped demonstration model ({path}); pass --model for your own", err=True)
    return load_model(path)


def check_files(settings: RunConfig, config: Path) -> None:
    """Raise InputError naming the first file that the configuration names and that does not exist."""
    named = [("model", settings.model), ("vocabulary", settings.vocabulary)]
    named += [(f"sources.{s.id}.vocabulary", s.vocabulary) for s in settings.sources]
    named += [(f"sources.{s.id}.url", Path(s.url)) for s in settings.sources if not s.live]
    for key, path in named:
        if path is not None and not resolve(path, config).exists():
            raise InputError(f"{config}: `{key}`: {path} does not exist (looked beside the file and in {Path.cwd()})")


def resolve(path: Path, config: Path) -> Path:
    """Return `path` as found beside the configuration, in its parent folder or in the working directory."""
    if path.is_absolute():
        return path
    candidates = (config.parent / path, Path.cwd() / path)
    return next((candidate for candidate in candidates if candidate.exists()), path)


def tracker_settings(*configs: TrackerConfig) -> TrackerSettings:
    """Return the tracker's settings; later configurations override earlier ones where they say something."""
    values: dict[str, Any] = {}
    thresholds: dict[str, tuple[float, float]] = {}
    for config in configs:
        given = config.model_dump(exclude_none=True)
        thresholds |= given.pop("thresholds")
        values |= given
    return replace(TrackerSettings(), **values, thresholds=thresholds)


def engine_pool(loaded: LoadedModel, config: EngineConfig) -> EnginePool:
    """Return a pool that opens the configured engine for each canvas."""

    def open_for(canvas: Canvas) -> Engine:
        engine = open_engine(
            config.kind,
            loaded,
            canvas,
            max_batch=config.max_batch,
            precision=config.precision,
            cache_dir=config.cache_dir,
            threads=config.threads,
        )
        logger.info("engine %s for canvas %s", engine.name, canvas)
        return engine

    return EnginePool(open_for)


def model_canvas(loaded: LoadedModel) -> Canvas:
    """Return the model's own canvas: its shorter by its longer side."""
    return Canvas(loaded.model.config.shorter_side, loaded.model.config.longer_side)


def parse_canvases(sizes: list[str]) -> list[Canvas]:
    """Return canvases for sizes written HEIGHTxWIDTH. Raises InputError for anything else."""
    for size in sizes:
        if not re.fullmatch(r"[1-9]\d{1,3}x[1-9]\d{1,3}", size):
            raise InputError(f"expected a canvas as HEIGHTxWIDTH such as 256x448, got {size!r}")
    return [Canvas(*map(int, size.split("x"))) for size in sizes]


def canvases_of(sizes: list[Canvas], loaded: LoadedModel) -> list[Canvas]:
    """Return the configured canvases, or the model's own."""
    return sizes or [model_canvas(loaded)]


def source_settings(source: SourceConfig, location: str, canvases: list[Canvas]) -> SourceSettings:
    """Return what the decoder needs to know."""
    return SourceSettings(
        id=source.id,
        url=location,
        kind="live" if source.live else "file",
        canvases=tuple(canvases),
        target_fps=source.target_fps,
        timeout_s=source.timeout_s,
        staleness_s=source.staleness_s,
    )


def source_classifier(loaded: LoadedModel, vocabulary: Path | None) -> TextClassifier:
    """Return the classifier of a vocabulary file, or of all that the model knows."""
    return open_vocabulary(loaded, vocabulary)


def source_tracker(source_id: str, classifier: TextClassifier, settings: TrackerSettings) -> PairTracker:
    """Return the tracker of one source."""
    return PairTracker(
        classifier.names,
        object_names=classifier.object_names,
        no_interaction=classifier.no_interaction,
        settings=settings,
        source_id=source_id,
    )


class Deployment:
    """Everything `hoistream run` needs, opened in an order in which a mistake shows before a camera is touched."""

    def __init__(self, settings: RunConfig, config: Path) -> None:
        check_files(settings, config)
        self._settings, self._config = settings, config
        self._stack = ExitStack()
        self._up: dict[str, bool] = {}
        self.metrics = Metrics()
        self.loaded = open_model(resolve(settings.model, config) if settings.model else None)
        self._classifiers: dict[Path | None, TextClassifier] = {}
        self.canvases = canvases_of(parse_canvases(settings.canvases), self.loaded)

    def __enter__(self) -> Self:
        settings = self._settings
        try:
            self.engines = self._stack.enter_context(engine_pool(self.loaded, settings.engine))
            self.runs = {source.id: self._source_run(source) for source in settings.sources}
            self.engines.warm(self.canvases)
            self.publisher = self._stack.enter_context(
                Publisher(
                    settings.sinks, spool_dir=settings.spool_dir, max_spool_bytes=int(settings.spool_max_mb * 2**20)
                )
            )
            if settings.metrics is not None:
                server = MetricsServer(
                    self.metrics, self.health, host=settings.metrics.host, port=settings.metrics.port
                )
                self._stack.enter_context(server)
                typer.echo(f"metrics and health: http://{settings.metrics.host}:{server.port}/metrics", err=True)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def run(self, stop: threading.Event) -> dict[str, SourceReport]:
        """Work until every file has ended or `stop` is set; events are flushed before this returns.

        Raises HoistreamError when a recording could not be read to its end, after everything else was done.
        """
        settings = self._settings
        sources = [source_settings(s, self._location(s), self.canvases) for s in settings.sources]
        with SourceSupervisor(sources) as supervisor:
            self.supervisor = supervisor
            pipeline = Pipeline(
                batcher=FrameBatcher(supervisor, settings.engine.max_batch, settings.engine.max_wait_ms / 1000),
                engines=self.engines,
                sources=self.runs,
                publish=partial(self.publisher.publish, stop=stop),
                metrics=self.metrics,
                on_message=self._note,
            )
            reports = pipeline.run(stop)
            for message in supervisor.close_accounts():  # cameras that are away at the end
                pipeline.publish_gap(message)
            self._update_metrics()
        if not self.publisher.flush(timeout_s=5.0):
            state = self.publisher.state
            typer.echo(
                f"{state.lag} events are spooled on disk for a sink that is away; the next start delivers them",
                err=True,
            )
        failed = [report.failed for report in reports.values() if report.failed]
        if failed:
            raise HoistreamError("; ".join(failed))
        return reports

    def health(self) -> dict[str, Any]:
        """Return a JSON-ready document: ok while every sink takes events and every source sends frames."""
        self._update_metrics()
        published = self.publisher.state
        return {
            "ok": published.ok and all(self._up.values()),
            "publisher": published.state,
            "lag_events": published.lag,
            "sources": {name: "up" if up else "down" for name, up in self._up.items()},
            "engines": self.engines.names,
        }

    def _update_metrics(self) -> None:
        supervisor = getattr(self, "supervisor", None)
        if supervisor is not None:
            self._up = supervisor.connected()
            for name, account in supervisor.coverage().items():
                self.metrics.blind_s.labels(name).set(account.blind_s)
                self.metrics.connected.labels(name).set(self._up.get(name, False))
                for reason, count in account.dropped.items():
                    self.metrics.dropped.labels(name, reason).set(count)
        published = self.publisher.state
        self.metrics.spool_bytes.set(published.spool_bytes)
        self.metrics.spool_lag.set(published.lag)

    def _note(self, message: SourceMessage) -> None:
        """Say on stderr what people watching a terminal want to know; details go to the log."""
        if message.kind in ("opened", "lost", "resumed", "restarted", "failed"):
            typer.echo(redact(f"{message.source_id}: {message.kind} {message.detail}".rstrip()), err=True)

    def _location(self, source: SourceConfig) -> str:
        return source.url if source.live else str(resolve(Path(source.url), self._config))

    def _source_run(self, source: SourceConfig) -> SourceRun:
        path = source.vocabulary or self._settings.vocabulary
        if path not in self._classifiers:
            self._classifiers[path] = source_classifier(self.loaded, resolve(path, self._config) if path else None)
        classifier = self._classifiers[path]
        settings = tracker_settings(self._settings.tracker, source.tracker)
        head = Head(classifier, self.loaded.fingerprint, self._settings.enhancement, settings.min_pair_score)
        if source.live:
            run_id = short_hash(uuid.uuid4().hex)
        else:
            run_id = recording_run_id(Path(self._location(source)), head, (settings, source.target_fps, self.canvases))
        return SourceRun(source.id, run_id, head, source_tracker(source.id, classifier, settings))
