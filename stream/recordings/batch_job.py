"""Recorded videos through the pipeline, one after the other; a killed job goes on where it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from hoiclip.errors import HoistreamError, InputError
from hoiclip.types import Canvas
from stream.decode.sources import SourceSettings
from stream.events.schema import Event
from stream.ingest.batcher import FrameBatcher
from stream.ingest.coverage import Coverage
from stream.ingest.supervisor import SourceSupervisor
from stream.recordings.media import Video
from stream.recordings.results import Receipt, ResultPaths, finished, write_results
from stream.run.config import EngineConfig
from stream.run.content import content_hash
from stream.run.engines import EngineFactory, engine_pool
from stream.run.identity import RunIdentity
from stream.run.inference import EnginePool
from stream.run.pipeline import Pipeline, StageTimes
from stream.run.source_run import Head, SourceRun, source_tracker
from stream.track.settings import TrackerSettings
from stream.zones.layout import Layout

if TYPE_CHECKING:
    from hoiclip.loaded import LoadedModel
    from stream.recordings.render import View

Stage = Literal["reading", "watching", "drawing"]
VideoState = Literal["done", "failed", "skipped", "stopped", "waiting"]


class Progress(NamedTuple):
    """How far a video is."""

    video: Video
    stage: Stage  # "reading" its bytes for the hash, "watching" its frames, "drawing" the annotated video
    done: float  # seconds of media; bytes while reading
    total: float  # the same for all of it; 0 where that is unknown


@dataclass(frozen=True)
class BatchSettings:
    """What decides a job's events, and what it leaves beside them."""

    canvases: tuple[Canvas, ...]
    engine: EngineConfig
    tracker: TrackerSettings
    target_fps: float | None = 8.0
    annotated: bool = False
    layout: Layout = field(default_factory=Layout)  # of every video: zones, lines, masks
    max_still_s: float = 0.0  # a picture in which nothing changes is not looked at again for so long


@dataclass(frozen=True)
class VideoResult:
    """How one video ended."""

    video: Video
    state: VideoState  # "skipped": an earlier run finished it, whose numbers these are; "waiting": its turn never came
    detail: str = ""  # one line where it failed
    frames: int = 0
    dropped: int = 0
    events: int = 0
    seconds: float = 0.0  # wall


@dataclass(frozen=True)
class _Watched:
    """What one pass over a video gave."""

    events: list[Event]
    views: list[View]
    frames: int
    length_s: float
    coverage: Coverage
    failed: str | None
    is_whole: bool  # False when it was stopped before the end


class BatchJob:
    """Process videos into `out`; engines stay open from one video to the next.

    `sink`, where given, gets every event as it happens, beside the files; `own_engine` opens engines in the place of
    the one that the settings name.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        head: Head,
        settings: BatchSettings,
        out: Path,
        sink: Callable[[Event], object] | None = None,
        own_engine: EngineFactory | None = None,
    ) -> None:
        self._loaded, self._head, self._settings, self._out, self._sink = loaded, head, settings, out, sink
        self._own_engine = own_engine
        self.times = StageTimes()

    def run(
        self,
        videos: Sequence[Video],
        stop: threading.Event,
        progress: Callable[[Progress], None],
        done: Callable[[VideoResult], None],
    ) -> list[VideoResult]:
        """Process each video until `stop` is set; return a result for each, in order.

        Raises InputError when `out` cannot be made, HoistreamError when results cannot be written: the other videos'
        would share their fate.
        """
        try:
            self._out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self._out}: cannot be made: {error.strerror}; give a folder that can") from error
        results = []
        with engine_pool(self._loaded, self._settings.engine, self._own_engine) as engines:
            for video in videos:
                if stop.is_set():
                    results.append(VideoResult(video, "waiting"))
                    continue
                result = self._process(video, engines, stop, progress)
                results.append(result)
                done(result)
        return results

    def _process(
        self, video: Video, engines: EnginePool, stop: threading.Event, progress: Callable[[Progress], None]
    ) -> VideoResult:
        annotated, paths = self._settings.annotated, ResultPaths.of(self._out, video.name)
        try:
            identity = self._identity(video, engines, progress)
        except InputError as error:
            return VideoResult(video, "failed", str(error))
        before = finished(paths, identity.run_id, annotated=annotated)
        if before is not None:
            return VideoResult(video, "skipped", "", before.frames, before.dropped, before.events, before.seconds)
        started = time.monotonic()
        watched = self._watch(video, identity.run_id, engines, stop, progress)
        if not watched.is_whole:
            return VideoResult(video, "stopped", "stopped before its end; run the same command to do it")
        receipt = self._receipt(video, identity, watched, engines, time.monotonic() - started)
        if watched.failed is None or watched.events:
            try:
                if annotated and watched.views:
                    from stream.recordings.render import render_annotated  # brings PyAV

                    draw = partial(_draw_progress, progress, video, watched.length_s)
                    layout = self._settings.layout
                    if not render_annotated(
                        self._source(video), paths.annotated, watched.views, stop, layout=layout, progress=draw
                    ):
                        return VideoResult(video, "stopped", "stopped while drawing; run the same command to do it")
                write_results(paths, watched.events, title=video.path.name, receipt=receipt)
            except OSError as error:
                raise HoistreamError(
                    f"{self._out}: results of {video.path.name} cannot be written: {error.strerror or error}"
                ) from error
        return VideoResult(
            video,
            "done" if watched.failed is None else "failed",
            watched.failed or "",
            watched.frames,
            receipt.dropped,
            len(watched.events),
            receipt.seconds,
        )

    def _source(self, video: Video) -> SourceSettings:
        settings = self._settings
        return SourceSettings(
            id=video.name,
            url=str(video.path),
            kind="file",
            canvases=settings.canvases,
            target_fps=settings.target_fps,
            max_still_s=settings.max_still_s,
        )

    def _identity(self, video: Video, engines: EnginePool, progress: Callable[[Progress], None]) -> RunIdentity:
        """Return what decides the events; reads all of the video, unless its hash is known."""
        size = video.path.stat().st_size if video.path.exists() else 0
        read = 0

        def seen(count: int) -> None:
            nonlocal read
            read += count
            progress(Progress(video, "reading", read, size))

        settings = self._settings
        return RunIdentity.of(
            content_hash(video.path, seen),
            self._head,
            engine=engines.name(settings.canvases[0]),
            canvases=settings.canvases,
            target_fps=settings.target_fps,
            max_still_s=settings.max_still_s,
            tracker=settings.tracker,
            layout=settings.layout,
        )

    def _watch(
        self,
        video: Video,
        run_id: str,
        engines: EnginePool,
        stop: threading.Event,
        progress: Callable[[Progress], None],
    ) -> _Watched:
        settings = self._settings
        events: list[Event] = []
        views: list[View] = []
        length_s = 0.0  # as the file says

        def heard(declared_s: object) -> None:
            nonlocal length_s
            length_s = float(declared_s) if isinstance(declared_s, int | float) else length_s

        def publish(event: Event) -> None:
            events.append(event)
            if self._sink is not None:
                self._sink(event)

        tracker = source_tracker(video.name, self._head.classifier, settings.tracker)
        on_pairs = (lambda *view: views.append(view)) if settings.annotated else None
        run = SourceRun(video.name, run_id, self._head, tracker, on_pairs, layout=settings.layout)
        with SourceSupervisor([self._source(video)]) as supervisor:
            pipeline = Pipeline(
                batcher=FrameBatcher(supervisor, settings.engine.max_batch, settings.engine.max_wait_ms / 1000),
                engines=engines,
                sources={video.name: run},
                publish=publish,
                on_message=lambda message: heard(message.facts.get("duration_s")),
                on_frame=lambda meta: progress(Progress(video, "watching", meta.pts_s, length_s)),
            )
            report = pipeline.run(stop)[video.name]
            coverage = supervisor.coverage()[video.name]
        self.times.merge(pipeline.times)
        is_whole = pipeline.finished or not stop.is_set()
        return _Watched(events, views, run.frames, max(run.last_s, length_s), coverage, report.failed, is_whole)

    def _receipt(
        self, video: Video, identity: RunIdentity, watched: _Watched, engines: EnginePool, seconds: float
    ) -> Receipt:
        coverage = watched.coverage
        return Receipt(
            job=identity.run_id if watched.failed is None else None,
            identity=identity.record(),
            video=str(video.path),
            frames=watched.frames,
            dropped=sum(coverage.dropped.values()),
            length_s=round(watched.length_s, 3),
            events=len(watched.events),
            failed=watched.failed,
            coverage={
                "still": coverage.still,
                "seen": round(coverage.seen, 4),
                "blind_s": round(coverage.blind_s, 3),
                "gaps": coverage.num_gaps,
            },
            engines=engines.names,
            seconds=round(seconds, 3),
        )


def _draw_progress(progress: Callable[[Progress], None], video: Video, length_s: float, done_s: float) -> None:
    progress(Progress(video, "drawing", done_s, length_s))
