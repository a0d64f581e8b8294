"""Speed of engines side by side, and of this machine's best matrix product, which bounds them."""

from __future__ import annotations

import importlib.util
import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from engines.errors import EngineError
from engines.openvino_import import import_openvino
from engines.registry import open_engine
from engines.request import EngineRequest
from engines.torch_engine import TorchEngine
from hoiclip.closing import Closing
from hoiclip.types import Canvas, Engine

if TYPE_CHECKING:
    from hoiclip.loaded import LoadedModel

_SIDE = 2048  # of the square matrices whose product is the peak
_BASELINE = "eager-fp32"


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

    The baseline is the published model in eager torch, single precision, nothing folded. Each engine has a process of
    its own, so that no runtime's waiting threads slow another. Every round runs each engine once untimed and once
    timed, so that whatever else the machine does slows all alike; compare the ratios, which are medians over rounds.
    """
    flop = count_flop(loaded, canvas)
    results: list[dict[str, Any]] = []
    with ExitStack() as stack:
        runners = [
            stack.enter_context(_Runner(str(loaded.path), canvas, kind, max(batches), threads, cache_dir))
            for kind in (_BASELINE, *kinds)
        ]
        products = {
            precision: stack.enter_context(_Runner(None, canvas, precision, 1, threads, None))
            for precision in (("fp32", "bf16") if _has_openvino() else ())
        }
        peaks: dict[str, list[float]] = {name: [] for name in products}
        for batch in batches:
            seconds = np.empty((rounds, len(runners)))
            for turn in range(rounds):
                for index, runner in enumerate(runners):
                    seconds[turn, index] = runner.seconds(batch)
                for name, product in products.items():
                    peaks[name].append(2 * _SIDE**3 / product.seconds(1) / 1e9)
            for index, runner in enumerate(runners):
                middle = float(np.median(seconds[:, index]))
                results.append(
                    {
                        "engine": runner.name,
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
        "model": {"name": loaded.config.name, "weights": loaded.fingerprint},
        "canvas": str(canvas),
        "gflop_per_frame": flop / 1e9,
        "baseline": _BASELINE,
        "rounds": rounds,
        "peak_gflop_per_s": {name: float(np.max(rates)) for name, rates in peaks.items()},
        "results": results,
    }


class _Runner(Closing):
    """An engine, or a matrix product if there is no model, in a process of its own."""

    def __init__(
        self, model: str | None, canvas: Canvas, kind: str, max_batch: int, threads: int | None, cache_dir: Path | None
    ) -> None:
        context = get_context("spawn")
        self._pipe, other = context.Pipe()
        arguments = (other, model, canvas, kind, max_batch, threads, cache_dir)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        other.close()
        self.name = self._answer()

    def seconds(self, batch: int) -> float:
        """Return how long one run of `batch` frames takes."""
        self._pipe.send(batch)
        return float(self._answer())

    def _answer(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise EngineError("engine bench: a measuring process ended; its message is above") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End the process."""
        self._pipe.close()  # ends its loop
        self._process.join()


def _serve(
    pipe: Connection,
    model: str | None,
    canvas: Canvas,
    kind: str,
    max_batch: int,
    threads: int | None,
    cache_dir: Path | None,
) -> None:
    try:
        run, name = (
            _product(kind, threads) if model is None else _runnable(model, canvas, kind, max_batch, threads, cache_dir)
        )
        pipe.send(name)
        while True:
            batch = pipe.recv()
            run(batch)
            began = time.perf_counter()
            run(batch)
            pipe.send(time.perf_counter() - began)
    except EOFError:
        return
    except Exception as error:
        pipe.send(error)


def _runnable(
    path: str, canvas: Canvas, kind: str, max_batch: int, threads: int | None, cache_dir: Path | None
) -> tuple[Callable[[int], Any], str]:
    from engines.loading import load_model

    loaded = load_model(Path(path))
    engine: Engine
    if kind == _BASELINE:
        engine = TorchEngine(EngineRequest(loaded, canvas, max_batch, threads=threads), fold=False)
    else:
        name, _, precision = kind.partition(":")
        engine = open_engine(
            name, loaded, canvas, max_batch=max_batch, precision=precision or None, cache_dir=cache_dir, threads=threads
        )
    frames = np.random.default_rng(0).integers(0, 256, (max_batch, canvas.height, canvas.width, 3), np.uint8)
    return lambda batch: engine.infer(frames[:batch]), kind if kind == _BASELINE else engine.name


def count_flop(loaded: LoadedModel, canvas: Canvas) -> int:
    """Return the floating-point operations of one frame, a multiply-add counted as two."""
    from torch.utils.flop_counter import FlopCounterMode

    from hoiclip.weights import torch_model

    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        torch_model(loaded).module(torch.zeros(1, canvas.height, canvas.width, 3, dtype=torch.uint8))
    return int(counter.get_total_flops())


def _has_openvino() -> bool:
    return importlib.util.find_spec("openvino") is not None


def _product(precision: str, threads: int | None) -> tuple[Callable[[int], Any], str]:
    """Return a square matrix product by oneDNN through OpenVINO."""
    ov = import_openvino()
    op = ov.opset13
    a = op.parameter([_SIDE, _SIDE], np.float32)
    weight = op.constant(np.random.default_rng(0).normal(size=(_SIDE, _SIDE)).astype(np.float32))
    model = ov.Model([op.matmul(a, weight, False, True)], [a], "product")
    values = np.random.default_rng(1).normal(size=(_SIDE, _SIDE)).astype(np.float32)
    options: dict[str, Any] = {} if threads is None else {"INFERENCE_NUM_THREADS": threads}
    hint = {"fp32": "f32", "bf16": "bf16"}[precision]
    request = (
        ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint, **options}).create_infer_request()
    )
    return lambda _: request.infer([values], share_inputs=True), precision


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
