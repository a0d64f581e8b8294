"""Recorded videos through the pipeline, one after the other; a killed job goes on where it was."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hoiclip.loaded import LoadedModel
from hoiclip.types import Canvas
from stream.decode.sources import SourceSettings
from stream.events.schema import Event, comparable
from stream.ingest.batcher import FrameBatcher
from stream.ingest.supervisor import SourceSupervisor
from stream.recordings.media import Video
from stream.recordings.render import View, render_annotated
from stream.recordings.results import ResultPaths, is_done, write_results
from stream.run.config import EngineConfig
from stream.run.engines import engine_pool
from stream.run.identity import recording_run_id
from stream.run.inference import EnginePool
from stream.run.pipeline import Pipeline, StageTimes
from stream.run.source_run import Head, SourceRun, source_tracker
from stream.track.tracker import TrackerSettings


@dataclass(frozen=True)
class BatchSettings:
    """What decides a job's events, and what it leaves beside them."""

    canvases: tuple[Canvas, ...]
    engine: EngineConfig
    tracker: TrackerSettings
    target_fps: float | None = 8.0
    annotated: bool = False


@dataclass(frozen=True)
class VideoResult:
    """How one video ended."""

    video: Video
    state: str  # "done", "failed", "skipped" (an earlier run finished it), "stopped"
    detail: str = ""  # one line where it failed
    frames: int = 0
    dropped: int = 0
    events: int = 0
    seconds: float = 0.0  # wall


class BatchJob:
    """Process videos into `out`; engines stay open from one video to the next.

    `sink`, where given, gets every event as it happens, beside the files.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        head: Head,
        settings: BatchSettings,
        out: Path,
        sink: Callable[[Event], object] | None = None,
    ) -> None:
        self._loaded, self._head, self._settings, self._out, self._sink = loaded, head, settings, out, sink
        self.times = StageTimes()

    def run(
        self,
        videos: Sequence[Video],
        stop: threading.Event,
        progress: Callable[[Video, float, float], None],
        done: Callable[[VideoResult], None],
    ) -> list[VideoResult]:
        """Process each video; `progress` gets (video, seconds done, seconds in all or 0 where unknown)."""
        self._out.mkdir(parents=True, exist_ok=True)
        results = []
        with engine_pool(self._loaded, self._settings.engine) as engines:
            for video in videos:
                if stop.is_set():
                    break
                result = self._process(video, engines, stop, partial(progress, video))
                results.append(result)
                done(result)
        return results

    def _process(
        self, video: Video, engines: EnginePool, stop: threading.Event, progress: Callable[[float, float], None]
    ) -> VideoResult:
        settings, paths = self._settings, ResultPaths.of(self._out, video.name)
        decisive = (
            settings.tracker,
            settings.target_fps,
            settings.canvases,
            settings.engine.kind,
            settings.engine.precision,
        )
        try:
            run_id = recording_run_id(video.path, self._head, decisive)
        except OSError as error:
            return VideoResult(video, "failed", f"{video.path}: cannot be read: {error.strerror}")
        if is_done(paths, run_id) and (paths.annotated.exists() or not settings.annotated):
            return VideoResult(video, "skipped")
        source = SourceSettings(
            id=video.name, url=str(video.path), kind="file", canvases=settings.canvases, target_fps=settings.target_fps
        )
        tracker = source_tracker(video.name, self._head.classifier, settings.tracker)
        views: list[View] = []
        on_pairs = (lambda *view: views.append(view)) if settings.annotated else None
        run = SourceRun(video.name, run_id, self._head, tracker, on_pairs)
        events: list[dict[str, Any]] = []
        facts: dict[str, Any] = {}

        def publish(event: Event) -> None:
            events.append(comparable(event))
            if self._sink is not None:
                self._sink(event)
            progress(event.media_time_s, float(facts.get("duration_s") or 0.0))

        started = time.monotonic()
        with SourceSupervisor([source]) as supervisor:
            pipeline = Pipeline(
                batcher=FrameBatcher(supervisor, settings.engine.max_batch, settings.engine.max_wait_ms / 1000),
                engines=engines,
                sources={video.name: run},
                publish=publish,
                on_message=lambda message: facts.update(message.facts),
                on_frame=lambda meta: progress(meta.pts_s, float(facts.get("duration_s") or 0.0)),
            )
            report = pipeline.run(stop)[video.name]
            account = supervisor.coverage()[video.name]
        self.times.merge(pipeline.times)
        if stop.is_set() and not pipeline.finished:
            return VideoResult(video, "stopped", "stopped before its end; run the same command to do it")
        dropped = sum(account.dropped.values())
        receipt = {
            "job": run_id,
            "video": str(video.path),
            "frames": run.frames,
            "dropped": dropped,
            "length_s": round(run.last_s, 3),
            "events": len(events),
            "failed": report.failed,
            "coverage": {
                "seen": round(account.seen, 4),
                "blind_s": round(account.blind_s, 3),
                "gaps": account.num_gaps,
            },
            "engines": engines.names,
        }
        if report.failed is None or events:
            if views:
                render_annotated(source, paths.annotated, views)
            length_s = max(run.last_s, float(facts.get("duration_s") or 0.0))
            receipt = receipt if report.failed is None else {**receipt, "job": None}  # a failed video is tried again
            write_results(paths, events, title=video.path.name, length_s=length_s, receipt=receipt)
        state = "failed" if report.failed else "done"
        return VideoResult(
            video, state, report.failed or "", run.frames, dropped, len(events), time.monotonic() - started
        )


def write_summary(out: Path, results: Sequence[VideoResult]) -> None:
    """Write ``summary.json``: one entry a video."""
    rows = [{**result.__dict__, "video": str(result.video.path), "name": result.video.name} for result in results]
    (out / "summary.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
