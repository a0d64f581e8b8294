"""One recording on its way through a batch job: what it takes in, what came of it so far."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hoiclip.types import Canvas
from stream.decode.sources import SourceSettings, canvas_for
from stream.events.schema import Event, InteractionEvent
from stream.ingest.coverage import Coverage
from stream.ingest.source_state import FrameMeta
from stream.recordings.job_types import BatchSettings
from stream.recordings.media import Video
from stream.recordings.results import Receipt
from stream.run.identity import RunIdentity
from stream.run.source_run import Head, SourceRun, source_tracker

if TYPE_CHECKING:
    from stream.recordings.render import View


@dataclass(frozen=True)
class Watched:
    """What the pass over a video gave."""

    video: Video
    events: list[Event]
    views: list[View]
    receipt: Receipt


def source_of(video: Video, settings: BatchSettings) -> SourceSettings:
    """Return what the decoder of a video needs to know."""
    return SourceSettings(
        id=video.name,
        url=str(video.path),
        kind="file",
        canvases=settings.canvases,
        target_fps=settings.target_fps,
        max_still_s=settings.max_still_s,
    )


class VideoTask:
    """A video that is being watched; used from the pipeline's thread.

    Events also go to `sink`, where one is given, as they happen.
    """

    def __init__(
        self,
        video: Video,
        identity: RunIdentity,
        head: Head,
        settings: BatchSettings,
        sink: Callable[[Event], object] | None = None,
    ) -> None:
        self.video = video
        self.length_s = 0.0  # as the file says
        self.events: list[Event] = []
        self.views: list[View] = []
        self._identity, self._settings, self._sink = identity, settings, sink
        self._canvases: dict[Canvas, None] = {}  # in the order in which they were needed
        self._size: tuple[int, int] | None = None
        self._started_s = time.monotonic()
        tracker = source_tracker(video.name, head.classifier, settings.tracker)
        on_pairs = (lambda *view: self.views.append(view)) if settings.annotated else None
        self.run = SourceRun(video.name, identity.run_id, head, tracker, on_pairs, layout=settings.layout)

    def opened(self, declared_s: object) -> None:
        """The file is open; it says that it is `declared_s` long, or nothing."""
        self.length_s = float(declared_s) if isinstance(declared_s, int | float) else self.length_s

    def publish(self, event: Event) -> None:
        """Take an event in.

        What ends because the job was stopped has not ended: the video goes on next time, with the same ids.
        """
        if isinstance(event, InteractionEvent) and event.reason == "stopped":
            return
        self.events.append(event)
        if self._sink is not None:
            self._sink(event)

    def frame(self, meta: FrameMeta) -> None:
        """Take note of a frame that went through the tracker."""
        if (size := (meta.width, meta.height)) != self._size:
            self._size = size
            self._canvases[canvas_for(*size, self._settings.canvases)] = None

    def watched(self, coverage: Coverage, failed: str | None, engine_name: Callable[[Canvas], str]) -> Watched:
        """Return what came of the video, which is over; `failed` says in one line why, where it was not read whole."""
        receipt = Receipt(
            job=self._identity.run_id if failed is None else None,
            identity=self._identity.record(),
            video=str(self.video.path),
            frames=self.run.frames,
            dropped=sum(coverage.dropped.values()),
            length_s=round(max(self.run.last_s, self.length_s), 3),
            events=len(self.events),
            failed=failed,
            coverage={
                "still": coverage.still,
                "seen": round(coverage.seen, 4),
                "blind_s": round(coverage.blind_s, 3),
                "gaps": coverage.num_gaps,
            },
            engines=[f"{engine_name(canvas)} {canvas}" for canvas in self._canvases],
            seconds=round(time.monotonic() - self._started_s, 3),
        )
        return Watched(self.video, self.events, self.views, receipt)
