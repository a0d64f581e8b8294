"""What each step of the pipeline costs on this machine: processor time, which other work disturbs little."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hoiclip.types import Canvas, Engine, Outputs
from stream.capacity.footage import CameraKind, write_footage
from stream.decode.recording import Recording
from stream.decode.scaling import CanvasScaler
from stream.decode.sources import SourceSettings
from stream.events.schema import EventNumbers, SourceStateEvent
from stream.ingest.batcher import FrameMeta
from stream.publish.publisher import Publisher
from stream.run.source_run import Head, SourceRun, source_tracker
from stream.track.settings import TrackerSettings

_MIN_DECODE_S: Final = 0.8  # processor time of one measurement
_MIN_ENGINE_S: Final = 1.5


class DecodeCost(NamedTuple):
    """Of one camera's frames, on one core."""

    kind: CameraKind
    decode_ms: float  # processor time a frame
    scale_ms: float  # processor time a frame that is looked at

    @property
    def frames_per_s(self) -> float:
        """Frames decoded and scaled a second on one core."""
        return 1000 / (self.decode_ms + self.scale_ms)


class EngineCost(NamedTuple):
    """Of one size of batch."""

    batch: int
    frames_per_s: float
    processor_ms: float  # a frame, over all cores
    p95_ms: float  # of a batch


def decode_cost(folder: Path, kind: CameraKind, canvas: Canvas, clip_s: float = 2.0) -> DecodeCost:
    """Make footage of a kind and decode it as the decoder process does. Raises HoistreamError without its encoder."""
    path = folder / f"{kind.width}x{kind.height}-{kind.codec}.mp4"
    write_footage(path, kind, clip_s)
    source = SourceSettings("bench", str(path), "file", (canvas,), target_fps=None)
    picture, scaler = np.empty((canvas.height, canvas.width, 3), np.uint8), CanvasScaler()
    decoding_s = scaling_s = 0.0
    frames = scaled = 0
    while decoding_s < _MIN_DECODE_S:
        started = time.thread_time()
        with Recording(source, None) as recording:
            for number, frame in enumerate(recording.frames()):
                frames += 1
                if number % 5 == 0:
                    before = time.thread_time()
                    scaler.write(frame.picture, frame.quarter_turns, picture)
                    scaling_s += (spent := time.thread_time() - before)
                    started += spent
                    scaled += 1
        decoding_s += time.thread_time() - started
    return DecodeCost(kind, 1000 * decoding_s / frames, 1000 * scaling_s / scaled)


def engine_costs(engine: Engine, batches: Sequence[int]) -> list[EngineCost]:
    """Run batches of each size, as many in flight as the engine takes."""
    costs = []
    for batch in batches:
        frames = np.random.default_rng(0).integers(0, 256, (batch, *engine.canvas, 3), np.uint8)
        engine.infer(frames)
        engine.infer(frames)
        started, processor, count = time.perf_counter(), time.process_time(), 0
        submitted: list[float] = []
        took: list[float] = []
        while (elapsed := time.perf_counter() - started) < _MIN_ENGINE_S or count < 3:
            submitted.append(time.perf_counter())
            engine.submit(frames)
            if len(submitted) == engine.max_in_flight:
                engine.collect()
                took.append(time.perf_counter() - submitted.pop(0))
                count += 1
        for began in submitted:
            engine.collect()
            took.append(time.perf_counter() - began)
            count += 1
        elapsed = time.perf_counter() - started
        spent_ms = 1000 * (time.process_time() - processor) / (count * batch)
        costs.append(EngineCost(batch, count * batch / elapsed, spent_ms, 1000 * float(np.percentile(took, 95))))
    return costs


def head_and_track_ms(head: Head, outputs: Outputs[NDArray[np.float32]], canvas: Canvas, frames: int = 300) -> float:
    """Return the processor time of one frame after the engine, for its `outputs` of batch 1 in every frame."""
    run = SourceRun("bench", "bench", head, source_tracker("bench", head.classifier, TrackerSettings()))
    picture = np.zeros((canvas.height, canvas.width, 3), np.uint8)
    started = time.thread_time()
    for number in range(frames):
        meta = FrameMeta("bench", number, number / 5, None, canvas.width, canvas.height, False, 1)
        run.frame(outputs, meta, picture)
    return 1000 * (time.thread_time() - started) / frames


def publish_per_s(count: int = 3000) -> float:
    """Return how many events a second go to the spool and a file, one by one."""
    numbers = EventNumbers("bench", "bench")
    fields: dict[str, Any] = {"media_time_s": 0.0, "capture_time": None, "state": "up", "reason": "", "why": ""}
    events = [SourceStateEvent(**numbers.next(), **fields) for _ in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        sink, spool = f"jsonl:{Path(folder) / 'events.jsonl'}", Path(folder) / "spool"
        with Publisher([sink], spool_dir=spool) as publisher:
            started = time.perf_counter()
            for event in events:
                publisher.publish(event)
            publisher.flush(timeout_s=30.0)
            return count / (time.perf_counter() - started)
