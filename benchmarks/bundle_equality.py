"""Whether a bundle gives what the same weights give through torch: outputs, text embeddings and events.

    python benchmarks/bundle_equality.py [--full]

On the demonstration model, with `--full` also on HICO-DET's full size with deterministic weights (several minutes).
Events are those of the demonstration clip: from the bundle in a process that refuses torch, from the safetensors file
through torch's export and the same engine (they must agree to the byte), and from eager torch.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
CLIP = "assets/demo.mp4"
LIMIT = 1e-4
WITHOUT_TORCH = (
    "import sys\nfor name in ('torch', 'torchvision', 'open_clip'): sys.modules[name] = None\n"
    "from hoistream.cli import main\nmain()"
)
TEXTS = ["a person riding a bicycle", "a person carrying a ladder", "somebody waves at a dog", "holding", ""]


def events(model: Path, engine: str, out: Path, options: list[str], *, torch: bool) -> bytes:
    """Return the event file of the clip."""
    start = [sys.executable, "-m", "hoistream"] if torch else [sys.executable, "-c", WITHOUT_TORCH]
    command = [*start, "batch", CLIP, "--model", str(model), "--engine", engine, "--out", str(out), *options]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return (out / "demo.events.jsonl").read_bytes()


def compare(name: str, bundle: Path, safetensors: Path, folder: Path, options: list[str]) -> bool:
    """Print how far each output is, whether events are equal; return whether all is within the limits."""
    from engines.loading import load_model
    from engines.registry import open_engine
    from hoiclip.types import Outputs
    from hoiclip.weights import load_torch_model
    from stream.recordings.clip_frames import read_spread

    ready, torch = load_model(bundle), load_torch_model(safetensors)
    canvas = ready.canvases[0]
    frames = read_spread(ROOT / CLIP, canvas, 4)
    print(f"{name} at {canvas}, {len(frames)} frames of the clip; largest difference from the bundle through OpenVINO:")
    passed = True
    with open_engine("openvino", ready, canvas, cache_dir=folder) as engine:
        given = [engine.infer(frame[None]) for frame in frames]
    for kind, loaded in (("openvino", torch), ("torch", torch), ("onnxruntime", ready)):
        with open_engine(kind, loaded, canvas, precision="fp32", cache_dir=folder) as engine:
            found = [engine.infer(frame[None]) for frame in frames]
        worst = {
            field: max(
                float(np.abs(getattr(a, field) - getattr(b, field)).max()) for a, b in zip(given, found, strict=True)
            )
            for field in Outputs._fields
        }
        source = "safetensors" if loaded is torch else "bundle"
        print(f"  {source} through {kind}: " + ", ".join(f"{field} {value:.1e}" for field, value in worst.items()))
        passed &= all(value <= LIMIT for field, value in worst.items() if field.endswith(("embeddings", "embedding")))
    text = float(np.abs(ready.encode_texts(TEXTS) - torch.encode_texts(TEXTS)).max())
    print(f"  text embeddings: {text:.1e}")
    bundled = events(bundle, "openvino", folder / "bundled", options, torch=False)
    exported = events(safetensors, "openvino", folder / "exported", options, torch=True)
    eager = events(safetensors, "torch", folder / "eager", options, torch=True)
    same = "equal to the byte" if bundled == exported else "NOT EQUAL"
    ours, others = bundled.splitlines(), eager.splitlines()
    alike = sum(_content(a) == _content(b) for a, b in zip(ours, others, strict=False))
    print(
        f"  events: bundle and safetensors through OpenVINO {same} ({len(ours)} events); eager torch: "
        f"{len(others)} events, {alike} of them the same but for ids and the last digits of scores and boxes"
    )
    return passed and text <= LIMIT and bundled == exported


def _content(line: bytes) -> tuple[object, ...]:
    import json

    event = json.loads(line)
    return tuple(event.get(key) for key in ("type", "interaction", "object", "pair_id", "media_time_s", "reason"))


def main() -> int:
    """Return 1 where something is not equal."""
    from benchmarks.machine import print_machine
    from hoiclip.shipped import shipped_model

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="also a model of the full size")
    options = parser.parse_args()
    print_machine("python benchmarks/bundle_equality.py" + " --full" * options.full)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = Path(shutil.copy(shipped_model() / "model.safetensors", folder / "demo.safetensors"))
        passed = compare("demonstration model", shipped_model(), weights, folder / "demo", [])
        if options.full:
            from benchmarks.full_model import write_parity_model
            from hoiclip.bundling import write_bundle
            from hoiclip.types import Canvas
            from hoiclip.weights import load_torch_model

            weights = write_parity_model(folder / "full.safetensors")
            bundle = write_bundle(load_torch_model(weights), folder / "full.bundle", canvases=[Canvas(320, 480)])
            few = [
                "--canvas",
                "320x480",
                "--fps",
                "2",
                "--enter-score",
                "0.1",
            ]  # they are never sure
            passed &= compare("full size, deterministic weights", bundle, weights, folder / "full", few)
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())
