"""Time classifiers from the cache for 600 interactions. Run: python benchmarks/classifier_cache.py."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hoiclip.classifier import Floats, TrainedHeads, build_classifier
from hoiclip.vocabulary import Wanted, all_of, load_builtin

EMBED, RUNS, LIMIT_MS = 512, 20, 20.0


def heads() -> TrainedHeads:
    """Return random heads of HICO-DET's size."""
    rng = np.random.default_rng(0)
    text, verbs = (rng.normal(size=(count, EMBED)).astype(np.float32) for count in (600, 117))
    mapping = np.zeros((117, 600), np.float32)
    mapping[rng.integers(0, 117, 600), np.arange(600)] = 1
    return TrainedHeads(text, np.zeros(600, np.float32), verbs, mapping, 14.0, 0.5, text)


def tower(texts: Sequence[str]) -> Floats:
    """Stand for the text tower on the first, cold run."""
    return np.random.default_rng(1).normal(size=(len(texts), EMBED)).astype(np.float32)


def no_tower(texts: Sequence[str]) -> Floats:
    """Fail: a cache hit must not get here."""
    raise AssertionError(f"the text tower was asked for {len(texts)} texts on a cache hit")


def main() -> None:
    """Print the median and the slowest time of each kind, and exit 1 above the limit."""
    hico = load_builtin("hico")
    free = [Wanted(f"{i.prompt} again", None, f"{i.prompt} again", i.verb, i.object) for i in hico.interactions]
    slow = False
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in (("known", all_of(hico)), ("free text", free)):
            settings = {"model_fingerprint": "bench", "cache_dir": Path(folder)}
            build_classifier(heads(), hico, rows, encode=tower, **settings)  # type: ignore[arg-type]
            times = []
            for _ in range(RUNS):
                classifiers = heads()  # anew: nothing may be left of the run before
                start = time.perf_counter()
                build_classifier(classifiers, hico, rows, encode=no_tower, **settings)  # type: ignore[arg-type]
                times.append(1e3 * (time.perf_counter() - start))
            median = statistics.median(times)
            slow |= median > LIMIT_MS
            print(
                f"classifier cache hit, 600 {name} rows: {median:.1f} ms (slowest {max(times):.1f}, limit {LIMIT_MS:g})"
            )
    raise SystemExit(1 if slow else 0)


if __name__ == "__main__":
    main()
