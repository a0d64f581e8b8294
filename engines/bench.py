"""Speed of engines side by side, and of this machine's best matrix product, which bounds them."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from engines.registry import open_engine
from engines.torch_engine import TorchEngine
from hoiclip.types import Canvas, Engine

if TYPE_CHECKING:
    from hoiclip.weights import LoadedModel

_SIDE = 2048  # of the square matrices whose product is the peak


def measure(
    loaded: LoadedModel,
    canvas: Canvas,
    kinds: Sequence[str],
    batches: Sequence[int],
    *,
    rounds: int = 15,
    threads: int | None = None,
    cache_dir: Path | None = None,
) -> dict[str, Any]:
    """Return a JSON-ready report; `kinds` are ``KIND`` or ``KIND:PRECISION``.

    The baseline is the published model in eager torch, single precision, nothing folded. Every round runs each engine
    once, so that whatever else the machine does slows all alike; compare the ratios, which are medians over rounds.
    """
    flop = count_flop(loaded, canvas)
    frames = np.random.default_rng(0).integers(0, 256, (max(batches), canvas.height, canvas.width, 3), np.uint8)
    results: list[dict[str, Any]] = []
    peaks: dict[str, list[float]] = {}
    products = _products(threads)
    with ExitStack() as stack:
        baseline: Engine = TorchEngine(loaded.model, canvas, max(batches), threads=threads, fold=False)
        engines: list[Engine] = [stack.enter_context(baseline)]
        for kind in kinds:
            name, _, precision = kind.partition(":")
            engine = open_engine(
                name,
                loaded,
                canvas,
                max_batch=max(batches),
                precision=precision or None,
                cache_dir=cache_dir,
                threads=threads,
            )
            engines.append(stack.enter_context(engine))
        labels = ["eager-fp32", *(engine.name for engine in engines[1:])]
        for batch in batches:
            seconds = np.empty((rounds, len(engines)))
            for engine in engines:
                engine.infer(frames[:batch])
            for turn in range(rounds):
                for index, engine in enumerate(engines):
                    began = time.perf_counter()
                    engine.infer(frames[:batch])
                    seconds[turn, index] = time.perf_counter() - began
                for name, product in products.items():
                    began = time.perf_counter()
                    product()
                    peaks.setdefault(name, []).append(2 * _SIDE**3 / (time.perf_counter() - began) / 1e9)
            for index, label in enumerate(labels):
                middle = float(np.median(seconds[:, index]))
                results.append(
                    {
                        "engine": label,
                        "batch": batch,
                        "median_ms": 1000 * middle,
                        "p90_ms": 1000 * float(np.percentile(seconds[:, index], 90)),
                        "frames_per_s": batch / middle,
                        "gflop_per_s": batch * flop / middle / 1e9,
                        "speed_up": float(np.median(seconds[:, 0] / seconds[:, index])),
                    }
                )
    return {
        "machine": _machine(),
        "model": {"name": loaded.model.config.name, "weights": loaded.fingerprint},
        "canvas": str(canvas),
        "gflop_per_frame": flop / 1e9,
        "baseline": "eager-fp32",
        "rounds": rounds,
        "peak_gflop_per_s": {name: float(np.max(rates)) for name, rates in peaks.items()},
        "results": results,
    }


def count_flop(loaded: LoadedModel, canvas: Canvas) -> int:
    """Return the floating-point operations of one frame, a multiply-add counted as two."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        loaded.model(torch.zeros(1, canvas.height, canvas.width, 3, dtype=torch.uint8))
    return int(counter.get_total_flops())


def _products(threads: int | None) -> dict[str, Callable[[], Any]]:
    """Return square matrix products by oneDNN through OpenVINO, by precision; none without OpenVINO."""
    try:
        import openvino as ov
        from openvino import opset13 as op
    except ImportError:
        return {}
    a = op.parameter([_SIDE, _SIDE], np.float32)
    weight = op.constant(np.random.default_rng(0).normal(size=(_SIDE, _SIDE)).astype(np.float32))
    model = ov.Model([op.matmul(a, weight, False, True)], [a], "product")
    values = np.random.default_rng(1).normal(size=(_SIDE, _SIDE)).astype(np.float32)
    options: dict[str, Any] = {} if threads is None else {"INFERENCE_NUM_THREADS": threads}
    products = {}
    for name, hint in (("fp32", "f32"), ("bf16", "bf16")):
        request = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint, **options})
        request = request.create_infer_request()
        request.infer([values])
        products[name] = request.infer
    return products


def _machine() -> dict[str, str]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    cpu = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), platform.processor())
    facts = {"date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "cpu": cpu, "cores": str(os.cpu_count())}
    facts["load"] = " ".join(f"{value:.2f}" for value in os.getloadavg())
    for name in ("torch", "openvino", "onnxruntime"):
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = "not installed"
    return facts
