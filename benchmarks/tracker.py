"""Time one frame of the tracker by number of pairs, for small vocabularies and for HICO-DET's.

Run: python benchmarks/tracker.py.
"""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np

from stream.track.tracker import PairTracker

NUM_FRAMES, NUM_OBJECT_CLASSES = 1500, 80


def frames(num_pairs: int, num_interactions: int, rng: np.random.Generator) -> list[SimpleNamespace]:
    """Return people who walk about with two objects each, three likely interactions a pair, now and then missed."""
    num_humans = max(num_pairs // 2, 1)
    home = rng.uniform(0, 1800, (num_humans, 2))
    offset, labels = rng.uniform(-60, 60, (num_pairs, 2)), rng.integers(0, NUM_OBJECT_CLASSES, num_pairs)
    owner = np.arange(num_pairs) % num_humans
    likely = rng.integers(0, num_interactions, (num_pairs, 3))
    out = []
    for i in range(NUM_FRAMES):
        place = home + 80 * np.sin(i / 25 + np.arange(num_humans))[:, None]
        humans = np.concatenate([place, place + np.array([80, 200])], axis=1)[owner] + rng.normal(0, 2, (num_pairs, 4))
        things = np.concatenate([place[owner] + offset, place[owner] + offset + 50], axis=1)
        scores = rng.uniform(0, 0.05, (num_pairs, num_interactions)).astype(np.float32)
        np.put_along_axis(scores, likely, (0.5 + 0.4 * np.sin(i / 60 + likely)).astype(np.float32), axis=1)
        keep = rng.random(num_pairs) < 0.97
        out.append(
            SimpleNamespace(
                human_boxes_xyxy=humans[keep].astype(np.float32),
                object_boxes_xyxy=(things + rng.normal(0, 2, things.shape))[keep].astype(np.float32),
                object_labels=labels[keep],
                object_scores=np.ones(int(keep.sum()), np.float32),
                scores=scores[keep],
            )
        )
    return out


def main() -> None:
    """Print milliseconds a frame, 10th percentile (what an idle machine takes), median and 99th percentile."""
    for num_interactions, num_pairs in ((40, 1), (40, 5), (40, 10), (40, 20), (40, 40), (600, 20)):
        names = [str(k) for k in range(num_interactions)]
        tracker = PairTracker(names, object_names=[str(o) for o in range(NUM_OBJECT_CLASSES)])
        times, events = [], 0
        for i, detections in enumerate(frames(num_pairs, num_interactions, np.random.default_rng(0))):
            started = time.perf_counter()
            events += len(tracker.update(i / 5, detections))
            times.append(1e3 * (time.perf_counter() - started))
        best, median, worst = np.percentile(times, [10, 50, 99])
        times_ms = f"p10 {best:.3f} ms, median {median:.3f} ms, p99 {worst:.3f} ms"
        print(f"{num_pairs} pairs, {num_interactions} interactions: {times_ms}, {events} events")


if __name__ == "__main__":
    main()
