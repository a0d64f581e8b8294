"""Measure a machine: each step by itself, then live cameras; what it carries, in numbers and in words."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from engines.null_engine import NullEngine
from hoiclip.errors import HoistreamError
from hoiclip.types import Canvas, Engine
from stream.capacity.costs import DecodeCost, EngineCost, decode_cost, engine_costs, head_and_track_ms, publish_per_s
from stream.capacity.footage import FPS, CameraKind, write_footage
from stream.capacity.plan import SPARE, STILL_SHARE, Costs, cameras_carried
from stream.capacity.trial import LATENCY_S, Trial, most_carried, watch_live
from stream.run.config import STILL_S
from stream.run.source_run import Head

if TYPE_CHECKING:
    from hoiclip.loaded import LoadedModel

SCHEMA: Final = 1  # of the document; a change that readers must know of raises it
KINDS: Final = tuple(
    CameraKind(width, height, codec)
    for width, height in ((640, 360), (1280, 720), (1920, 1080), (3840, 2160))
    for codec in ("h264", "hevc")
)
TRIED: Final = CameraKind(1920, 1080, "h264")
_PACKAGES: Final = ("hoistream", "av", "numpy", "openvino", "onnxruntime", "torch")
_PAIRS: Final = 10  # in every frame that the head and the tracker are measured with
_CLIP_S: Final = 4.0  # of the footage that plays as a camera, over and over

Progress = Callable[[str, int, int], object]
"""Gets what is being measured, and how many of how many steps are done."""


@dataclass(frozen=True)
class Carried:
    """How many cameras of one kind."""

    kind: CameraKind
    busy: int  # somebody moves in every picture; with `SPARE` to spare
    quiet: int  # the gate saves `STILL_SHARE` of the looks


@dataclass(frozen=True)
class Capacity:
    """What was measured and what follows."""

    machine: dict[str, str]
    engine: str
    canvas: Canvas
    looks_per_s: float
    cores: int
    decode: list[DecodeCost]
    not_decoded: dict[str, str]  # why, by kind of camera
    engine_costs: list[EngineCost]
    head_ms: float
    publish_per_s: float
    trials: list[Trial]
    carried: list[Carried] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return the JSON-ready document for planners."""
        return {
            "schema": SCHEMA,
            "machine": self.machine,
            "cores": self.cores,
            "engine": self.engine,
            "canvas": str(self.canvas),
            "camera_fps": FPS,
            "looks_per_s": self.looks_per_s,
            "latency_limit_s": LATENCY_S,
            "spare": SPARE,
            "still_share": STILL_SHARE,
            "decode": [
                {
                    "width": each.kind.width,
                    "height": each.kind.height,
                    "codec": each.kind.codec,
                    "decode_ms": each.decode_ms,
                    "scale_ms": each.scale_ms,
                    "frames_per_s_a_core": each.frames_per_s,
                }
                for each in self.decode
            ],
            "not_decoded": self.not_decoded,
            "engine_by_batch": [each._asdict() for each in self.engine_costs],
            "head_and_track_ms": self.head_ms,
            "publish_events_per_s": self.publish_per_s,
            "trials": [asdict(each) | {"kind": str(TRIED), "carried": each.carried} for each in self.trials],
            "cameras": [
                {
                    "width": each.kind.width,
                    "height": each.kind.height,
                    "codec": each.kind.codec,
                    "busy": each.busy,
                    "quiet": each.quiet,
                }
                for each in self.carried
            ],
        }


def measure(
    loaded: LoadedModel,
    engine: Engine,
    progress: Progress,
    *,
    looks_per_s: float = 5.0,
    kinds: Sequence[CameraKind] | None = None,
    trial_s: float = 12.0,
    attempts: int = 4,
    warm_s: float = 6.0,
) -> Capacity:
    """Measure what each step costs with `engine`, then try how many live 1080p cameras it carries.

    With `attempts` 0 nothing is tried, and what the steps cost alone says what follows. Raises HoistreamError when no
    footage can be made here.
    """
    head = Head(loaded.classifier(), loaded.fingerprint)
    kinds = KINDS if kinds is None else kinds
    steps, done = len(kinds) + 3 + attempts, 0
    decoded: list[DecodeCost] = []
    not_decoded: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in kinds:
            progress(f"decode {kind}", done, steps)
            try:
                decoded.append(decode_cost(folder, kind, engine.canvas))
            except HoistreamError as error:
                not_decoded[str(kind)] = str(error)
            done += 1
        if not decoded:
            raise HoistreamError("; ".join(not_decoded.values()))
        progress(f"engine {engine.name}", done, steps)
        by_batch = engine_costs(engine, sorted({1, min(4, engine.max_batch), engine.max_batch}))
        progress("head and tracker", done + 1, steps)
        canvas = engine.canvas
        outputs = NullEngine(loaded.config, canvas, pairs=_PAIRS).infer(np.zeros((1, *canvas, 3), np.uint8))
        head_ms = head_and_track_ms(head, outputs, canvas)
        progress("publishing", done + 2, steps)
        published = publish_per_s()
        done += 3
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        best = max(by_batch, key=lambda cost: cost.frames_per_s)
        costs = {
            each.kind: Costs(cores, each.decode_ms, each.scale_ms, best.processor_ms, best.frames_per_s, head_ms)
            for each in decoded
        }
        worked_out = {
            kind: [
                cameras_carried(each, camera_fps=FPS, looks_per_s=looks_per_s, still_share=still)
                for still in (0.0, STILL_SHARE)
            ]
            for kind, each in costs.items()
        }
        trials: list[Trial] = []
        share = 1.0  # of what the steps cost alone
        if attempts and TRIED in worked_out:
            clip = folder / "camera.mp4"
            write_footage(clip, TRIED, _CLIP_S)

            def carries(cameras: int) -> bool:
                progress(f"{cameras} live cameras, {TRIED}", done + len(trials), steps)
                trial = watch_live(
                    engine,
                    head,
                    [str(clip)] * cameras,
                    fps=looks_per_s,
                    seconds=trial_s,
                    max_still_s=STILL_S,
                    warm_s=warm_s,
                )
                trials.append(trial)
                return trial.carried

            expected = worked_out[TRIED][0]
            share = most_carried(max(1, int(0.9 * expected)), carries, attempts) / expected
        progress("done", steps, steps)
    carried = [
        Carried(kind, *(int((1 - SPARE) * min(share, 1.0) * cameras) for cameras in found))
        for kind, found in worked_out.items()
    ]
    return Capacity(
        _machine(), engine.name, engine.canvas, looks_per_s, cores, decoded, not_decoded, by_batch, head_ms, published,
        trials, carried,
    )  # fmt: skip


def in_words(capacity: Capacity) -> list[str]:
    """Return the verdict, a line each."""
    rate = f"at {FPS} frames/s, looked at {capacity.looks_per_s:g} times a second"
    lines = [
        f"{each.kind} {rate}: {_cameras(each.busy)} where somebody always moves, {_cameras(each.quiet)} on quiet places"
        for each in capacity.carried
    ]
    best = max((trial for trial in capacity.trials if trial.carried), key=lambda trial: trial.cameras, default=None)
    if best is not None:
        lines.append(
            f"tried: {_cameras(best.cameras)} {TRIED} in which somebody always moves, no frame dropped, "
            f"p95 latency {best.latency_p95_s:.2f} s"
        )
    elif capacity.trials:
        lines.append(f"tried: not even {_cameras(min(trial.cameras for trial in capacity.trials))} of {TRIED}")
    return lines


def _cameras(count: int) -> str:
    return f"{count} camera" if count == 1 else f"{count} cameras"


def _machine() -> dict[str, str]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    facts = {"date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "processor": next(names, platform.processor())}
    facts["system"] = f"{platform.system()} {platform.machine()}"
    facts["load"] = " ".join(f"{value:.2f}" for value in os.getloadavg())
    facts["python"] = platform.python_version()
    for name in _PACKAGES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = "not installed"
    return facts
