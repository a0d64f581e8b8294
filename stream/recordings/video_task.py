"""One recording on its way through a batch job: what it takes in, what came of it so far."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hoiclip.types import Canvas
from stream.decode.sources import SourceSettings, canvas_for
from stream.events.schema import Event, InteractionEvent
from stream.ingest.coverage import Coverage, CoverageAccount, Moment
from stream.ingest.source_state import FrameMeta, RecordingPosition
from stream.recordings.checkpoint import Checkpoints, Saved
from stream.recordings.job_types import BatchSettings
from stream.recordings.media import Video
from stream.recordings.results import Receipt
from stream.rules.engine import RulesEngine
from stream.run.footage import is_unlike_training
from stream.run.identity import RunIdentity
from stream.run.source_run import Head, SourceRun, source_tracker
from stream.track.transitions import PairView

if TYPE_CHECKING:
    from stream.recordings.render import View


@dataclass(frozen=True)
class Watched:
    """What the pass over a video gave."""

    video: Video
    events: list[Event]
    views: list[View]
    receipt: Receipt
    checkpoints: Checkpoints  # to be removed once all is written


def source_of(video: Video, settings: BatchSettings, threads: int = 1) -> SourceSettings:
    """Return what the decoder of a video needs to know; `threads` decode stretches of it side by side."""
    return SourceSettings(
        id=video.name,
        url=str(video.path),
        kind="file",
        canvases=settings.canvases,
        target_fps=settings.target_fps,
        max_still_s=settings.max_still_s,
        threads=threads,
    )


class VideoTask:
    """A video that is being watched; used from the pipeline's thread.

    Events also go to `sink`, where one is given, as they happen. `saved` is what an earlier job left of this video: its
    events go to the sink once more, since nobody knows whether they arrived; their ids make that harmless.

    Raises KeyError, TypeError and ValueError when `saved` cannot be gone on from.
    """

    def __init__(
        self,
        video: Video,
        identity: RunIdentity,
        head: Head,
        settings: BatchSettings,
        checkpoints: Checkpoints,
        saved: Saved | None = None,
        *,
        sink: Callable[[Event], object] | None = None,
        engine_name: Callable[[Canvas], str],
    ) -> None:
        self.video = video
        self.length_s = saved.length_s if saved else 0.0  # as the file says
        self.frames = 0  # looked at here
        self._rules = RulesEngine(settings.rules) if settings.rules is not None else None
        self._events: list[Event] = []  # with alerts, which the journal is without: they follow from the others
        for event in saved.events if saved else ():
            self._events += self._judged(event)
        self._views: list[View] = list(saved.views) if saved else []
        self._to_repeat = list(self._events)  # for the sink
        self._identity, self._settings, self._sink, self._engine_name = identity, settings, sink, engine_name
        self._checkpoints, self._checkpoint_s = checkpoints, time.monotonic()
        self._account = CoverageAccount(False, 0.0, Moment(0.0), saved.position.account if saved else None)
        self._engines: dict[str, None] = dict.fromkeys(saved.engines) if saved else {}  # in the order of their need
        self._size: tuple[int, int] | None = None
        self._started_s = time.monotonic() - (saved.seconds if saved else 0.0)
        tracker = source_tracker(video.name, head.classifier, settings.tracker)
        on_pairs = self._view if settings.annotated else None
        self.run = SourceRun(video.name, identity.run_id, head, tracker, on_pairs, layout=settings.layout)
        if saved is not None:
            self.run.restore(saved.run)

    def opened(self, declared_s: object) -> None:
        """The file is open; it says that it is `declared_s` long, or nothing."""
        self.length_s = float(declared_s) if isinstance(declared_s, int | float) else self.length_s
        if self._sink is not None:
            for event in self._to_repeat:
                self._sink(event)
        self._to_repeat.clear()

    def publish(self, event: Event) -> None:
        """Take an event in.

        What ends because the job was stopped has not ended: the video goes on next time, with the same ids.
        """
        if isinstance(event, InteractionEvent) and event.reason == "stopped":
            return
        self._checkpoints.note_event(event)
        for each in self._judged(event):
            self._events.append(each)
            if self._sink is not None:
                self._sink(each)

    def _judged(self, event: Event) -> list[Event]:
        """Return an event and the alerts that are due by it."""
        return [event, *(self._rules.take(event) if self._rules is not None else ())]

    def _view(self, t_s: float, pairs: list[PairView]) -> None:
        self._views.append((t_s, pairs))
        self._checkpoints.note_view((t_s, pairs))

    def frame(self, meta: FrameMeta, *, save_every_s: float) -> None:
        """Take note of a frame that went through the tracker; save how far all is when that is due.

        Raises OSError when that cannot be written.
        """
        if (size := (meta.width, meta.height)) != self._size:
            self._size = size
            canvas = canvas_for(*size, self._settings.canvases)
            self._engines[f"{self._engine_name(canvas)} {canvas}"] = None
        self.frames += 1
        self._account.decoder_counts(meta.counts)
        self._account.gap_before(Moment(meta.pts_s), meta.corrupt, meta.counts.errors)
        if meta.still:
            self._account.still += 1
        else:
            self._account.delivered += 1
        if time.monotonic() - self._checkpoint_s >= save_every_s:
            position = RecordingPosition(self._account.of_recording(meta.pts_s), meta.gate)
            seconds = time.monotonic() - self._started_s
            self._checkpoints.save(self.run.saved(), position, list(self._engines), self.length_s, seconds)
            self._checkpoint_s = time.monotonic()

    def watched(self, coverage: Coverage, failed: str | None) -> Watched:
        """Return what came of the video, which is over; `failed` says in one line why, where it was not read whole."""
        receipt = Receipt(
            job=self._identity.run_id if failed is None else None,
            identity=self._identity.record(),
            video=str(self.video.path),
            frames=self.run.frames,
            dropped=sum(coverage.dropped.values()),
            length_s=round(max(self.run.last_s, self.length_s), 3),
            events=len(self._events),
            failed=failed,
            coverage={
                "still": coverage.still,
                "seen": round(coverage.seen, 4),
                "blind_s": round(coverage.blind_s, 3),
                "gaps": coverage.num_gaps,
            },
            engines=list(self._engines),
            seconds=round(time.monotonic() - self._started_s, 3),
            rules=self._settings.rules_fingerprint,
            unlike_training=next((event.why for event in self._events if is_unlike_training(event)), None),
        )
        return Watched(self.video, self._events, self._views, receipt, self._checkpoints)
