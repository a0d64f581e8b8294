"""What a deployment's YAML may say: cameras or files, model, engine, tracker, sinks. Unknown keys are refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from hoiclip.vocabulary import DeploymentVocabulary
from stream.decode.sources import MAX_STILL_S, camera_without_scheme
from stream.rules.language import RulesFile
from stream.run.canvases import parse_canvases
from stream.run.layout_config import LayoutConfig

STILL_S: Final = 2.0  # of cameras; measured in docs/performance.md
Score = Annotated[float, Field(ge=0.0, le=1.0)]
Seconds = Annotated[float, Field(ge=0.0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _words(value: Any) -> Any:
    """Return a list of interactions as the vocabulary that it is short for."""
    return {"interactions": value} if isinstance(value, list | tuple) else value


def _form(value: Any) -> str:
    return "file" if isinstance(value, str | Path) else "words"


Words = Annotated[
    Annotated[Path, Tag("file")] | Annotated[DeploymentVocabulary, Tag("words")],
    Discriminator(_form),
    BeforeValidator(_words),
]
"""What to look for: a YAML file, or the same written in place, as a list of interactions for short."""

Rules = Annotated[Annotated[Path, Tag("file")] | Annotated[RulesFile, Tag("words")], Discriminator(_form)]
"""Rules over the events: a YAML file, or the same written in place."""


class EngineConfig(_Strict):
    """How the vision graph runs."""

    kind: Literal["auto", "torch", "openvino", "onnxruntime", "tensorrt", "tensorrt-rtx", "null"] = Field(
        "auto", description="Runtime; auto picks the best this machine has and says why."
    )
    precision: Literal["fp32", "mixed", "bf16", "fp16", "int8"] | None = Field(
        None, description="Arithmetic; the runtime's exact default when not given."
    )
    max_batch: int = Field(8, ge=1, le=64, description="Most frames in one batch, across sources.")
    max_wait_ms: float = Field(30.0, ge=0.0, description="Longest wait for a batch to fill, in milliseconds.")
    threads: int | None = Field(None, ge=1, description="CPU threads; all cores when not given.")
    cache_dir: Path | None = Field(None, description="Where compiled engines are kept; the user cache when not given.")


class TrackerConfig(_Strict):
    """How per-pair scores become events; every time is in seconds, so the frame rate does not matter."""

    enter_score: Score | None = Field(None, description="Smoothed score that opens an interaction.")
    leave_score: Score | None = Field(None, description="Smoothed score below which an interaction closes.")
    smoothing_s: Seconds | None = Field(None, description="Time constant of the exponential smoothing.")
    min_duration_s: Seconds | None = Field(None, description="How long the score must hold before an event opens.")
    gap_s: Seconds | None = Field(None, description="How long a pair may be unseen before its interactions close.")
    update_interval_s: Seconds | None = Field(None, description="At most one `updated` event in this time.")
    max_event_s: Seconds | None = Field(None, description="Close an interaction that lasts longer; 0 means never.")
    stationary_s: Seconds | None = Field(
        None, description="Human and object both still for this long: scenery, closed until one moves; 0 means never."
    )
    track_memory_s: Seconds | None = Field(None, description="How long an unseen human or object keeps its id.")
    min_pair_score: Score | None = Field(None, description="Pairs whose best score is lower are not tracked at all.")
    thresholds: dict[str, tuple[Score, Score]] = Field(
        default_factory=dict, description="Per interaction: [enter, leave]; these win over those of `calibration`."
    )
    calibration: Path | None = Field(None, description="File of thresholds that `hoistream calibrate --out` wrote.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.enter_score is not None and self.leave_score is not None and self.leave_score > self.enter_score:
            raise ValueError(f"leave_score {self.leave_score} must not be above enter_score {self.enter_score}")
        for name, (enter, leave) in self.thresholds.items():
            if leave > enter:
                raise ValueError(f"thresholds of `{name}`: leave {leave} must not be above enter {enter}")
        return self


class SourceConfig(LayoutConfig):
    """One camera or file."""

    id: str = Field(description="Name in events, logs and metrics: letters, digits, '.', '_' and '-'.")
    url: str = Field(description="rtsp://… or a file's path; credentials through ${NAME}.")
    kind: Literal["auto", "live", "file"] = Field(
        "auto", description="live: newest wins, reconnects. file: nothing is dropped, ends. auto: by the URL."
    )
    target_fps: float | None = Field(
        5.0, gt=0, le=120, description="Frames a second to look at; null means every frame."
    )
    staleness_s: Seconds = Field(0.5, description="Live frames older than this are dropped, and counted.")
    timeout_s: float = Field(3.0, gt=0, description="A live source silent for this long has stalled.")
    max_still_s: float | None = Field(
        None,
        ge=0,
        le=MAX_STILL_S,
        description="A picture in which nothing changes is not looked at again for so long: the last result counts. "
        "0 looks at every frame, exactly; when not given 2 for cameras, 0 for files.",
    )
    vocabulary: Words | None = Field(None, description="This source's interactions; the deployment's when not given.")
    tracker: TrackerConfig = Field(default_factory=TrackerConfig, description="Overrides for this source.")

    @field_validator("id")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", value):
            raise ValueError("expected 1 to 64 letters, digits, '.', '_' or '-'")
        return value

    @field_validator("url")
    @classmethod
    def _with_scheme(cls, value: str) -> str:
        if (meant := camera_without_scheme(value)) is not None:
            raise ValueError(f"neither a file that is there nor a URL with its scheme; did you mean {meant}?")
        return value

    @property
    def live(self) -> bool:
        """Whether this is a camera rather than a recording."""
        return self.kind == "live" or (self.kind == "auto" and "://" in self.url and not self.url.startswith("file://"))

    @property
    def still_s(self) -> float:
        """`max_still_s`, or what stands for it."""
        return self.max_still_s if self.max_still_s is not None else (STILL_S if self.live else 0.0)


class MetricsConfig(_Strict):
    """Prometheus metrics on ``/metrics`` and health on ``/health``."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 inside a container.")
    port: int = Field(9108, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")


class RunConfig(_Strict):
    """A deployment: `hoistream run FILE`."""

    model: str | None = Field(
        None, description="`demo`, the name of an installed model such as hoiclip-hico, or a path; must be given."
    )
    vocabulary: Words | None = Field(
        None, description="Interactions to look for: a file, or a list; all the model's when not given."
    )
    canvases: list[str] = Field(
        default_factory=list, description="Frame sizes as HEIGHTxWIDTH; each source takes the nearest aspect ratio."
    )
    engine: EngineConfig = Field(default_factory=EngineConfig)
    tracker: TrackerConfig = Field(default_factory=TrackerConfig)
    rules: Rules | None = Field(None, description="What is an alert: a file of rules, docs/rules.md.")
    sinks: list[str] = Field(
        default_factory=lambda: ["stdout:"], description="redis://…, store:PATH, jsonl:PATH, stdout:"
    )
    spool_dir: Path | None = Field(
        None, description="Events wait here for Redis; the user's state folder when not given."
    )
    spool_max_mb: float = Field(
        1024.0,
        ge=1,
        le=2**20,
        allow_inf_nan=False,
        description="Spool budget; when full, the pipeline waits and says so.",
    )
    enhancement: bool = Field(False, description="Training-free enhancement by CLIP's view of the whole frame.")
    metrics: MetricsConfig | None = Field(None, description="Serve metrics; off when not given.")
    sources: list[SourceConfig] = Field(min_length=1)

    @field_validator("canvases")
    @classmethod
    def _sizes(cls, value: list[str]) -> list[str]:
        parse_canvases(value)  # raises with what was expected
        return value

    @model_validator(mode="after")
    def _unique(self) -> Self:
        seen: set[str] = set()
        for source in self.sources:
            if source.id in seen:
                raise ValueError(f"source id {source.id!r} is used twice; ids must differ")
            seen.add(source.id)
        return self
