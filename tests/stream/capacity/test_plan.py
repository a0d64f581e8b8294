from __future__ import annotations

from dataclasses import replace

import pytest

from stream.capacity.plan import GATE_MS, Costs, cameras_carried

COSTS = Costs(
    cores=4, decode_ms=2.0, scale_ms=1.0, engine_ms=40.0, engine_per_s=80.0, head_ms=0.6 - GATE_MS / 2, camera_ms=14.0
)


def test_the_processor_is_shared_by_everything_a_camera_costs() -> None:
    looks = 5 * (COSTS.scale_ms + COSTS.head_ms + GATE_MS)
    expected = 4000 / (25 * 2.0 + looks + 5 * 40.0 + 14.0)
    assert cameras_carried(COSTS, camera_fps=25, looks_per_s=5) == pytest.approx(expected)


def test_still_pictures_cost_no_engine() -> None:
    busy = cameras_carried(COSTS, camera_fps=25, looks_per_s=5)
    quiet = cameras_carried(COSTS, camera_fps=25, looks_per_s=5, still_share=0.9)
    empty = cameras_carried(COSTS, camera_fps=25, looks_per_s=5, still_share=1.0)
    assert busy < quiet < empty
    assert 4000 / empty == pytest.approx(4000 / busy - 5 * 40.0)


def test_an_engine_beside_the_processor_is_a_limit_of_its_own() -> None:
    gpu = replace(COSTS, engine_ms=0.1, engine_per_s=50.0)
    assert cameras_carried(gpu, camera_fps=25, looks_per_s=5) == pytest.approx(10.0)


def test_the_tracking_thread_is_a_limit_of_its_own() -> None:
    many = replace(COSTS, cores=500, engine_ms=0.1, engine_per_s=1e9)
    expected = 1000 / (5 * (COSTS.head_ms + GATE_MS))
    assert cameras_carried(many, camera_fps=25, looks_per_s=5) == pytest.approx(expected)
