"""One request on all threads, or several of one thread each: whichever is faster on this machine, measured once.

Threads of one request wait for each other after every layer, and on a machine that also decodes video one of them is
always late. Several requests of one thread each never wait; a frame by itself then takes longer.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hoiclip.cache import BuildCache
from hoiclip.types import Canvas, Outputs

logger = logging.getLogger(__name__)

MAX_REQUESTS: Final = 8  # each keeps the activations of a frame in memory
_ROUNDS: Final = 5
_MARGIN: Final = 1.03  # so much faster must several be: one frame alone comes sooner out of one
_RESULT: Final = "requests.json"
_REVISION: Final = 1  # raise when the measurement changes


class Runner(Protocol):
    """Runs batches with a number of requests."""

    def run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        """Return the outputs of frames [B, H, W, 3]."""
        ...

    def close(self) -> None:
        """Free it."""
        ...


class Requests(NamedTuple):
    """How frames are spread over a processor."""

    at_once: int
    threads: int | None  # in all; None leaves it to OpenVINO

    @property
    def options(self) -> dict[str, Any]:
        """What OpenVINO is told."""
        if self.at_once == 1:
            return {"PERFORMANCE_HINT": "LATENCY"} | (
                {} if self.threads is None else {"INFERENCE_NUM_THREADS": self.threads}
            )
        return {"NUM_STREAMS": str(self.at_once), "INFERENCE_NUM_THREADS": self.at_once}


def choices(device: str, max_batch: int, threads: int | None) -> list[Requests]:
    """Return the ways to run batches of up to `max_batch` frames; the first is one request on all threads."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    several = min(threads or affinity, MAX_REQUESTS, max_batch)
    found = [Requests(1, threads)]
    if device == "CPU" and several > 1:
        found.append(Requests(several, threads))
    return found


def fastest(
    found: list[Requests],
    open_runner: Callable[[Requests], Runner],
    canvas: Canvas,
    facts: dict[str, Any],
    cache_dir: Path | None,
) -> Runner:
    """Return an open runner of the fastest way: measured, unless these `facts` were measured on this machine before."""
    if len(found) == 1:
        return open_runner(found[0])
    cache, key = BuildCache(cache_dir), _key(found, facts)
    known = _remembered(cache, key)
    chosen = next((each for each in found if each.at_once == known), None)
    if chosen is not None:
        return open_runner(chosen)
    runners = [open_runner(each) for each in found]
    rates = _frames_per_s(runners, canvas, 2 * max(each.at_once for each in found))
    best = max(range(len(found)), key=lambda index: rates[index] / (_MARGIN if found[index].at_once > 1 else 1.0))
    measured = {str(each.at_once): rate for each, rate in zip(found, rates, strict=True)}
    told = ", ".join(f"{number}: {rate:.1f} frames/s" for number, rate in measured.items())
    logger.info("openvino: %d at a time (%s); remembered", found[best].at_once, told)
    _remember(cache, key, found[best].at_once, measured)
    for index, runner in enumerate(runners):
        if index != best:
            runner.close()
    return runners[best]


def _frames_per_s(runners: list[Runner], canvas: Canvas, batch: int) -> list[float]:
    """Return the median rate of each; they take turns, so that other work slows all alike."""
    frames = np.random.default_rng(0).integers(0, 256, (batch, *canvas, 3), np.uint8)
    seconds = np.empty((_ROUNDS, len(runners)))
    for runner in runners:
        runner.run(frames)
    for turn in range(_ROUNDS):
        for index, runner in enumerate(runners):
            started = time.perf_counter()
            runner.run(frames)
            seconds[turn, index] = time.perf_counter() - started
    return [batch / float(median) for median in np.median(seconds, axis=0)]


def _key(found: list[Requests], facts: dict[str, Any]) -> dict[str, Any]:
    """Return everything that the result depends on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {
        **facts,
        "kind": "openvino-requests",
        "counts": [each.at_once for each in found],
        "threads": found[0].threads,
        "processor": next(names, platform.processor()),
        "revision": _REVISION,
    }


def _remembered(cache: BuildCache, key: dict[str, Any]) -> int | None:
    folder = cache.find(key)
    try:
        return int(json.loads((folder / _RESULT).read_text(encoding="utf-8"))["count"]) if folder else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(cache: BuildCache, key: dict[str, Any], count: int, rates: dict[str, float]) -> None:
    try:
        part = cache.begin(key)
        document = {"count": count, "frames_per_s": rates}
        (part / _RESULT).write_text(json.dumps(document, indent=2), encoding="utf-8")
        cache.commit(key, part)
    except OSError as error:
        logger.warning("%s: how many requests are fastest cannot be remembered (%s)", cache.root, error)
