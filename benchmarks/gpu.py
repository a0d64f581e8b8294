"""All that is claimed of NVIDIA GPUs, measured on this one, with a verdict; writes docs/benchmarks/gpu-*.json.

Parity of every engine first, then frames/s and share of the roofline, the production pipeline on a clip, the cameras
that it carries at five frames a second, and decoding with and without the GPU's decoder.

Run: make bench-gpu, or python -m benchmarks.gpu [--model FILE] [--engines torch:fp16 …] [--batches 1 2 …] [--seconds S]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.full_model import write_parity_model
from benchmarks.gpu_limits import Limits, measure_limits
from benchmarks.gpu_pipeline import FPS, decoding, pipeline_speed, streams_carried
from benchmarks.machine import machine
from engines.bench import count_flop
from engines.cuda_device import find_gpu
from engines.errors import EngineUnavailableError
from engines.loading import load_model
from engines.parity import compare
from engines.registry import open_engine
from engines.request import EngineRequest
from engines.torch_engine import TorchEngine
from hoiclip.cache import cache_directory
from hoiclip.classifier import TextClassifier
from hoiclip.errors import HoistreamError
from hoiclip.files import write_whole
from hoiclip.loaded import LoadedModel
from hoiclip.postprocess import score, to_pairs
from hoiclip.shipped import shipped, shipped_model
from hoiclip.types import Canvas, Engine, Outputs

ENGINES = ("torch:fp16", "onnxruntime:tf32", "tensorrt:fp16", "tensorrt-rtx:fp16")
BATCHES = (1, 2, 4, 8, 16, 32)
CANVASES = ("750x1333", "480x853")
WORST_ERROR = {"fp16": 0.1, "tf32": 0.02, "fp32": 1e-3}  # of any output of the demonstration model
AGREEMENT = 0.97  # of its best 100
ROOFLINE, OF_ENGINE = 0.5, 0.9  # shares below which the verdict is bad
Frames = NDArray[np.uint8]


def main(arguments: list[str] | None = None) -> int:
    """Print and write the measurements and a verdict; return 1 without a GPU, or when something fell short."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="converted model; full size with parity weights when not given")
    parser.add_argument("--engines", nargs="+", default=ENGINES, metavar="KIND:PRECISION")
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--canvases", nargs="+", default=CANVASES, metavar="HEIGHTxWIDTH")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--clip", type=Path, default=shipped("assets/demo.mp4"), help="for the pipeline and decoding")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    options = parser.parse_args(arguments)
    try:
        find_gpu()
    except EngineUnavailableError as error:
        print(f"bench-gpu: {error}", file=sys.stderr)
        return 1
    if not torch.cuda.is_available():
        print("bench-gpu: torch is built without CUDA; install a build that measures the roofline", file=sys.stderr)
        return 1
    model = options.model or parity_model()
    report: dict[str, Any] = {
        "command": "python -m benchmarks.gpu " + shlex.join(sys.argv[1:] if arguments is None else arguments),
        "machine": {**machine(), **gpu()},
        "model": str(model),
        "limits": {},
        "parity": {},
        "results": [],
        "pipeline": {},
        "streams": {},
        "decoding": {},
        "not_run": {},
    }
    path = options.out / f"gpu-{re.sub('[^a-z0-9]+', '-', report['machine']['gpu'].lower()).strip('-')}.json"
    limits = measure_limits()
    report["limits"] = limits.to_dict()
    for engine in options.engines:
        try:
            report["parity"][engine] = parity(engine)
            for canvas in (Canvas(*map(int, size.split("x"))) for size in options.canvases):
                for row in speeds(engine, model, canvas, options.batches, options.seconds, limits):
                    report["results"].append(row)  # one by one: a batch that fails takes no other with it
        except (HoistreamError, RuntimeError) as error:  # torch's and ONNX Runtime's own errors, out of memory too
            report["not_run"][engine] = " ".join(str(error).split())
            print(f"{engine}: not run further: {report['not_run'][engine]}", flush=True)
        torch.cuda.empty_cache()
        write_whole(path, json.dumps(report, indent=2) + "\n")  # after each engine: a crash of the next costs nothing
    best = fastest(report)
    if best is not None:
        try:
            production(report, best, options.clip)
        except (HoistreamError, RuntimeError) as error:
            report["not_run"][f"pipeline with {best}"] = " ".join(str(error).split())
    report["verdict"] = verdict(report)
    write_whole(path, json.dumps(report, indent=2) + "\n")
    print(f"wrote {path}", *(line for line, _ in report["verdict"]), sep="\n")
    return 0 if all(good for _, good in report["verdict"]) else 1


def fastest(report: dict[str, Any]) -> str | None:
    """Return the engine with the highest rate that the pipeline can open by name, or None when none ran."""
    rows = [row for row in report["results"] if not row["engine"].startswith("onnxruntime")]
    best = max(rows, key=lambda row: row["of_roofline"], default=None)
    return None if best is None else str(best["engine"])


def production(report: dict[str, Any], engine: str, clip: Path) -> None:
    """Measure the pipeline with the demonstration model, whose events are real."""
    loaded = load_model(shipped_model())
    canvas = loaded.canvases[0]
    report["pipeline"] = pipeline_speed(engine, loaded, canvas, clip)
    first = int(min(0.8 * report["pipeline"]["frames_per_s"] / FPS, 8 * (os.cpu_count() or 1)))
    report["streams"] = streams_carried(engine, loaded, canvas, clip, first=first)
    report["decoding"] = decoding(clip, canvas)


def verdict(report: dict[str, Any]) -> list[tuple[str, bool]]:
    """Return what was found, a line each, and whether it is as it should be."""
    lines = [
        (f"parity of {name}: best 100 in common {found['top_agreement']:.1%}", True)
        for name, found in report["parity"].items()
    ]
    lines += [(f"NOT RUN {name}: {reason}", False) for name, reason in report["not_run"].items()]
    if not report["results"]:
        return [*lines, ("VERDICT: no engine ran on this GPU", False)]
    row = max(report["results"], key=lambda row: row["of_roofline"])
    rate = max(row["frames_per_s"], row.get("overlapped_frames_per_s", 0.0))
    lines.append(
        (
            f"fastest: {row['engine']} at {row['canvas']}, batch {row['batch']}: {rate:.0f} frames/s, "
            f"{row['of_roofline']:.0%} of the roofline (at least {ROOFLINE:.0%} expected)",
            row["of_roofline"] >= ROOFLINE,
        )
    )
    if whole := report["pipeline"]:
        lines.append(
            (
                f"pipeline: {whole['frames_per_s']:.0f} frames/s from {whole['sources']} recordings at once, "
                f"{whole['of_engine']:.0%} of the engine alone (at least {OF_ENGINE:.0%} expected)",
                whole["of_engine"] >= OF_ENGINE,
            )
        )
    if streams := report["streams"]:
        carried = streams["streams"]
        lines.append((f"cameras carried at {streams['fps']:.0f} frames/s: {carried}", carried > 0))
    if rates := report["decoding"]:
        nvdec = "not run: " + rates["nvdec_not_run"] if rates["nvdec"] is None else f"{rates['nvdec']:.0f} frames/s"
        lines.append((f"decoding: {rates['software']:.0f} frames/s on one thread; NVDEC {nvdec}", True))
    short = sum(not good for _, good in lines)
    return [*lines, ("VERDICT: as it should be" if not short else f"VERDICT: {short} of these fall short", not short)]


def open_on_gpu(name: str, loaded: LoadedModel, canvas: Canvas, max_batch: int) -> Engine:
    """Return an engine named KIND:PRECISION, certainly on the GPU."""
    kind, _, precision = name.partition(":")
    if kind == "onnxruntime":
        from engines.onnxruntime_engine import OnnxRuntimeEngine

        return OnnxRuntimeEngine(EngineRequest(loaded, canvas, max_batch), device="cuda")
    return open_engine(kind, loaded, canvas, max_batch=max_batch, precision=precision)


def parity(name: str) -> dict[str, Any]:
    """Return the comparison with eager fp32 on the CPU, on the demonstration model, whose weights are trained.

    Raises HoistreamError outside the limits: the speed of wrong numbers is worth nothing.
    """
    canvas = Canvas(256, 448)
    # each engine has a model of its own: torch moves the weights it is given
    reference = TorchEngine(EngineRequest(load_model(shipped_model()), canvas, 1), fold=False)
    loaded = load_model(shipped_model())
    classifier = loaded.classifier()
    with reference, open_on_gpu(name, loaded, canvas, 1) as engine:
        result = compare(reference, engine, clip_frames(canvas, 8), classifier)
    worst = max(error.maximum for error in result.errors.values())
    limit = WORST_ERROR[name.partition(":")[2]]
    print(f"{name}: parity: worst error {worst:.1e}, best 100 in common {result.top_agreement:.1%}", flush=True)
    if not worst <= limit or result.top_agreement < AGREEMENT:
        raise HoistreamError(
            f"parity: worst error {worst:.2e} (limit {limit:g}), agreement {result.top_agreement:.1%} "
            f"(limit {AGREEMENT:.0%})"
        )
    return result.to_dict()


def speeds(
    name: str, model: Path, canvas: Canvas, batches: Sequence[int], seconds: float, limits: Limits
) -> Iterator[dict[str, Any]]:
    """Yield one row a batch size: from frames in host memory to scored pairs."""
    loaded = load_model(model)
    classifier, flop = loaded.classifier(), count_flop(loaded, canvas)
    with open_on_gpu(name, loaded, canvas, max(batches)) as engine:
        for batch in batches:
            frames = np.random.default_rng(batch).integers(0, 256, (batch, canvas.height, canvas.width, 3), np.uint8)
            row: dict[str, Any] = {
                "engine": name,
                "canvas": str(canvas),
                "batch": batch,
                **timed(engine, classifier, frames, seconds),
            }
            bound = limits.frames_per_s(flop, canvas, name.partition(":")[2])
            best = max(row["frames_per_s"], row.get("overlapped_frames_per_s", 0.0))
            row |= {"gflop_per_frame": flop / 1e9, "roofline_frames_per_s": bound, "of_roofline": best / bound}
            print(
                f"{name:<18} {canvas} batch {batch:<2}  {row['engine_ms']:8.2f} ms, with head {row['total_ms']:8.2f}  "
                f"{best:8.1f} frames/s  {row['of_roofline']:.0%} of the roofline",
                flush=True,
            )
            yield row


def timed(engine: Engine, classifier: TextClassifier, frames: Frames, seconds: float) -> dict[str, float]:
    """Return median times of a batch, in turn and, where the engine can, with the next upload under way."""
    for _ in range(3):  # kernels are compiled and graphs captured
        engine.infer(frames)
    inference: list[float] = []
    total: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(total) < 5:
        began = time.perf_counter()
        outputs = engine.infer(frames)
        inferred = time.perf_counter()
        head(outputs, engine.canvas, classifier)
        inference.append(inferred - began)
        total.append(time.perf_counter() - began)
    middle = float(np.median(total))
    row = {
        "engine_ms": 1000 * float(np.median(inference)),
        "total_ms": 1000 * middle,
        "p99_ms": 1000 * float(np.percentile(total, 99)),
        "frames_per_s": len(frames) / middle,
    }
    if engine.max_in_flight > 1:
        count = max(8, int(seconds / middle))
        began = time.perf_counter()
        for index in range(count + engine.max_in_flight - 1):
            if index < count:
                engine.submit(frames)
            if index >= engine.max_in_flight - 1:
                head(engine.collect(), engine.canvas, classifier)
        row["overlapped_frames_per_s"] = count * len(frames) / (time.perf_counter() - began)
    return row


def head(outputs: Outputs[NDArray[np.float32]], canvas: Canvas, classifier: TextClassifier) -> None:
    """Do what the pipeline does with outputs before it tracks."""
    scores = score(outputs, classifier)
    for index in range(len(scores.object_scores)):
        to_pairs(scores, index, (canvas.height, canvas.width), classifier)


def clip_frames(canvas: Canvas, count: int) -> Frames:
    """Return frames uint8 [count, H, W, 3] spread over the shipped clip."""

    def pictures() -> Iterator[Frames]:
        with av.open(str(shipped("assets/demo.mp4"))) as container:
            for frame in container.decode(video=0):
                yield frame.reformat(canvas.width, canvas.height, "rgb24").to_ndarray().astype(np.uint8, copy=False)

    every = list(pictures())
    return np.stack([every[index] for index in np.linspace(0, len(every) - 1, count).round().astype(int)])


def gpu() -> dict[str, str]:
    """Return the GPU, its driver and the versions that matter on it."""
    properties = torch.cuda.get_device_properties(0)
    facts = {
        "gpu": str(properties.name),
        "compute_capability": f"{properties.major}.{properties.minor}",
        "gpu_memory_gb": f"{properties.total_memory / 1e9:.0f}",
        "cuda": str(torch.version.cuda),
    }
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        facts["driver"] = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split("\n")[0]
    except (OSError, subprocess.CalledProcessError):
        facts["driver"] = "unknown: nvidia-smi does not run"
    for package in ("tensorrt", "tensorrt_rtx_cu13_bindings", "onnxruntime-gpu"):
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    return facts


def parity_model() -> Path:
    """Return the full-size model with parity weights, made once (a minute, 850 MB)."""
    path = cache_directory() / "benchmarks" / "full-size-parity.safetensors"
    return path if path.is_file() else write_parity_model(path)


if __name__ == "__main__":
    sys.exit(main())
