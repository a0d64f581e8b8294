"""Time the measures at full size: HICO-DET's 9,658 images with 100 pairs each, and events of a busy day.

Run: python benchmarks/evaluation.py.
"""

from __future__ import annotations

import time

import numpy as np

from hoiclip.evaluation.event_measures import measure
from hoiclip.evaluation.event_types import PredictedEvent, Sighting, TrueInteraction, TrueVideo
from hoiclip.evaluation.events import compare
from hoiclip.evaluation.hico import InteractionClasses, Pairs, evaluate_hico

NUM_IMAGES, NUM_PAIRS, NUM_TRUTH, NUM_CLASSES = 9658, 100, 33_405, 600
NUM_HOURS, NUM_INTERACTIONS, NUM_NAMES = 8, 2000, 30


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

    video, events = _busy_day(rng)
    started = time.perf_counter()
    f1 = measure(compare({"day": video}, {"day": events}))["f1"]
    print(
        f"{NUM_INTERACTIONS:,} interactions and {len(events):,} events of {NUM_HOURS} h in "
        f"{time.perf_counter() - started:.2f} s, F1 {f1:.3f}"
    )


def _busy_day(rng: np.random.Generator) -> tuple[TrueVideo, list[PredictedEvent]]:
    """Return one video with a person an interaction, and events about nine of ten of them, one in ten false."""
    times = np.arange(0.0, NUM_HOURS * 3600.0, 0.2)
    true, events = [], []
    humans: list[dict[int, tuple[float, float, float, float]]] = [{} for _ in times]
    objects: list[dict[int, tuple[float, float, float, float]]] = [{} for _ in times]
    for number in range(NUM_INTERACTIONS):
        start, length, x = rng.uniform(0, times[-1] - 60), rng.uniform(2, 40), rng.uniform(0, 1500)
        name = f"verb thing{number % NUM_NAMES}"
        human, thing = (x, 100.0, x + 80, 300.0), (x + 50, 180.0, x + 90, 220.0)
        true.append(TrueInteraction(name, number, start, start + length, number, f"thing{number % NUM_NAMES}"))
        for frame in range(int(start / 0.2), int((start + length) / 0.2)):
            humans[frame][number], objects[frame][number] = human, thing
        if rng.random() < 0.9:
            said = name if rng.random() < 0.9 else "verb thing0"
            lines = tuple(Sighting(t, human, thing, 0.8) for t in np.arange(start + 0.4, start + length, 2.0))
            events.append(
                PredictedEvent(said, number, start, start + length, start + 0.4, start + length + 2, lines, number,
                               "thing", float(rng.uniform(0.5, 1.0)))
            )  # fmt: skip
    return TrueVideo(tuple(true), times, humans, objects, {}, float(times[-1])), events


if __name__ == "__main__":
    main()
