"""The published layout at full size compiles ahead of time, in both precisions, on a machine without a GPU.

Minutes the first time. Graphs and plans (2 GB) then stay in the user's cache, or in ``HOISTREAM_TEST_CACHE``; a change
of weights, graph, TensorRT or builder settings builds them again.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from platformdirs import user_cache_path

from engines.plain_graph import plain_graph
from engines.tensorrt_plan import plan_for
from hoiclip.hashes import file_sha256
from hoiclip.loaded import LoadedModel
from hoiclip.types import Canvas

pytestmark = [pytest.mark.xdist_group("full"), pytest.mark.slow, pytest.mark.timeout(900)]
CANVAS = Canvas(800, 1333)
CACHE = Path(os.environ.get("HOISTREAM_TEST_CACHE") or user_cache_path("hoistream") / "tests")
LIMIT_S = 240.0


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx_bindings") is None and not os.environ.get("CI"),
    reason="tensorrt-rtx is not installed",
)
@pytest.mark.parametrize(("precision", "bytes_a_weight"), [("fp16", 2), ("fp32", 4)])
def test_the_full_size_graph_is_compiled_ahead_of_time(
    precision: str, bytes_a_weight: int, full_size: LoadedModel, record_property: Callable[[str, object], None]
) -> None:
    plan = plan_for(
        "tensorrt-rtx",
        full_size,
        CANVAS,
        max_batch=8,
        precision=precision,
        compute_capabilities=["8.9"],
        cache_dir=CACHE,
    )
    for name, value in plan.record.items():
        record_property(name, value)
    assert plan.facts["compute_capability"] == ["8.9"] and plan.facts["profile"][-1] == [5, 8]
    assert file_sha256(plan.path) == plan.record["sha256"]
    weights = plain_graph(full_size, CANVAS, CACHE).with_name("graph.onnx.data").stat().st_size * bytes_a_weight / 4
    assert 0.95 < plan.record["bytes"] / weights < 1.5  # each further profile repeats some weights
    assert plan.record["seconds"] < LIMIT_S
