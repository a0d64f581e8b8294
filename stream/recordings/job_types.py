"""What a batch job takes, and what it tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from hoiclip.types import Canvas
from stream.recordings.media import Video
from stream.rules.language import RulesFile
from stream.run.config import EngineConfig
from stream.track.settings import TrackerSettings
from stream.zones.layout import Layout

Stage = Literal["reading", "watching", "drawing"]
VideoState = Literal["done", "failed", "skipped", "stopped", "waiting"]


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
    rules: RulesFile | None = None

    @property
    def rules_fingerprint(self) -> str | None:
        """Names the rules, if any."""
        return self.rules.fingerprint if self.rules is not None else None


class Progress(NamedTuple):
    """How far a video is."""

    video: Video
    stage: Stage  # "reading" its bytes for the hash, "watching" its frames, "drawing" the annotated video
    done: float  # seconds of media; bytes while reading
    total: float  # the same for all of it; 0 where that is unknown
    frames: int = 0  # looked at in this job


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
    unlike_training: str | None = None  # that and why the model knows nothing like it


ProgressWatcher = Callable[[Progress], object]
ResultWatcher = Callable[[VideoResult], object]
