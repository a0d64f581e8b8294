"""Time a fresh process from exec to the first frame through the engine, in a process that may not import torch.

    python benchmarks/cold_start.py [--runs 5] [--full]

Measures `hoistream batch` on the demonstration clip with the shipped bundle, its graph compiled by an earlier run; with
`--full` also `hoistream image` on a bundle of HICO-DET's full size with weights that are not trained (minutes to make).
Seconds are wall time; processor time is what they would be at least without anything else on the machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
LIMIT_S, LIMIT_MB = 2.5, 600.0
FULL_CANVAS = (480, 640)
MARKS = {  # where a step ends: module, function or method, name
    "stream.run.models": ("open_model", "imports", "model"),
    "stream.run.inference": ("EnginePool._get", "other", "engine"),
    "engines.base": ("QueueingEngine.collect", "decoder or picture", "first frame"),
}


def child(report: Path, arguments: list[str]) -> None:
    """Be the fresh process: run a command without torch; write seconds since exec to `report` (JSON)."""
    began = float(os.environ["COLD_START"])
    for module in ("torch", "torchvision", "open_clip"):
        sys.modules[module] = None  # type: ignore[assignment]  # None is how an import is refused
    marks: list[tuple[str, float, float]] = []

    def watch(module: str, path: str, before: str, after: str) -> None:
        owner: Any = importlib.import_module(module)
        *parts, name = path.split(".")
        for part in parts:
            owner = getattr(owner, part)
        inner = getattr(owner, name)

        def first(*given: Any, **options: Any) -> Any:
            setattr(owner, name, inner)
            mark(before)
            result = inner(*given, **options)
            mark(after)
            if after == "first frame":
                write()
            return result

        setattr(owner, name, first)

    def mark(name: str) -> None:
        marks.append((name, time.monotonic() - began, time.process_time()))

    def write() -> None:
        report.write_text(json.dumps({"marks": marks, "peak_mb": peak_bytes() / 1e6}))

    mark("python")
    sys.meta_path.insert(0, _AfterImport(watch))
    from hoistream.cli import main

    sys.argv = ["hoistream", *arguments]
    try:
        main()
    finally:
        write()


class _AfterImport:
    """Watches functions as soon as their module is imported, so that watching imports nothing itself."""

    def __init__(self, watch: Any) -> None:
        self._watch, self._waiting = watch, dict(MARKS)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the module's own spec, whose loader tells `watch` when it is done."""
        if name not in self._waiting:
            return None
        function, before, after = self._waiting.pop(name)
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.loader is not None
        load = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            load(module)
            self._watch(name, function, before, after)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def peak_bytes() -> int:
    """Return this process's peak resident memory; `ru_maxrss` would count the parent's from before the start."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def measure(arguments: list[str], runs: int, cache: Path) -> dict[str, Any]:
    """Return the median run of some after one that fills the cache, and the largest peak memory."""
    results = []
    for run in range(runs + 1):
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.json"
            command = [sys.executable, __file__, "child", str(report), *arguments, *_outputs(arguments, folder)]
            environment = {**os.environ, "HOISTREAM_CACHE": str(cache), "COLD_START": str(time.monotonic())}
            subprocess.run(command, check=True, capture_output=True, env=environment, cwd=ROOT)
            if run:
                results.append(json.loads(report.read_text()))
    seconds = [next(at for name, at, _ in result["marks"] if name == "first frame") for result in results]
    middle = sorted(range(runs), key=seconds.__getitem__)[runs // 2]
    marks = results[middle]["marks"]
    steps: dict[str, float] = {}
    before = 0.0
    for name, at, _ in marks:
        steps[name] = steps.get(name, 0.0) + at - before
        before = at
    return {
        "median_s": seconds[middle],
        "fastest_s": min(seconds),
        "cpu_s": next(cpu for name, _, cpu in marks if name == "first frame"),
        "steps": {name: value for name, value in steps.items() if value >= 0.005},
        "peak_mb": max(result["peak_mb"] for result in results),
    }


def _outputs(arguments: list[str], folder: str) -> list[str]:
    return ["--out", f"{folder}/out"] if arguments[0] == "batch" else []


def show(name: str, result: dict[str, Any]) -> None:
    """Print one measurement."""
    steps = ", ".join(f"{step} {value:.2f}" for step, value in result["steps"].items())
    print(
        f"{name}: {result['median_s']:.2f} s from exec to the first frame through the engine (median; fastest "
        f"{result['fastest_s']:.2f}; {steps}), processor time {result['cpu_s']:.2f} s, "
        f"peak memory {result['peak_mb']:.0f} MB"
    )


def full_bundle(folder: Path) -> Path:
    """Write a bundle of the full size, with weights that load and run as trained ones do."""
    from benchmarks.full_model import write_parity_model
    from hoiclip.bundling import write_bundle
    from hoiclip.types import Canvas
    from hoiclip.weights import load_torch_model

    model = load_torch_model(write_parity_model(folder / "model.safetensors"))
    return write_bundle(model, folder / "full.bundle", canvases=[Canvas(*FULL_CANVAS)])


def main() -> int:
    """Print the medians and return 1 above a limit."""
    from benchmarks.machine import print_machine

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--full", action="store_true", help="also a model of the full size")
    options = parser.parse_args()
    print_machine("python benchmarks/cold_start.py" + " --full" * options.full)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = ["batch", "assets/demo.mp4", "--model", "demo", "--fps", "2"]
        demo = measure(clip, options.runs, folder / "cache")
        show(f"hoistream batch, demonstration bundle (limits {LIMIT_S:g} s, {LIMIT_MB:.0f} MB)", demo)
        if options.full:
            import numpy as np
            from PIL import Image

            picture = folder / "picture.png"
            Image.fromarray(np.random.default_rng(0).integers(0, 256, (*FULL_CANVAS, 3), np.uint8)).save(picture)
            command = ["image", str(picture), "--model", str(full_bundle(folder))]
            show("hoistream image, full-size bundle", measure(command, options.runs, folder / "cache"))
    return int(demo["median_s"] > LIMIT_S or demo["peak_mb"] > LIMIT_MB)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(Path(sys.argv[2]), sys.argv[3:])
    else:
        sys.exit(main())
