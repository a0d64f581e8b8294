"""What the world's training data looks like to a model, for its card: so that footage unlike it can be told.

Run: python -m benchmarks.training_features [--model models/demo.bundle] [--write]. Draws pictures and clip frames that
training used (seeds below 40,000 and 1,500), each as it is and through two of eleven corruptions, so that weather,
night and blur count as known; prints how far they lie from their mean, and with --write puts the statistics into the
bundle's card.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.registry import open_engine
from hoiclip.bundle import CARD, MANIFEST, check_bundle
from hoiclip.bundling import write_manifest
from hoiclip.familiarity import CARD_KEY, TrainingFeatures, frame_features
from hoiclip.files import write_whole
from hoiclip.synthetic.clip import plan_clip
from hoiclip.synthetic.scene import draw_picture
from hoiclip.types import Canvas, Outputs, concatenate
from stream.recordings.corruptions import CORRUPTIONS, STRENGTHS, corruption
from stream.run.canvases import model_canvas
from stream.run.models import open_model

PICTURES, CLIPS = 500, 600
LIMIT = 0.84  # known scenes of validation lie nearer, the nearest real footage farther; see docs/evaluation.md


def frames_of_training(canvas: Canvas) -> list[NDArray[np.uint8]]:
    """Return training frames, each followed by two corrupted ones."""
    rng = np.random.default_rng(0)
    drawn = [draw_picture(79 * i + 1, *canvas, "train")[0] for i in range(PICTURES)]
    for i in range(CLIPS):
        clip = plan_clip(2 * i + 1, 15.0, aspect=canvas.width / canvas.height, split="train")
        drawn.append(clip.draw(float(rng.uniform(0, 15)), *canvas)[0])
    names = [name for name in CORRUPTIONS if name != "dropped_frames"]
    frames = []
    for i, frame in enumerate(drawn):
        frames.append(frame)
        for j in range(2):
            strength = STRENGTHS[int(rng.integers(len(STRENGTHS)))]
            changed = corruption(names[(2 * i + j) % len(names)], strength, i)(frame, 0.0)
            frames.append(frame if changed is None else changed)
    return frames


def main() -> None:
    """Fit, print, and write where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/demo.bundle"))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    loaded = open_model(str(options.model))
    canvas = model_canvas(loaded)
    frames = frames_of_training(canvas)
    with open_engine("auto", loaded, canvas) as engine:
        size = engine.max_batch
        parts: list[Outputs[NDArray[np.float32]]] = [
            engine.infer(np.stack(frames[start : start + size])) for start in range(0, len(frames), size)
        ]
    outputs = concatenate(parts)
    known = TrainingFeatures.fit(outputs, LIMIT)
    single = [known.distance(row[None]) for row in frame_features(outputs)]
    most = np.quantile(single, 0.99)
    print(f"{len(frames)} frames: distance of single ones {np.median(single):.2f}, 99 % below {most:.2f}")
    if options.write:
        manifest = check_bundle(options.model)
        card = json.loads((options.model / CARD).read_text(encoding="utf-8")) | {CARD_KEY: known.to_card()}
        write_whole(options.model / CARD, json.dumps(card, indent=2, ensure_ascii=False) + "\n")
        write_manifest(options.model, [Canvas.parse(text) for text in manifest["canvases"]], manifest["made_with"])
        print(f"{options.model / MANIFEST}: written, {known.fingerprint}")


if __name__ == "__main__":
    main()
