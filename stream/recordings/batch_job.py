"""Recorded videos through the pipeline, several at once; a killed job goes on where it was."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hoiclip.errors import HoistreamError, InputError
from stream.events.schema import Event
from stream.ingest.batcher import Batch, FrameBatcher, FrameMeta
from stream.ingest.source_state import SourceMessage
from stream.ingest.supervisor import SourceSupervisor
from stream.recordings.admission import Admission, usable_cores
from stream.recordings.checkpoint import Checkpoints
from stream.recordings.job_types import (
    BatchSettings,
    Progress,
    ProgressWatcher,
    ResultWatcher,
    Stage,
    VideoResult,
    VideoState,
)
from stream.recordings.judging import judge_again, one_at_a_time
from stream.recordings.media import Video
from stream.recordings.results import Receipt, ResultPaths, finished, write_results
from stream.recordings.video_task import VideoTask, Watched, source_of
from stream.run.content import content_hash
from stream.run.engines import EngineFactory, engine_pool
from stream.run.identity import RunIdentity
from stream.run.inference import EnginePool
from stream.run.pipeline import Pipeline, StageTimes
from stream.run.source_run import Head, SourceRun

if TYPE_CHECKING:
    from hoiclip.loaded import LoadedModel

__all__ = ["BatchJob", "BatchSettings", "Progress", "Stage", "VideoResult", "VideoState"]
logger = logging.getLogger(__name__)

_MAX_THREADS: Final = 16
CHECKPOINT_S: Final = 20.0  # so much work is lost at most when a job is killed


class BatchJob:
    """Process videos into `out`: several are read at once, their frames share one engine's batches.

    What it leaves of each video is what a job that does one after the other leaves; only `seconds` in receipts differ.
    `sink`, where given, gets every event as it happens, beside the files; `own_engine` opens engines in the place of
    the one that the settings name; `jobs` says how many videos are read at once, in the place of as many as keep the
    engine full. The state of each video is saved every `checkpoint_s` and when the job is stopped; there the same job
    goes on.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        head: Head,
        settings: BatchSettings,
        out: Path,
        sink: Callable[[Event], object] | None = None,
        own_engine: EngineFactory | None = None,
        *,
        jobs: int | None = None,
        checkpoint_s: float = CHECKPOINT_S,
    ) -> None:
        self._loaded, self._head, self._settings, self._out, self._sink = loaded, head, settings, out, sink
        self._own_engine, self._jobs, self._checkpoint_s = own_engine, jobs, checkpoint_s
        self.times = StageTimes()

    def run(
        self, videos: Sequence[Video], stop: threading.Event, progress: ProgressWatcher, done: ResultWatcher
    ) -> list[VideoResult]:
        """Process the videos until `stop` is set; return a result for each, in order.

        `progress` and `done` are called from several threads, one call at a time.

        Raises InputError when `out` cannot be made, HoistreamError when results cannot be written: the other videos'
        would share their fate.
        """
        try:
            self._out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self._out}: cannot be made: {error.strerror}; give a folder that can") from error
        with engine_pool(self._loaded, self._settings.engine, self._own_engine) as engines:
            places = Admission(self._jobs)
            work = _Work(self._head, self._settings, self._out, self._sink, places, stop, self._checkpoint_s)
            telling = _Telling(progress, done)
            try:
                work.run(videos, engines, telling)
            finally:
                self.times.merge(work.times)
        return [telling.results.get(video.name, VideoResult(video, "waiting")) for video in videos]


class _Telling:
    """What the job's threads say to its caller, one at a time."""

    def __init__(self, progress: ProgressWatcher, done: ResultWatcher) -> None:
        self._progress, self._done = progress, done
        self._lock = threading.Lock()
        self.results: dict[str, VideoResult] = {}  # by the video's name

    def progress(self, step: Progress) -> None:
        """Tell how far a video is."""
        with self._lock:
            self._progress(step)

    def done(self, result: VideoResult) -> None:
        """Keep and tell how a video ended."""
        with self._lock:
            self.results[result.video.name] = result
            self._done(result)


class _Work:
    """Three threads and the engine's: one begins videos, one (the caller's) tracks their frames, one writes results.

    Places bound the videos under way, and the queue those that wait to be written. What one thread fails with ends the
    job and is raised from `run`.
    """

    def __init__(
        self,
        head: Head,
        settings: BatchSettings,
        out: Path,
        sink: Callable[[Event], object] | None,
        places: Admission,
        stop: threading.Event,
        checkpoint_s: float,
    ) -> None:
        self._head, self._settings, self._out = head, settings, out
        self._sink = one_at_a_time(sink) if sink is not None else None
        self._places, self._stop, self._checkpoint_s = places, stop, checkpoint_s
        self._halt = threading.Event()  # a thread failed, or the pipeline is through
        self._all_begun = threading.Event()
        self._threads = 1  # that decode one video
        self._error: BaseException | None = None
        self._tasks: dict[str, VideoTask] = {}  # under way, by the video's name
        self._runs: dict[str, SourceRun] = {}  # of the same
        self._to_write: queue.Queue[Watched | None] = queue.Queue(places.most)
        self.times = StageTimes()

    def run(self, videos: Sequence[Video], engines: EnginePool, telling: _Telling) -> None:
        """Process the videos; `telling.results` then has one of each that was begun."""
        settings = self._settings
        self._threads = min(_MAX_THREADS, max(1, usable_cores() // max(1, min(len(videos), self._places.most))))
        engines.name(settings.canvases[0])  # opens it, before the inference thread has the engines
        with SourceSupervisor() as supervisor:
            batcher = _JobBatcher(self, supervisor, settings.engine.max_batch, settings.engine.max_wait_ms / 1000)
            pipeline = Pipeline(
                batcher=batcher,
                engines=engines,
                sources=self._runs,
                publish=self._publish,
                on_message=lambda message: self._heard(message, supervisor),
                on_frame=lambda meta: self._saw(meta, pipeline, telling),
            )
            self.times = pipeline.times
            begin = threading.Thread(
                target=self._guarded, args=(self._begin_all, videos, engines, supervisor, telling), name="begin"
            )
            write = threading.Thread(target=self._guarded, args=(self._write_all, telling), name="write")
            begin.start()
            write.start()
            try:
                pipeline.run(self._stop)
            finally:
                self._halt.set()
                begin.join()
                self._put(None, write.is_alive)
                write.join()
        self.raise_error()
        for task in self._tasks.values():
            telling.done(VideoResult(task.video, "stopped", "stopped before its end; run the same command to do it"))

    @property
    def all_begun(self) -> bool:
        """Whether no further video will come."""
        return self._all_begun.is_set()

    def raise_error(self) -> None:
        """Raise what one of the job's own threads failed with."""
        if self._error is not None:
            raise self._error

    def _guarded(self, work: Callable[..., None], *arguments: object) -> None:
        try:
            work(*arguments)
        except BaseException as error:
            self._error = self._error or error
            self._halt.set()

    # The thread that begins videos.

    def _begin_all(
        self, videos: Sequence[Video], engines: EnginePool, supervisor: SourceSupervisor, telling: _Telling
    ) -> None:
        for video in videos:
            if not self._places.enter(self._stop, self._halt):
                return
            result = self._begin(video, engines, supervisor, telling)
            if result is not None:
                self._places.leave()
                telling.done(result)
        self._all_begun.set()

    def _begin(
        self, video: Video, engines: EnginePool, supervisor: SourceSupervisor, telling: _Telling
    ) -> VideoResult | None:
        """Start a video; or return how it ended, where there is nothing to watch."""
        settings = self._settings
        try:
            content = self._content(video, telling)
        except InputError as error:
            return VideoResult(video, "failed", str(error))
        if content is None:
            return VideoResult(video, "stopped", "stopped before its end; run the same command to do it")
        identity = RunIdentity.of(
            content,
            self._head,
            engine=engines.name(settings.canvases[0]),
            canvases=settings.canvases,
            target_fps=settings.target_fps,
            max_still_s=settings.max_still_s,
            tracker=settings.tracker,
            layout=settings.layout,
        )
        checkpoints = Checkpoints(self._out, video.name, identity.run_id, with_views=settings.annotated)
        paths = ResultPaths.of(self._out, video.name)
        before = finished(paths, identity.run_id, annotated=settings.annotated)
        if before is not None and before.rules != settings.rules_fingerprint:
            before = judge_again(paths, before, settings.rules, title=video.path.name, sink=self._sink)
        if before is not None:
            self._remove(checkpoints)  # of a job that was killed just after the receipt was written
            return _result(video, "skipped", before)
        begin = partial(VideoTask, video, identity, self._head, settings, sink=self._sink, engine_name=engines.name)
        saved = checkpoints.load()
        try:
            task = begin(checkpoints, saved)
        except (KeyError, TypeError, ValueError) as error:
            logger.warning("%s.checkpoint: not understood (%r); the video begins anew", video.name, error)
            saved = None
            checkpoints.forget()
            task = begin(checkpoints)
        self._tasks[video.name], self._runs[video.name] = task, task.run
        supervisor.add(source_of(video, settings, self._threads), saved.position if saved else None)
        return None

    def _content(self, video: Video, telling: _Telling) -> str | None:
        """Return the hash of all of a video, unless the job is stopped meanwhile."""
        size = video.path.stat().st_size if video.path.exists() else 0
        read = 0

        def seen(count: int) -> None:
            nonlocal read
            read += count
            telling.progress(Progress(video, "reading", read, size))
            if self._stop.is_set() or self._halt.is_set():
                raise _StoppedError

        try:
            return content_hash(video.path, seen)
        except _StoppedError:
            return None

    # The pipeline's thread.

    def _publish(self, event: Event) -> None:
        self._tasks[event.source_id].publish(event)

    def _saw(self, meta: FrameMeta, pipeline: Pipeline, telling: _Telling) -> None:
        task = self._tasks[meta.source_id]
        try:
            task.frame(meta, save_every_s=0.0 if self._stop.is_set() else self._checkpoint_s)
        except OSError as error:
            raise self._unwritable(f"how far {task.video.path.name} is", error) from error
        self._places.note(pipeline.times.seconds["wait for frames"])
        telling.progress(Progress(task.video, "watching", meta.pts_s, task.length_s, task.frames))

    def _remove(self, checkpoints: Checkpoints) -> None:
        try:
            checkpoints.remove()
        except OSError as error:
            raise self._unwritable("old checkpoints", error) from error

    def _unwritable(self, what: str, error: OSError) -> HoistreamError:
        return HoistreamError(f"{self._out}: {what} cannot be written: {error.strerror or error}")

    def _heard(self, message: SourceMessage, supervisor: SourceSupervisor) -> None:
        task = self._tasks.get(message.source_id)
        if task is None:
            return
        if message.kind == "opened":
            task.opened(message.facts.get("duration_s"))
        elif message.kind in ("ended", "failed"):
            failed = message.detail if message.kind == "failed" else None
            del self._tasks[message.source_id], self._runs[message.source_id]
            watched = task.watched(supervisor.remove(message.source_id), failed)
            self._places.leave()
            self._put(watched, lambda: self._error is None)

    def _put(self, watched: Watched | None, is_read: Callable[[], bool]) -> None:
        """Hand a video to the thread that writes; None is the last. Given up when nobody reads any more."""
        while is_read():
            try:
                self._to_write.put(watched, timeout=0.1)
            except queue.Full:
                continue
            return

    # The thread that writes results.

    def _write_all(self, telling: _Telling) -> None:
        while (watched := self._to_write.get()) is not None:
            telling.done(self._write(watched, telling))

    def _write(self, watched: Watched, telling: _Telling) -> VideoResult:
        video, receipt = watched.video, watched.receipt
        paths = ResultPaths.of(self._out, video.name)
        try:
            if receipt.failed is None or watched.events:
                if self._settings.annotated and watched.views:
                    from stream.recordings.render import render_annotated  # brings PyAV

                    source = source_of(video, self._settings)

                    def drawn(done_s: float) -> None:
                        telling.progress(Progress(video, "drawing", done_s, receipt.length_s, receipt.frames))

                    layout = self._settings.layout
                    if not render_annotated(
                        source, paths.annotated, watched.views, self._stop, layout=layout, progress=drawn
                    ):
                        return VideoResult(video, "stopped", "stopped while drawing; run the same command to do it")
                write_results(paths, watched.events, title=video.path.name, receipt=receipt)
            watched.checkpoints.remove()
        except OSError as error:
            raise self._unwritable(f"results of {video.path.name}", error) from error
        return _result(video, "done" if receipt.failed is None else "failed", receipt)


def _result(video: Video, state: VideoState, receipt: Receipt) -> VideoResult:
    """Return how a video ended, from its receipt."""
    return VideoResult(
        video,
        state,
        receipt.failed or "",
        receipt.frames,
        receipt.dropped,
        receipt.events,
        receipt.seconds,
        receipt.unlike_training,
    )


class _JobBatcher(FrameBatcher):
    """Batches that end when the last video was begun and is over, or with the error of a thread of the job."""

    def __init__(self, work: _Work, supervisor: SourceSupervisor, max_batch: int, max_wait_s: float) -> None:
        super().__init__(supervisor, max_batch, max_wait_s)
        self._work = work

    @property
    def finished(self) -> bool:
        """Whether no source can bring anything more, and no source will be added."""
        return self._work.all_begun and super().finished

    def collect(self, timeout_s: float) -> Batch | SourceMessage | None:
        """Return the next batch or message, as `FrameBatcher` does."""
        self._work.raise_error()
        return super().collect(timeout_s)


class _StoppedError(Exception):
    """Reading was stopped."""
