"""The production pipeline on a GPU: recordings as fast as they go, live cameras in real time, and its decoder.

Used by `benchmarks.gpu`; every function works with any engine.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import av
import numpy as np

from engines.registry import open_engine
from hoiclip.loaded import LoadedModel
from hoiclip.types import Canvas, Engine
from stream.capacity.trial import most_carried, watch_live
from stream.decode.sources import SourceSettings
from stream.ingest.batcher import FrameBatcher
from stream.ingest.supervisor import SourceSupervisor
from stream.publish.publisher import Publisher
from stream.run.inference import EnginePool
from stream.run.pipeline import Pipeline
from stream.run.source_run import Head, SourceRun, source_tracker
from stream.track.settings import TrackerSettings

FPS = 5.0  # looked at, of each camera


def pipeline_speed(name: str, loaded: LoadedModel, canvas: Canvas, clip: Path, *, copies: int = 8) -> dict[str, Any]:
    """Return frames/s of the whole pipeline on `copies` of a clip at once, against the engine alone."""
    kind, _, precision = name.partition(":")
    with open_engine(kind, loaded, canvas, max_batch=16, precision=precision or None) as engine:
        sources = [SourceSettings(f"clip{n}", str(clip), "file", (canvas,), target_fps=None) for n in range(copies)]
        run_pipeline(engine, loaded, sources)  # kernels are compiled and graphs captured
        began = time.perf_counter()
        frames = run_pipeline(engine, loaded, sources)
        whole = frames / (time.perf_counter() - began)
        alone = engine_alone(engine, seconds=2.0)
    return {"engine": name, "sources": copies, "frames_per_s": whole, "engine_alone": alone, "of_engine": whole / alone}


def engine_alone(engine: Engine, seconds: float) -> float:
    """Return frames/s of full batches with as many in flight as the engine takes."""
    frames = np.random.default_rng(0).integers(0, 256, (engine.max_batch, *engine.canvas, 3), np.uint8)
    for _ in range(3):
        engine.infer(frames)
    began, batches, in_flight = time.perf_counter(), 0, 0
    while time.perf_counter() < began + seconds or batches < 3:
        engine.submit(frames)
        in_flight += 1
        if in_flight == engine.max_in_flight:
            engine.collect()
            in_flight, batches = in_flight - 1, batches + 1
    for _ in range(in_flight):
        engine.collect()
        batches += 1
    return batches * len(frames) / (time.perf_counter() - began)


def streams_carried(
    name: str, loaded: LoadedModel, canvas: Canvas, clip: Path, *, first: int, seconds: float = 15.0
) -> dict[str, Any]:
    """Return how many cameras, looked at five times a second, the pipeline carries: no drop, p95 latency below 1 s.

    Each camera is a decoder process that plays the clip in real time; every frame goes through the engine.
    """
    kind, _, precision = name.partition(":")
    head, tried = Head(loaded.classifier(), loaded.fingerprint), list[dict[str, Any]]()
    with open_engine(kind, loaded, canvas, max_batch=16, precision=precision or None) as engine:

        def carries(cameras: int) -> bool:
            trial = watch_live(engine, head, [str(clip)] * cameras, fps=FPS, seconds=seconds, max_still_s=0.0)
            tried.append(asdict(trial) | {"carried": trial.carried})
            return trial.carried

        carried = most_carried(first, carries)
    return {"engine": name, "fps": FPS, "streams": carried, "tried": tried}


def run_pipeline(engine: Engine, loaded: LoadedModel, sources: list[SourceSettings]) -> int:
    """Run sources through decoders, batcher, engine, head, tracker and spool; return the frames that came out."""
    head = Head(loaded.classifier(), loaded.fingerprint)
    runs = {
        source.id: SourceRun(source.id, "bench", head, source_tracker(source.id, head.classifier, TrackerSettings()))
        for source in sources
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        Publisher([f"jsonl:{Path(folder) / 'events.jsonl'}"]) as publisher,
        SourceSupervisor(sources) as supervisor,
    ):
        pool = EnginePool(lambda canvas: engine)  # not entered: the engine stays open for the next run
        pipeline = Pipeline(
            batcher=FrameBatcher(supervisor, engine.max_batch, 0.03),
            engines=pool,
            sources=runs,
            publish=publisher.publish,
        )
        reports = pipeline.run(threading.Event())
    return sum(report.frames for report in reports.values())


def decoding(clip: Path, canvas: Canvas, seconds: float = 3.0) -> dict[str, Any]:
    """Return frames/s of decoding and scaling the clip on one thread, and on the GPU's decoder where PyAV has it."""
    report: dict[str, Any] = {"cores": os.cpu_count(), "software": _decode(clip, canvas, seconds, None)}
    try:
        from av.codec.hwaccel import HWAccel

        report["nvdec"] = _decode(clip, canvas, seconds, HWAccel("cuda", allow_software_fallback=False))
    except (ImportError, av.FFmpegError, RuntimeError, NotImplementedError, ValueError) as error:
        report["nvdec"], report["nvdec_not_run"] = None, " ".join(str(error).split())
    return report


def _decode(clip: Path, canvas: Canvas, seconds: float, hwaccel: Any) -> float:
    began, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() < began + seconds:
        with av.open(str(clip), hwaccel=hwaccel) as container:
            container.streams.video[0].codec_context.thread_count = 1
            for frame in container.decode(video=0):
                frame.reformat(canvas.width, canvas.height, "rgb24")
                count += 1
    return count / (time.perf_counter() - began)
