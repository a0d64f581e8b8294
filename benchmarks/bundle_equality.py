"""Whether a bundle gives what the same weights give through torch: outputs, text embeddings and events.

    python benchmarks/bundle_equality.py [--full]

On the demonstration model, with `--full` also on HICO-DET's full size with deterministic weights (several minutes).
Events are those of the demonstration clip: from the bundle in a process that refuses torch, from the safetensors file
through torch's export and the same engine (they must agree to the byte), and from eager torch. Each runtime rounds in
its own order, so outputs are also compared with the same network in double precision: what is nearer to that is right.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hoiclip.loaded import LoadedModel
    from hoiclip.types import Outputs

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
CLIP = "assets/demo.mp4"
LIMIT = 1e-4
WITHOUT_TORCH = (
    "import sys\nfor name in ('torch', 'torchvision', 'open_clip'): sys.modules[name] = None\n"
    "from hoistream.cli import main\nmain()"
)
TEXTS = ["a person riding a bicycle", "a person carrying a ladder", "somebody waves at a dog", "holding", ""]


def unbundled(bundle: Path, path: Path) -> Path:
    """Write a bundle's weights with its card as one safetensors file, as `hoistream convert` would; return `path`.

    What the card says of the training data decides what is told of footage, so the two must have one card.
    """
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    source = bundle / "model.safetensors"
    with safe_open(source, "pt") as file:
        metadata = dict(file.metadata())
    metadata["card"] = (bundle / "card.json").read_text(encoding="utf-8")
    save_file(load_file(source), path, metadata)
    return path


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
    from hoiclip.weights import load_torch_model
    from stream.recordings.clip_frames import read_spread

    ready, torch = load_model(bundle), load_torch_model(safetensors)
    canvas = ready.canvases[0]
    frames = read_spread(ROOT / CLIP, canvas, 4)
    print(f"{name} at {canvas}, {len(frames)} frames of the clip; largest difference from the bundle through OpenVINO:")
    passed = True
    exact = in_double_precision(torch, frames)
    with open_engine("openvino", ready, canvas, cache_dir=folder) as engine:
        given = [engine.infer(frame[None]) for frame in frames]
    worst = largest_differences(given, exact)
    print(f"  double precision: {_line(worst)}")
    passed &= _embeddings(worst) <= LIMIT
    for kind, loaded in (("openvino", torch), ("torch", torch), ("onnxruntime", ready)):
        with open_engine(kind, loaded, canvas, precision="fp32", cache_dir=folder) as engine:
            found = [engine.infer(frame[None]) for frame in frames]
        source = "safetensors" if loaded is torch else "bundle"
        apart = _embeddings(largest_differences(found, exact))
        print(
            f"  {source} through {kind}: {_line(largest_differences(given, found))}; "
            f"its embeddings are {apart:.1e} from double precision"
        )
        if (kind, loaded) == ("openvino", torch):
            passed &= _embeddings(largest_differences(given, found)) == 0
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


def in_double_precision(loaded: LoadedModel, frames: list[NDArray[np.uint8]]) -> list[Outputs[NDArray[np.float64]]]:
    """Return the outputs of the same network computed by torch in double precision, frame by frame."""
    import copy

    import torch

    from hoiclip.types import Outputs
    from hoiclip.weights import torch_model

    module = copy.deepcopy(torch_model(loaded).module).double().eval()
    torch.set_default_dtype(torch.float64)  # for constants that are made on the way
    try:
        with torch.inference_mode():
            return [Outputs(*(value.numpy() for value in module(torch.from_numpy(f[None])))) for f in frames]
    finally:
        torch.set_default_dtype(torch.float32)


def largest_differences(
    some: Sequence[Outputs[NDArray[Any]]], others: Sequence[Outputs[NDArray[Any]]]
) -> dict[str, float]:
    """Return the largest absolute difference of each output over all frames."""
    pairs = [(a._asdict(), b._asdict()) for a, b in zip(some, others, strict=True)]
    return {field: max(float(np.abs(a[field] - b[field]).max()) for a, b in pairs) for field in pairs[0][0]}


def _line(worst: dict[str, float]) -> str:
    return ", ".join(f"{field} {value:.1e}" for field, value in worst.items())


def _embeddings(worst: dict[str, float]) -> float:
    return max(value for field, value in worst.items() if field.endswith(("embeddings", "embedding")))


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
        weights = unbundled(shipped_model(), folder / "demo.safetensors")
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
