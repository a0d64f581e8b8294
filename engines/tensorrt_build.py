"""Build plans with TensorRT or TensorRT-RTX, whose Python bindings offer the same names."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from engines.errors import EngineError, EngineUnavailableError

logger = logging.getLogger(__name__)
Flavour = Literal["tensorrt", "tensorrt-rtx"]
_MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx_bindings"}
_INSTALL = {
    "tensorrt": "pip install 'hoistream[tensorrt]' --extra-index-url https://pypi.nvidia.com",
    "tensorrt-rtx": "pip install 'hoistream[tensorrt-rtx]'",
}


def bindings(flavour: Flavour) -> Any:
    """Return the flavour's module. Raises EngineUnavailableError with the install command."""
    import importlib

    try:
        return importlib.import_module(_MODULES[flavour])
    except (ImportError, OSError) as error:
        raise EngineUnavailableError(f"{flavour}: its libraries do not load ({error}); {_INSTALL[flavour]}") from error


def build_plan(
    flavour: Flavour,
    graph: Path,
    *,
    max_batch: int,
    compute_capabilities: Sequence[str] = (),
    workspace_gb: float = 2.0,
) -> bytes:
    """Return the serialised plan of an ONNX graph with a strongly typed network, for batches 1 to `max_batch`.

    With `compute_capabilities`, such as ``("SM89",)``, TensorRT-RTX builds ahead of time and needs no GPU. Raises
    InputError for an unknown one, EngineError with the parser's messages.
    """
    trt = bindings(flavour)
    log = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(graph)):
        errors = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise EngineError(f"{flavour}: cannot read {graph}: {errors}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(workspace_gb * 2**30))
    profile = builder.create_optimization_profile()
    frames = network.get_input(0)
    size = tuple(frames.shape)[1:]
    profile.set_shape(frames.name, (1, *size), (max_batch, *size), (max_batch, *size))
    config.add_optimization_profile(profile)
    if compute_capabilities:
        _target(trt, flavour, config, compute_capabilities)
    logger.info("%s: building %s", flavour, graph)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"{flavour}: the build of {graph} failed; its messages are above")
    return bytes(plan)


def _target(trt: Any, flavour: Flavour, config: Any, names: Sequence[str]) -> None:
    if flavour != "tensorrt-rtx":
        raise EngineUnavailableError(
            "tensorrt: builds only for the GPU of this machine; use tensorrt-rtx ahead of time"
        )
    known = [name for name in dir(trt.ComputeCapability) if name.startswith("SM")]
    if wrong := [name for name in names if name not in known]:
        raise EngineUnavailableError(f"tensorrt-rtx: no target {wrong[0]!r}; choose from {', '.join(known)}")
    config.num_compute_capabilities = len(names)
    for index, name in enumerate(names):
        config.set_compute_capability(getattr(trt.ComputeCapability, name), index)
