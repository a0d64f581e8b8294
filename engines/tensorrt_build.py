"""Build a plan from an ONNX graph with TensorRT or TensorRT-RTX."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from engines.errors import EngineError
from engines.tensorrt_api import Flavour, Messages, bindings, targets
from engines.tensorrt_progress import BuildMonitor, OnPhase, log_phase
from hoiclip.files import write_whole

logger = logging.getLogger(__name__)
_BOUNDS = (1, 4, 16, 64)  # the largest batch of each profile


class Profile(NamedTuple):
    """The batches one set of kernels serves; it is tuned for the largest."""

    smallest: int
    largest: int


def profiles(max_batch: int) -> tuple[Profile, ...]:
    """Return profiles that cover batches 1 to `max_batch`: few, since each is tuned on its own."""
    largest = [
        min(bound, max_batch) for index, bound in enumerate(_BOUNDS) if index == 0 or _BOUNDS[index - 1] < max_batch
    ]
    return tuple(Profile(1 if index == 0 else largest[index - 1] + 1, top) for index, top in enumerate(largest))


def choose_profile(batch: int, known: Sequence[Profile]) -> int:
    """Return the index of the first profile that serves `batch`. Raises EngineError when none does."""
    for index, profile in enumerate(known):
        if profile.smallest <= batch <= profile.largest:
            return index
    raise EngineError(f"the plan has no profile for batch {batch}; it has {[tuple(p) for p in known]}; build it again")


def build_plan(
    flavour: Flavour,
    graph: Path,
    *,
    max_batch: int,
    compute_capabilities: Sequence[str] = (),
    timing_cache: Path | None = None,
    workspace_gb: float = 4.0,
    on_phase: OnPhase = log_phase,
) -> bytes:
    """Return the serialised plan of an ONNX graph with a strongly typed network, for batches 1 to `max_batch`.

    With `compute_capabilities`, such as ``("8.9",)``, TensorRT-RTX builds ahead of time and needs no GPU; TensorRT
    cannot. The file `timing_cache` is read, if this TensorRT and GPU accept it, and written. `on_phase` may end the
    build. Raises EngineUnavailableError for an unknown target, EngineError with TensorRT's messages, and what
    `on_phase` raised.
    """
    trt = bindings(flavour)
    messages = Messages(trt, flavour)
    builder = trt.Builder(messages.handler)
    network = builder.create_network(_strongly_typed(trt))
    parser = trt.OnnxParser(network, messages.handler)
    if not parser.parse_from_file(str(graph)):
        errors = "; ".join(str(parser.get_error(i).desc()) for i in range(parser.num_errors))
        raise EngineError(f"{flavour}: cannot read {graph}: {messages.failure(errors)}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(workspace_gb * 2**30))
    config.clear_flag(trt.BuilderFlag.TF32)  # on by default; it rounds fp32 to 10 bits
    _add_profiles(builder, network, config, max_batch)
    if compute_capabilities:
        _target(trt, config, compute_capabilities)
    cache = _read_timing(config, timing_cache)
    logger.info("%s: building %s for batches 1 to %d", flavour, graph, max_batch)
    monitor = BuildMonitor(on_phase)
    adapter = monitor.adapter(trt)  # TensorRT does not keep it alive
    config.progress_monitor = adapter
    plan = builder.build_serialized_network(network, config)
    monitor.raise_error()
    if plan is None:
        raise EngineError(f"{flavour}: the build of {graph} failed: {messages.failure('it was cancelled')}")
    if cache is not None and timing_cache is not None:
        write_whole(timing_cache, bytes(cache.serialize()), shared=True)
    return bytes(plan)


def _strongly_typed(trt: Any) -> int:
    """Return the flag that TensorRT 10 needs; 11 knows nothing else and may drop the name."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _add_profiles(builder: Any, network: Any, config: Any, max_batch: int) -> None:
    frames = network.get_input(0)
    size = tuple(frames.shape)[1:]
    for smallest, largest in profiles(max_batch):
        profile = builder.create_optimization_profile()
        profile.set_shape(frames.name, (smallest, *size), (largest, *size), (largest, *size))
        config.add_optimization_profile(profile)


def _target(trt: Any, config: Any, wanted: Sequence[str]) -> None:
    numbers = targets(trt, wanted)
    config.num_compute_capabilities = len(numbers)
    for index, number in enumerate(numbers):
        config.set_compute_capability(getattr(trt.ComputeCapability, "SM" + number.replace(".", "")), index)


def _read_timing(config: Any, path: Path | None) -> Any:
    """Return the timing cache now attached to `config`, or None when none is kept."""
    if path is None:
        return None
    cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    if cache is None or not config.set_timing_cache(cache, False):
        logger.info("timing cache %s: of another TensorRT or GPU, begun again", path)
        cache = config.create_timing_cache(b"")
        if not config.set_timing_cache(cache, False):
            return None  # no cache at all: the build measures everything
    return cache
