"""The full-size model with the parity weights: what engines are measured on where official weights cannot be had.

Run: python -m benchmarks.full_model OUT.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from hoiclip.checkpoint import build, convert
from hoiclip.parity import official_weights
from hoiclip.weights import save_model

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden"


def write_parity_model(path: Path) -> Path:
    """Write the published HICO-DET layout with weights computed from each key's name (about 770 MB)."""
    statistics = dict(np.load(GOLDEN / "batch_norm_statistics.npz"))
    golden = dict(np.load(GOLDEN / "golden_hico.npz"))
    converted = convert(official_weights(GOLDEN / "manifest_hico.json.gz", golden, statistics), "parity weights")
    model, heads = build(converted)
    card = {"name": converted.config.name, "not_for": "anything but measuring: the weights are not trained"}
    save_model(path, model, heads, card)
    return path


if __name__ == "__main__":
    print(write_parity_model(Path(sys.argv[1])))
