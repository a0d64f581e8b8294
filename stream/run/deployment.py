"""Everything that watches sources and publishes events, from one settings value."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hoiclip.classifier import TextClassifier
from hoiclip.closing import Closing
from hoiclip.errors import HoistreamError
from hoiclip.lessons import open_vocabulary
from hoiclip.vocabulary import DeploymentVocabulary
from stream.events.schema import AlertEvent, Event
from stream.ingest.batcher import FrameBatcher
from stream.ingest.source_state import SourceMessage
from stream.ingest.supervisor import SourceSupervisor
from stream.publish.publisher import Publisher, default_spool_dir
from stream.run.calibration_file import calibrated
from stream.run.canvases import canvases_of, parse_canvases
from stream.run.config import RunConfig, SourceConfig
from stream.run.content import content_hash
from stream.run.engines import EngineFactory, engine_pool
from stream.run.event_sink import EventSink
from stream.run.health import Health
from stream.run.identity import RunIdentity, live_run_id
from stream.run.metrics import Metrics, MetricsServer
from stream.run.models import open_model
from stream.run.pipeline import Pipeline, SourceReport, StageTimes
from stream.run.rules import DeployedRules, known_names, open_rules
from stream.run.scraped import Scraped
from stream.run.settings import source_settings, tracker_settings
from stream.run.source_run import Head, PairWatcher, SourceRun, source_tracker
from stream.track.settings import TrackerSettings

if TYPE_CHECKING:
    from hoiclip.loaded import LoadedModel

logger = logging.getLogger(__name__)

_END_S = 6.5  # from the stop to the moment at which sinks are let go; with what follows, all is over in 8 s
_LEAST_FLUSH_S = 0.5  # however long the stages before took


class Deployment(Closing):
    """The parts that `settings` ask for, opened in an order in which a mistake shows before a camera is touched."""

    def __init__(
        self,
        settings: RunConfig,
        *,
        model: LoadedModel | None = None,
        own_engine: EngineFactory | None = None,
        own_sinks: Sequence[EventSink] = (),
        on_message: Callable[[SourceMessage], None] | None = None,
        on_pairs: Mapping[str, PairWatcher] | None = None,
    ) -> None:
        """Open model, vocabularies, engines, sinks and metrics; sources begin with `run`.

        Args:
            settings: what to run; paths as they are, `stream.run.settings.load_run_config` finds those of a file.
            model: an open model, in the place of the one that the settings name.
            own_engine: opens an engine for a canvas, in the place of the one that the settings name.
            own_sinks: get every event after the sinks that the settings name; closed with the deployment.
            on_message: called with what happens to a source, from the thread of `run`.
            on_pairs: by source id, what gets the pairs of each of its frames.

        Raises InputError for what cannot be right, HoistreamError for what does not work here.
        """
        self._settings, self._own_sinks, self._on_message = settings, tuple(own_sinks), on_message
        self._closers = ExitStack()
        with ExitStack() as opened:  # closed again if anything below fails
            for sink in own_sinks:
                opened.callback(sink.close)
            loaded = model or open_model(settings.model)
            self.canvases = canvases_of(parse_canvases(settings.canvases), loaded)
            classifiers = _classifiers(settings, loaded)
            self.engines = opened.enter_context(engine_pool(loaded, settings.engine, own_engine))
            self.engines.warm(self.canvases)
            watchers = on_pairs or {}
            self._runs = {
                source.id: self._source_run(source, loaded, classifiers[source.id], watchers.get(source.id))
                for source in settings.sources
            }
            self._rules = _deployed_rules(settings, classifiers, opened)
            self._publisher = opened.enter_context(
                Publisher(
                    settings.sinks, spool_dir=settings.spool_dir, max_spool_bytes=int(settings.spool_max_mb * 2**20)
                )
            )
            self._supervisor = opened.enter_context(SourceSupervisor())
            self._times = StageTimes()
            self.metrics = Metrics()
            self.metrics.registry.register(Scraped(self._supervisor, self._publisher, self._times))
            self.health = Health(self._supervisor, self._publisher, self.engines)
            self.metrics_url: str | None = None
            if settings.metrics is not None:
                host, port = settings.metrics.host, settings.metrics.port
                server = opened.enter_context(MetricsServer(self.metrics, self.health.document, host=host, port=port))
                self.metrics_url = f"http://{host}:{server.port}/metrics"
                logger.info("metrics and health: %s", self.metrics_url)
            self._closers = opened.pop_all()

    def close(self) -> None:
        """Stop the sources, flush the sinks and free the engines; safe to call twice."""
        self._closers.close()

    def run(self, stop: threading.Event) -> dict[str, SourceReport]:
        """Work until every file has ended or `stop` is set; events are flushed before this returns. Once only.

        Raises HoistreamError when a recording could not be read to its end, after everything else was done.
        """
        settings = self._settings
        self._publisher.begin({name: run.run_id for name, run in self._runs.items()}, stop=stop)
        alert = partial(self._publish_alert, stop)
        if self._rules is not None:
            self._rules.start(alert)
        with self._supervisor as supervisor:
            for source in settings.sources:
                supervisor.add(source_settings(source, self.canvases))
            pipeline = Pipeline(
                batcher=FrameBatcher(supervisor, settings.engine.max_batch, settings.engine.max_wait_ms / 1000),
                engines=self.engines,
                sources=self._runs,
                publish=partial(self._publish, stop),
                metrics=self.metrics,
                times=self._times,
                on_message=self._on_message,
                on_idle=partial(self._rules.tick, alert) if self._rules is not None else None,
            )
            reports = pipeline.run(stop)
            for message in supervisor.close_accounts():  # cameras that are away at the end
                pipeline.publish_gap(message)
            if self._rules is not None:
                self._rules.finish(alert)
        now_s = time.monotonic()
        stopped_s = now_s if pipeline.stopped_s is None else pipeline.stopped_s
        self._publisher.close(max(stopped_s + _END_S, now_s + _LEAST_FLUSH_S))
        failed = [report.failed for report in reports.values() if report.failed]
        if failed:
            raise HoistreamError("; ".join(failed))
        return reports

    def _publish(self, stop: threading.Event, event: Event) -> None:
        published = self._publisher.publish(event, stop)
        for sink in self._own_sinks:
            sink.write(published)
        if self._rules is not None:
            self._rules.take(published, partial(self._publish_alert, stop))

    def _publish_alert(self, stop: threading.Event, alert: AlertEvent) -> None:
        published = self._publisher.publish(alert, stop)
        for sink in self._own_sinks:
            sink.write(published)
        self.metrics.events.labels(alert.source_id, alert.type, "").inc()

    def _source_run(
        self,
        source: SourceConfig,
        loaded: LoadedModel,
        classifier: TextClassifier,
        on_pairs: PairWatcher | None,
    ) -> SourceRun:
        settings = self._settings
        trackers = [
            calibrated(each, loaded.fingerprint, enhancement=settings.enhancement)
            for each in (settings.tracker, source.tracker)
        ]
        tracking = tracker_settings(*trackers)
        head = Head(classifier, loaded.fingerprint, settings.enhancement, tracking.min_pair_score, loaded.training)
        run_id = live_run_id() if source.live else self._identity(source, head, tracking).run_id
        tracker = source_tracker(source.id, classifier, tracking)
        return SourceRun(source.id, run_id, head, tracker, on_pairs, source.live, source.layout())

    def _identity(self, source: SourceConfig, head: Head, tracking: TrackerSettings) -> RunIdentity:
        return RunIdentity.of(
            content_hash(Path(source.url)),
            head,
            engine=self.engines.name(self.canvases[0]),
            canvases=tuple(self.canvases),
            target_fps=source.target_fps,
            max_still_s=source.still_s,
            tracker=tracking,
            layout=source.layout(),
        )


def _deployed_rules(
    settings: RunConfig, classifiers: Mapping[str, TextClassifier], opened: ExitStack
) -> DeployedRules | None:
    """Return the deployment's rules; their memory is kept beside the spool where there are cameras."""
    if settings.rules is None:
        return None
    rules = open_rules(
        settings.rules, known_names({source.id: source for source in settings.sources}, classifiers.values())
    )
    is_live = any(source.live for source in settings.sources)
    folder = (settings.spool_dir or default_spool_dir()) if is_live else None
    return opened.enter_context(DeployedRules(rules, folder))


def _classifiers(settings: RunConfig, loaded: LoadedModel) -> dict[str, TextClassifier]:
    """Return the classifier of each source, by id; sources with one vocabulary share one."""
    made: list[tuple[Path | DeploymentVocabulary | None, TextClassifier]] = []
    by_source: dict[str, TextClassifier] = {}
    for source in settings.sources:
        wanted = source.vocabulary or settings.vocabulary
        classifier = next((known for vocabulary, known in made if vocabulary == wanted), None)
        if classifier is None:
            classifier = open_vocabulary(loaded, wanted)
            made.append((wanted, classifier))
        by_source[source.id] = classifier
    return by_source
