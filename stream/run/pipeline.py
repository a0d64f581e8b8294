"""The pipeline after the decoders: schedule, run, postprocess; events come out in order per source."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stream.events.schema import Event
from stream.ingest.batcher import Batch, FrameBatcher, FrameMeta
from stream.ingest.source_state import FINAL_KINDS, SourceMessage
from stream.run.absence import Absences
from stream.run.inference import EnginePool, Inferred
from stream.run.source_run import SourceRun

if TYPE_CHECKING:
    from stream.run.metrics import Metrics

logger = logging.getLogger(__name__)
_LOOK_EVERY_S = 0.1  # how often, at least, somebody looks whether an absent camera is absent for too long
_END_REASONS = {"ended": "end_of_file", "failed": "source_failed", "removed": "source_removed"}


@dataclass
class SourceReport:
    """How one source ended."""

    frames: int = 0
    events: int = 0
    failed: str | None = None  # one line; None when the source was read to its end


@dataclass
class StageTimes:
    """Seconds spent by stage, to show where time goes."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, stage: str, started: float) -> float:
        """Charge the time since `started` (perf_counter) to `stage`; return now."""
        now = time.perf_counter()
        self.seconds[stage] += now - started
        return now

    def by_stage(self) -> dict[str, float]:
        """Return the account so far; other threads may be adding to it."""
        return dict(self.seconds)

    def merge(self, other: StageTimes) -> None:
        """Add another account to this one."""
        for stage, seconds in other.seconds.items():
            self.seconds[stage] += seconds


class Pipeline:
    """Run frames of all sources through the engine, and each source's frames through its head, tracker and publisher.

    Two threads: one collects batches and keeps the engine busy, the caller's scores, tracks and publishes. The queue
    between them is bounded: a slow publisher slows the engine, then the rings fill and decoders apply their policy
    (live drops and counts, files wait). The first error of either thread stops both and is raised, after the events of
    the batches before it; a stop lets the batches in flight finish.
    """

    def __init__(
        self,
        *,
        batcher: FrameBatcher,
        engines: EnginePool,
        sources: Mapping[str, SourceRun],  # may get more and lose some meanwhile
        publish: Callable[[Event], object],
        metrics: Metrics | None = None,
        times: StageTimes | None = None,
        on_message: Callable[[SourceMessage], None] | None = None,
        on_frame: Callable[[FrameMeta], None] | None = None,
        on_idle: Callable[[], None] | None = None,
    ) -> None:
        self._batcher = batcher
        self._engines = engines
        self._sources = sources
        self._publish = publish
        self._metrics = metrics
        self._on_message = on_message
        self._on_frame = on_frame
        self._on_idle = on_idle  # called from the thread of `run` when there is nothing to do, ten times a second
        self.finished = False  # every source has said its last word
        self.stopped_s: float | None = None  # when the caller's stop was noticed (monotonic)
        self._work: queue.Queue[Inferred | SourceMessage | None] = queue.Queue(maxsize=4)
        self._absences = Absences()
        self._halt = threading.Event()  # ours; `stop` belongs to the caller and may serve other pipelines
        self._error: BaseException | None = None
        self.times = times or StageTimes()
        self.reports: dict[str, SourceReport] = defaultdict(SourceReport)

    def run(self, stop: threading.Event) -> dict[str, SourceReport]:
        """Work until every source has ended or `stop` is set, then close what is open and return a report a source."""
        worker = threading.Thread(target=self._infer, args=(stop,), name="inference", daemon=True)
        worker.start()
        try:
            while True:
                self._notice(stop)
                try:
                    item = self._work.get(timeout=_LOOK_EVERY_S)
                except queue.Empty:
                    self._rest()
                    continue
                if item is None:
                    self._notice(stop)
                    break
                if isinstance(item, Inferred):
                    self._postprocess(item)
                else:
                    self._message(item)
                if self._work.empty():
                    self._rest()
            self._notice(stop)
            for run in list(self._sources.values()):  # whatever did not end by itself ends with the pipeline
                self._emit(run, run.finish("stopped"))
        finally:
            self._halt.set()
            self._drain(worker)
            worker.join()
        if self._error is not None:
            raise self._error
        return self.reports

    def _notice(self, stop: threading.Event) -> None:
        """Note when the caller's stop came, within a tenth of a second."""
        if self.stopped_s is None and stop.is_set():
            self.stopped_s = time.monotonic()

    def _infer(self, stop: threading.Event) -> None:
        engines = self._engines
        try:
            while not (stop.is_set() or self._halt.is_set()):
                started = time.perf_counter()
                # while the engine works take only what is ready: its outputs come before further waiting
                item = self._batcher.collect(timeout_s=0.0 if engines.in_flight else 0.1)
                self.times.add("wait for frames", started)
                if isinstance(item, Batch):
                    for part in engines.parts(item):
                        self._submit(part)
                elif item is not None:
                    self._hand_over_all()  # a message comes after the frames that were before it
                    self._work.put(item)
                elif engines.in_flight:
                    self._hand_over()
                elif self._batcher.finished:
                    self.finished = True
                    return
        except BaseException as error:
            self._error = error
        finally:
            try:
                self._hand_over_all()  # batches in flight at a stop or an error; after a failed one there is none
            except BaseException as error:
                self._error = self._error or error
            self._work.put(None)

    def _submit(self, batch: Batch) -> None:
        started = time.perf_counter()
        self._engines.submit(batch)
        self.times.add("engine", started)
        while self._engines.full:
            self._hand_over()

    def _hand_over(self) -> None:
        """Wait for the oldest batch in flight and pass it on."""
        started = time.perf_counter()
        item = self._engines.collect()
        self.times.add("engine", started)
        self._work.put(item)
        if self._metrics and item.num_looked:
            self._metrics.batch_size.observe(item.num_looked)

    def _hand_over_all(self) -> None:
        while self._engines.in_flight:
            self._hand_over()

    def _postprocess(self, item: Inferred) -> None:
        for meta, picture, outputs in item.frames():
            run = self._sources.get(meta.source_id)
            if run is None:  # removed while its frames were under way
                continue
            self._absences.back(meta.source_id)
            started = time.perf_counter()
            events = run.still(meta) if outputs is None else run.frame(outputs, meta, picture)
            started = self.times.add("head and track", started)
            self.reports[meta.source_id].frames += 1
            if self._metrics:
                (self._metrics.still if meta.still else self._metrics.frames).labels(meta.source_id).inc()
                if meta.capture_wall_s is not None:
                    self._metrics.latency_s.labels(meta.source_id).observe(max(0.0, time.time() - meta.capture_wall_s))
            self._emit(run, events)
            self.times.add("publish", started)
            if self._on_frame:
                self._on_frame(meta)

    def _message(self, message: SourceMessage) -> None:
        run = self._sources.get(message.source_id)
        if run is not None:
            if message.gap is not None:
                self._emit(run, run.interrupted(message.gap))
            if message.kind in FINAL_KINDS:
                self._emit(run, run.finish(_END_REASONS[message.kind]))
            self._emit(run, run.changed(message))
            if run.is_live:
                self._absences.note(message, run)
            if message.kind == "failed":
                self.reports[message.source_id].failed = message.detail
            else:
                self.reports[message.source_id]  # a source that ended without a frame has a report too
        if self._on_message:
            self._on_message(message)

    def _rest(self) -> None:
        self._end_unseen()
        if self._on_idle is not None:
            self._on_idle()

    def _end_unseen(self) -> None:
        """End what was going on before cameras that have been away for too long."""
        for source_id in self._absences.over():
            run = self._sources.get(source_id)
            if run is not None:
                self._emit(run, run.unseen())

    def publish_gap(self, message: SourceMessage) -> None:
        """Publish a blind stretch that is still open when the run ends."""
        run = self._sources.get(message.source_id)
        if run is not None and message.gap is not None:
            self._emit(run, run.interrupted(message.gap))

    def _emit(self, run: SourceRun, events: list[Event]) -> None:
        for event in events:
            self._publish(event)
            if self._metrics:
                self._metrics.events.labels(run.source_id, event.type, getattr(event, "interaction", "")).inc()
        self.reports[run.source_id].events += len(events)

    def _drain(self, worker: threading.Thread) -> None:
        """Take what the worker still hands over, so that it never waits for a reader that is gone."""
        while worker.is_alive():
            try:
                self._work.get(timeout=0.05)
            except queue.Empty:
                continue
