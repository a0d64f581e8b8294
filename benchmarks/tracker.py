"""Time one frame of the tracker by number of pairs, for small vocabularies and for HICO-DET's, and of the head.

Run: python benchmarks/tracker.py.
"""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np

from hoiclip.classifier import TextClassifier
from hoiclip.postprocess import score, to_pairs
from hoiclip.types import Outputs
from stream.track.tracker import PairTracker

NUM_FRAMES, NUM_OBJECT_CLASSES = 1500, 80
NUM_QUERIES, EMBED = 64, 512  # of the published model
SIZE_HW = (1080, 1920)


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
        objects = np.concatenate([place[owner] + offset, place[owner] + offset + 50], axis=1)
        scores = rng.uniform(0, 0.05, (num_pairs, num_interactions)).astype(np.float32)
        np.put_along_axis(scores, likely, (0.5 + 0.4 * np.sin(i / 60 + likely)).astype(np.float32), axis=1)
        keep = rng.random(num_pairs) < 0.97
        out.append(
            SimpleNamespace(
                human_boxes_xyxy=humans[keep].astype(np.float32),
                object_boxes_xyxy=(objects + rng.normal(0, 2, objects.shape))[keep].astype(np.float32),
                object_labels=labels[keep],
                object_scores=np.ones(int(keep.sum()), np.float32),
                scores=scores[keep],
            )
        )
    return out


def head_times(num_pairs: int, num_interactions: int) -> tuple[list[float], int]:
    """Return the milliseconds from a frame's embeddings to its pairs, and how many of the `num_pairs` there were."""
    rng = np.random.default_rng(0)

    def unit(*shape: int) -> np.ndarray:
        x = rng.normal(size=shape).astype(np.float32)
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    words = tuple(str(k) for k in range(num_interactions))
    objects = np.arange(num_interactions) % NUM_OBJECT_CLASSES
    text, verbs, no = unit(num_interactions, EMBED), unit(num_interactions, EMBED), np.zeros(num_interactions, np.bool_)
    bias, names = np.zeros(num_interactions, np.float32), tuple(str(o) for o in range(NUM_OBJECT_CLASSES))
    classifier = TextClassifier(
        words, words, words, words, objects, text, bias, verbs, 0.5, 14.0, no, text, names, "bench"
    )
    logits = np.full((1, NUM_QUERIES, NUM_OBJECT_CLASSES + 1), -6.0, np.float32)
    logits[0, np.arange(num_pairs), np.arange(num_pairs)] = 6.0
    boxes = rng.uniform(0.1, 0.9, (2, 1, NUM_QUERIES, 4)).astype(np.float32) * np.float32([1, 1, 0.2, 0.3])
    embeddings = unit(2, 1, NUM_QUERIES, EMBED)
    outputs = Outputs(boxes[0], boxes[1], logits, embeddings[0], embeddings[1], unit(1, EMBED))
    times = []
    for _ in range(NUM_FRAMES):
        started = time.perf_counter()
        pairs = to_pairs(score(outputs, classifier), 0, SIZE_HW, classifier, min_score=0.2)
        times.append(1e3 * (time.perf_counter() - started))
    return times, len(pairs.scores)


def said(times: list[float]) -> str:
    """Return the 10th percentile (what an idle machine takes), the median and the 99th percentile."""
    best, median, worst = np.percentile(times, [10, 50, 99])
    return f"p10 {best:.3f} ms, median {median:.3f} ms, p99 {worst:.3f} ms"


def main() -> None:
    """Print milliseconds a frame of the tracker, then of the head."""
    for num_interactions, num_pairs in ((40, 1), (40, 5), (40, 10), (40, 20), (40, 40), (600, 20)):
        names = [str(k) for k in range(num_interactions)]
        tracker = PairTracker(names, object_names=[str(o) for o in range(NUM_OBJECT_CLASSES)])
        times, events = [], 0
        for i, detections in enumerate(frames(num_pairs, num_interactions, np.random.default_rng(0))):
            started = time.perf_counter()
            events += len(tracker.update(i / 5, detections))
            times.append(1e3 * (time.perf_counter() - started))
        print(f"tracker, {num_pairs} pairs, {num_interactions} interactions: {said(times)}, {events} events")
    times, num_found = head_times(20, 40)
    print(f"head, {num_found} pairs of {NUM_QUERIES} queries, 40 interactions: {said(times)}")


if __name__ == "__main__":
    main()
