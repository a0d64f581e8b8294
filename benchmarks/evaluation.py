"""Time HICO-DET's measures at full size: 9,658 images with 100 pairs each. Run: python benchmarks/evaluation.py."""

from __future__ import annotations

import time

import numpy as np

from hoiclip.evaluation.hico import InteractionClasses, Pairs, evaluate_hico

NUM_IMAGES, NUM_PAIRS, NUM_TRUTH, NUM_CLASSES = 9658, 100, 33_405, 600


def main() -> None:
    """Print the seconds from tables to means; half the detections are near ground truth, the worst case."""
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 300, (2, NUM_TRUTH, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(20, 300, (2, NUM_TRUTH, 2))], axis=2)
    truth = Pairs.build(rng.integers(0, NUM_IMAGES, NUM_TRUTH), rng.integers(0, NUM_CLASSES, NUM_TRUTH), *boxes)
    n = NUM_IMAGES * NUM_PAIRS
    source = rng.integers(0, NUM_TRUTH, n)
    is_copy = rng.random(n) < 0.5
    image = np.where(is_copy, truth.image[source], rng.integers(0, NUM_IMAGES, n))
    interaction = np.where(is_copy, truth.interaction[source], rng.integers(0, NUM_CLASSES, n))
    found_boxes = boxes[:, source] + rng.normal(0, 10, (2, n, 4))
    found = Pairs.build(image, interaction, found_boxes[0], found_boxes[1], rng.random(n))
    classes = InteractionClasses(tuple(map(str, range(NUM_CLASSES))), rng.integers(0, 80, NUM_CLASSES))
    started = time.perf_counter()
    result = evaluate_hico(truth, found, classes)
    print(f"{n:,} pairs in {time.perf_counter() - started:.2f} s, mAP {result.mean():.4f}")


if __name__ == "__main__":
    main()
