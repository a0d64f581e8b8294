"""From what steps cost to how many cameras fit: arithmetic alone, so that a planner can do it for other cameras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SPARE: Final = 0.2  # of the machine, kept for what measurements do not show
STILL_SHARE: Final = 0.85  # of the looks at a quiet camera that the gate saves; docs/performance.md
GATE_MS: Final = 0.4  # processor time a look: copying it out of the ring and comparing it


@dataclass(frozen=True)
class Costs:
    """Of one machine, model and kind of camera. Processor times are over all cores."""

    cores: int
    decode_ms: float  # a frame of the camera
    scale_ms: float  # a frame that is looked at
    engine_ms: float  # processor time a frame that the engine sees
    engine_per_s: float  # frames a second, at most
    head_ms: float  # a frame that is looked at, still or not
    camera_ms: float = 12.0  # a camera and second: reading packets, messages between processes


def cameras_carried(costs: Costs, *, camera_fps: float, looks_per_s: float, still_share: float = 0.0) -> float:
    """Return how many cameras take all of the machine: the processor, or the engine, whichever is full first.

    The tracker works in one thread: it is a third limit.
    """
    seen = looks_per_s * (1 - still_share)
    processor_ms = (
        camera_fps * costs.decode_ms
        + looks_per_s * (costs.scale_ms + costs.head_ms + GATE_MS)
        + seen * costs.engine_ms
        + costs.camera_ms
    )
    return min(
        1000 * costs.cores / processor_ms,
        costs.engine_per_s / seen if seen else float("inf"),
        1000 / (looks_per_s * (costs.head_ms + GATE_MS)),
    )
