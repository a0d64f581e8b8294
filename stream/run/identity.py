"""Which run an event belongs to: equal work gives equal ids, and so equal events; different work never shares them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from hoiclip.hashes import short_hash
from hoiclip.types import Canvas
from stream.run.source_run import Head
from stream.track.settings import TrackerSettings
from stream.zones.layout import Layout


@dataclass(frozen=True)
class RunIdentity:
    """Everything that decides the events of one recording.

    The size of batches, threads and the number of videos at once decide nothing, and are no part of it. What a release
    does with equal input may change, so the release is.
    """

    content: str  # SHA-256 of the recording
    model: str  # fingerprint of the weights
    vocabulary: str  # fingerprint of names, prompts and taught rows
    enhancement: bool
    engine: str  # runtime, device and precision, such as openvino-cpu-fp32
    canvases: tuple[Canvas, ...]
    target_fps: float | None
    max_still_s: float  # how long a still picture is not looked at again
    min_pair_score: float  # of the head
    tracker: TrackerSettings
    layout: Layout
    training_features: str | None  # hash of what the model's card says of its training data
    release: str

    @classmethod
    def of(
        cls,
        content: str,
        head: Head,
        *,
        engine: str,
        canvases: tuple[Canvas, ...],
        target_fps: float | None,
        max_still_s: float,
        tracker: TrackerSettings,
        layout: Layout,
    ) -> RunIdentity:
        """Return the identity of a recording with the SHA-256 `content` that goes through `engine` and `head`."""
        return cls(
            content=content,
            model=head.model_fingerprint,
            vocabulary=head.classifier.fingerprint,
            enhancement=head.enhancement,
            engine=engine,
            canvases=canvases,
            target_fps=target_fps,
            max_still_s=max_still_s,
            min_pair_score=head.min_pair_score,
            tracker=tracker,
            layout=layout,
            training_features=None if head.training is None else head.training.fingerprint,
            release=_release(),
        )

    def record(self) -> dict[str, Any]:
        """Return the JSON-ready record that the id is a hash of."""
        record: dict[str, Any] = _canonical(asdict(self))
        return record

    @property
    def run_id(self) -> str:
        """Twenty hexadecimal digits; equal for equal records however their numbers and keys were written."""
        return short_hash(json.dumps(self.record(), sort_keys=True, ensure_ascii=False, allow_nan=False))


def live_run_id() -> str:
    """Return the id of a run over a camera, which never comes again."""
    return short_hash(uuid.uuid4().hex)


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _release() -> str:
    try:
        return version("hoistream")
    except PackageNotFoundError:  # a checkout on the path that was never installed
        return "uninstalled"
