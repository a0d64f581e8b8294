"""Time a fresh process that loads the full model and reads its first picture. Run: python benchmarks/cold_start.py."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
THREADS, RUNS, LIMIT_S, LIMIT_GB = 2, 3, 6.0, 2.5
PICTURE = (480, 640)  # pixels; the model sees 800 x 1066


def write_random_full(path: Path) -> None:
    """Write a model of HICO-DET's full size with random weights, which load and run as trained ones do."""
    import numpy as np
    import torch

    from hoiclip.classifier import TrainedHeads
    from hoiclip.config import hoiclip_r50_hico
    from hoiclip.model import HoiClip
    from hoiclip.weights import save_model

    torch.manual_seed(0)
    config = hoiclip_r50_hico()
    rng = np.random.default_rng(0)

    def unit(rows: int) -> np.ndarray:
        x = rng.normal(size=(rows, config.clip.embed_dim)).astype(np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    interactions, verbs = config.num_interactions, config.num_verbs
    table = (rng.random((verbs, interactions)) < 1 / verbs).astype(np.float32)
    bias = np.zeros(interactions, np.float32)
    heads = TrainedHeads(unit(interactions), bias, unit(verbs), table, 14.3, 0.5, unit(interactions))
    save_model(path, HoiClip(config).eval(), heads, {"name": "random weights for measuring"})


def start(path: Path) -> None:
    """Be the fresh process: print JSON with the seconds of each step, processor time and peak memory."""
    began = time.perf_counter()
    import numpy as np
    import torch

    from hoiclip.predictor import Predictor
    from hoiclip.weights import load_torch_model

    torch.set_num_threads(THREADS)
    imported = time.perf_counter()
    loaded = load_torch_model(path)
    predictor = Predictor(loaded.look(), loaded.classifier())
    ready = time.perf_counter()
    picture = np.random.default_rng(0).integers(0, 256, (*PICTURE, 3), dtype=np.uint8)
    predictor.predict(picture)
    done = time.perf_counter()
    steps = {"import": imported - began, "load": ready - imported, "first picture": done - ready}
    print(json.dumps({"steps": steps, "cpu_s": time.process_time(), "peak_gb": peak_bytes() / 1e9}))


def peak_bytes() -> int:
    """Return this process's peak resident memory; `ru_maxrss` would count the parent's from before the start."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> int:
    """Print the median of some starts and return 1 above a limit."""
    from benchmarks.machine import print_machine

    print_machine("python benchmarks/cold_start.py")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        subprocess.run([sys.executable, __file__, "write", str(path)], check=True)
        size = path.stat().st_size / 1e9
        runs = []
        for _ in range(RUNS):
            began = time.perf_counter()
            child = subprocess.run([sys.executable, __file__, "start", str(path)], check=True, capture_output=True)
            runs.append((time.perf_counter() - began, json.loads(child.stdout)))
    runs.sort(key=lambda run: run[0])
    seconds, facts = runs[len(runs) // 2]
    peak = max(run["peak_gb"] for _, run in runs)
    steps = ", ".join(f"{name} {value:.2f}" for name, value in facts["steps"].items())
    cpu = facts["cpu_s"]
    print(
        f"cold start, full model ({size:.2f} GB single precision, in the page cache), {THREADS} threads, "
        f"{PICTURE[0]}x{PICTURE[1]} picture: {seconds:.2f} s from exec to exit (median of {RUNS}, slowest "
        f"{runs[-1][0]:.2f}, limit {LIMIT_S:g}; {steps}; processor time {cpu:.2f} s); "
        f"peak memory {peak:.2f} GB (limit {LIMIT_GB:g})"
    )
    return int(seconds > LIMIT_S or peak > LIMIT_GB)


if __name__ == "__main__":
    if sys.argv[1:2] == ["start"]:
        start(Path(sys.argv[2]))
    elif sys.argv[1:2] == ["write"]:
        write_random_full(Path(sys.argv[2]))
    else:
        sys.exit(main())
