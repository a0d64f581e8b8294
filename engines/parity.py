"""How far an engine is from eager torch in single precision, on the same frames."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoiclip.classifier import TextClassifier
from hoiclip.postprocess import rank, score
from hoiclip.types import Engine, Outputs, concatenate

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class OutputError:
    """Absolute errors of one output."""

    maximum: float
    p99: float


@dataclass(frozen=True)
class Parity:
    """The comparison of an engine with the reference."""

    engine: str
    frames: int
    errors: dict[str, OutputError]  # by output
    top_agreement: float  # share of the reference's best 100 (query, interaction) that the engine ranks there as well
    score_drift: float  # largest change of an interaction score, after the sigmoid

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def compare(
    reference: Engine, engine: Engine, frames: NDArray[np.uint8], classifier: TextClassifier, top: int = 100
) -> Parity:
    """Run both engines on frames uint8 [N, H, W, 3], one by one, and compare."""
    expected, actual = (concatenate([e.infer(f[None]) for f in frames]) for e in (reference, engine))
    errors = {}
    for name, a, b in zip(Outputs._fields, expected, actual, strict=True):
        difference = np.abs(a.astype(np.float64) - b.astype(np.float64))
        errors[name] = OutputError(float(difference.max()), float(np.percentile(difference, 99)))
    scores = [score(outputs, classifier) for outputs in (expected, actual)]
    drift = float(np.abs(scores[0].interaction_scores - scores[1].interaction_scores).max(initial=0.0))
    size = (reference.canvas.height, reference.canvas.width)
    same = total = 0
    for index in range(len(frames)):
        best = [rank(s, index, size, classifier, top=top, nms=False) for s in scores]
        pairs = [set(zip(b.queries.tolist(), b.interactions.tolist(), strict=True)) for b in best]
        same, total = same + len(pairs[0] & pairs[1]), total + len(pairs[0])
    return Parity(engine.name, len(frames), errors, same / max(total, 1), drift)
