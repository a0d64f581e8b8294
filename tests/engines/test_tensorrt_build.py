"""TensorRT-RTX reads and compiles the exported graph on a machine without a GPU."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from engines.errors import EngineError, EngineUnavailableError
from engines.loading import load_model
from engines.plain_graph import plain_graph
from engines.tensorrt_api import Messages, bindings
from engines.tensorrt_build import Profile, _read_timing, build_plan, choose_profile, profiles
from engines.tensorrt_half import half_graph
from engines.tensorrt_progress import BuildPhase
from hoiclip.shipped import shipped_model
from hoiclip.types import Canvas

pytestmark = pytest.mark.xdist_group("engines")


@pytest.fixture(scope="module")
def graph() -> Path:
    if importlib.util.find_spec("tensorrt_rtx_bindings") is None and not os.environ.get("CI"):
        pytest.skip("tensorrt-rtx is not installed")
    return plain_graph(load_model(shipped_model()), Canvas(256, 448))


def test_a_plan_is_built_without_a_gpu_and_tells_its_phases(graph: Path) -> None:
    phases: list[BuildPhase] = []
    half = half_graph(graph)
    plan = build_plan(
        "tensorrt-rtx",
        half,
        max_batch=4,
        compute_capabilities=("8.9",),
        on_phase=lambda phase: phases.append(phase) or True,  # type: ignore[func-returns-value]
    )
    weights = half.with_name("graph.onnx.data").stat().st_size
    assert 0.9 * weights < len(plan) < 2 * weights + 2**25
    ended = [phase.name for phase in phases if phase.over and phase.depth == 0]
    assert ended and ended[0] == phases[0].name, "the builder reported no phase"


def test_weights_that_a_bundle_stores_in_half_reach_tensorrt_as_single_constants(graph: Path) -> None:
    stored, plain = (
        onnx.load(str(path), load_external_data=False).graph
        for path in (load_model(shipped_model()).graph(Canvas(256, 448)), graph)
    )
    half = onnx.TensorProto.FLOAT16
    assert sum(tensor.data_type == half for tensor in stored.initializer) > 50, "the bundle stores none: no test"
    assert not any(tensor.data_type == half for tensor in plain.initializer)
    constants = {tensor.name for tensor in plain.initializer}
    assert all(node.input[1] in constants for node in plain.node if node.op_type == "Conv")
    plan = build_plan("tensorrt-rtx", graph, max_batch=1, compute_capabilities=("8.9",))
    assert len(plan) > 0.9 * graph.with_name("graph.onnx.data").stat().st_size


def test_a_build_that_is_given_up_raises(graph: Path) -> None:
    with pytest.raises(EngineError, match=r"the build of .* failed"):
        build_plan("tensorrt-rtx", graph, max_batch=1, compute_capabilities=("8.9",), on_phase=lambda phase: False)


def test_ctrl_c_ends_a_build(graph: Path) -> None:
    def interrupt(phase: BuildPhase) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_plan("tensorrt-rtx", graph, max_batch=1, compute_capabilities=("8.9",), on_phase=interrupt)


def test_an_unknown_target_is_refused_with_those_known(graph: Path) -> None:
    with pytest.raises(EngineUnavailableError, match=r"SM90; it knows .*8\.9"):
        build_plan("tensorrt-rtx", graph, max_batch=1, compute_capabilities=("SM90",))


def test_a_graph_that_cannot_be_read_gives_the_parsers_reason(graph: Path, tmp_path: Path) -> None:
    broken = tmp_path / "graph.onnx"
    broken.write_bytes(graph.read_bytes()[:1000])
    with pytest.raises(EngineError, match=r"tensorrt-rtx: cannot read .*graph\.onnx: .*\w+"):
        build_plan("tensorrt-rtx", broken, max_batch=1, compute_capabilities=("8.9",))


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="tensorrt is installed")
def test_missing_libraries_name_the_install_command() -> None:
    with pytest.raises(EngineUnavailableError, match="pip install"):
        bindings("tensorrt")


@pytest.mark.parametrize("max_batch", [1, 2, 4, 5, 8, 32, 64])
def test_every_batch_has_one_profile_tuned_for_its_largest(max_batch: int) -> None:
    known = profiles(max_batch)
    assert [batch for profile in known for batch in range(profile.smallest, profile.largest + 1)] == [
        *range(1, max_batch + 1)
    ]
    for batch in range(1, max_batch + 1):
        chosen = known[choose_profile(batch, known)]
        assert chosen.smallest <= batch <= chosen.largest


def test_a_batch_that_no_profile_serves_is_refused() -> None:
    assert profiles(8) == (Profile(1, 1), Profile(2, 4), Profile(5, 8))
    with pytest.raises(EngineError, match="no profile for batch 9"):
        choose_profile(9, profiles(8))


class Timings:
    """A builder configuration that accepts a timing cache of one content only."""

    def __init__(self, accepted: bytes) -> None:
        self.accepted, self.attached = accepted, b"none"

    def create_timing_cache(self, content: bytes) -> bytes:
        return content

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch, "timings of another GPU would mislead"
        if cache not in (b"", self.accepted):
            return False
        self.attached = cache
        return True


def test_a_timing_cache_of_another_machine_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "timing"
    path.write_bytes(b"ours")
    config: Any = Timings(b"ours")
    assert _read_timing(config, path) == config.attached == b"ours"
    path.write_bytes(b"theirs")
    assert _read_timing(config, path) == config.attached == b""
    assert _read_timing(config, None) is None


def test_errors_are_kept_for_the_exception() -> None:
    severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2, INFO=3, VERBOSE=4)
    base = type("ILogger", (), {"Severity": severity, "__init__": lambda self: None})
    messages = Messages(SimpleNamespace(ILogger=base), "tensorrt")
    assert messages.failure("no reason") == "no reason"
    messages.handler.log(2, "slow")
    messages.handler.log(1, "layer 3:\n unsupported")
    assert messages.failure("no reason") == "layer 3: unsupported"
