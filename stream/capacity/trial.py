"""Try it: live cameras through the whole pipeline, and how many of them it carries."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from hoiclip.types import Engine
from stream.decode.sources import SourceSettings
from stream.ingest.batcher import FrameBatcher, FrameMeta
from stream.ingest.supervisor import SourceSupervisor
from stream.publish.publisher import Publisher
from stream.run.inference import EnginePool
from stream.run.pipeline import Pipeline
from stream.run.source_run import Head, SourceRun, source_tracker
from stream.track.settings import TrackerSettings

LATENCY_S: Final = 1.0  # the 95th percentile of a camera that is carried, capture to tracked
WARM_S: Final = 6.0  # decoders start, the engine's first frames
STALENESS_S: Final = 1.0  # older frames are dropped, which is no carrying


@dataclass(frozen=True)
class Trial:
    """What the pipeline did with so many live cameras."""

    cameras: int
    seconds: float
    frames_per_s: float  # looked at or still, of all cameras
    expected_per_s: float
    still_share: float
    latency_p50_s: float
    latency_p95_s: float
    dropped: dict[str, int] = field(default_factory=dict)
    processor_share: dict[str, float] = field(default_factory=dict)  # of one core: the pipeline and its decoders

    @property
    def carried(self) -> bool:
        """Whether no frame was dropped, nearly none is missing, and latency was low enough."""
        enough = self.frames_per_s >= 0.95 * self.expected_per_s
        return enough and self.latency_p95_s < LATENCY_S and not self.dropped


def watch_live(
    engine: Engine,
    head: Head,
    urls: Sequence[str],
    *,
    fps: float,
    seconds: float,
    max_still_s: float,
    warm_s: float = WARM_S,
) -> Trial:
    """Watch live cameras (URLs, or files that play as cameras) for `seconds` after `warm_s`; return how it went."""
    sources = [
        SourceSettings(
            f"cam{number:03}",
            url,
            "live",
            (engine.canvas,),
            target_fps=fps,
            staleness_s=STALENESS_S,
            max_still_s=max_still_s,
        )
        for number, url in enumerate(urls)
    ]
    runs = {
        source.id: SourceRun(source.id, "bench", head, source_tracker(source.id, head.classifier, TrackerSettings()))
        for source in sources
    }
    stop, begin = threading.Event(), time.time() + warm_s
    late: list[float] = []
    still = 0

    def note(meta: FrameMeta) -> None:
        nonlocal still
        if meta.capture_wall_s is not None and begin <= meta.capture_wall_s < begin + seconds:
            late.append(time.time() - meta.capture_wall_s)
            still += meta.still

    with (
        tempfile.TemporaryDirectory() as folder,
        Publisher([f"jsonl:{Path(folder) / 'events.jsonl'}"], spool_dir=Path(folder) / "spool") as publisher,
        SourceSupervisor(sources) as supervisor,
    ):
        account = _Account(supervisor)
        timers = [threading.Timer(warm_s, account.begin), threading.Timer(warm_s + seconds, account.end, (stop,))]
        for timer in timers:
            timer.daemon = True
            timer.start()
        Pipeline(
            batcher=FrameBatcher(supervisor, engine.max_batch, 0.03),
            engines=EnginePool(lambda canvas: engine),  # not entered: the engine stays open for the next trial
            sources=runs,
            publish=publisher.publish,
            on_frame=note,
        ).run(stop)
        for timer in timers:
            timer.cancel()
    return Trial(
        cameras=len(urls),
        seconds=seconds,
        frames_per_s=len(late) / seconds,
        expected_per_s=len(urls) * fps,
        still_share=still / max(1, len(late)),
        latency_p50_s=float(np.percentile(late, 50)) if late else float("inf"),
        latency_p95_s=float(np.percentile(late, 95)) if late else float("inf"),
        dropped=account.dropped(),
        processor_share=account.processor_share(),
    )


class _Account:
    """Drops and processor time between two moments of a supervisor's life."""

    def __init__(self, supervisor: SourceSupervisor) -> None:
        self._supervisor = supervisor
        self._marks: list[tuple[float, dict[str, float], Counter[str]]] = []

    def begin(self) -> None:
        """Mark the beginning."""
        drops: Counter[str] = Counter()
        for coverage in self._supervisor.coverage().values():
            drops.update(coverage.dropped)
        decoders = sum(processor_s(pid) for pid in self._supervisor.pids().values())
        spent = {"pipeline": time.process_time(), "decoders": decoders}
        self._marks.append((time.monotonic(), spent, drops))

    def end(self, stop: threading.Event) -> None:
        """Mark the end, and stop what runs."""
        self.begin()
        stop.set()

    def dropped(self) -> dict[str, int]:
        """Return the drops in between, by reason."""
        if len(self._marks) < 2:
            return {}
        return dict(self._marks[1][2] - self._marks[0][2])

    def processor_share(self) -> dict[str, float]:
        """Return the processor time in between as shares of one core."""
        if len(self._marks) < 2:
            return {}
        (from_s, before, _), (to_s, after, _) = self._marks
        return {name: (after[name] - before[name]) / (to_s - from_s) for name in before}


def processor_s(pid: int) -> float:
    """Return the processor seconds of a process; 0 where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def most_carried(first: int, carries: Callable[[int], bool], attempts: int = 5) -> int:
    """Return the largest number of cameras found to be carried, in so many attempts from `first`.

    Half as many are tried after a failure, a third more after a success, then what lies between.
    """
    best, cameras, too_many = 0, max(1, first), None
    for _ in range(attempts):
        if carries(cameras):
            best = cameras
            following = max(cameras + 1, cameras * 4 // 3) if too_many is None else (best + too_many) // 2
        else:
            too_many = cameras
            following = cameras // 2 if best == 0 else (best + cameras) // 2
        if following <= best or (too_many is not None and following >= too_many):
            break
        cameras = following
    return best
