"""Plans on disk: named by everything they depend on, checked before they are loaded, built when none fits."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from engines.cuda_device import Gpu
from engines.errors import EngineUnavailableError
from engines.plain_graph import plain_graph
from engines.tensorrt_api import Flavour, bindings, targets
from engines.tensorrt_build import build_plan, profiles
from engines.tensorrt_half import graph_hash, half_graph
from engines.tensorrt_progress import OnPhase, log_phase
from hoiclip.cache import BuildCache
from hoiclip.hashes import file_sha256
from hoiclip.types import Canvas

if TYPE_CHECKING:
    from hoiclip.loaded import LoadedModel

logger = logging.getLogger(__name__)
Precision = Literal["fp16", "fp32"]
ANY_GPU = "any of that compute capability"
_REVISION = 1  # raise when the same facts give another plan
_PLAN, _RECORD = "model.plan", "plan.json"


@dataclass(frozen=True)
class Plan:
    """A plan that fits, and how it was made."""

    path: Path
    facts: dict[str, Any]
    record: dict[str, Any]  # sha256, bytes, seconds, built


def plan_for(
    flavour: Flavour,
    loaded: LoadedModel,
    canvas: Canvas,
    *,
    max_batch: int,
    precision: str,
    gpu: Gpu | None = None,
    compute_capabilities: Sequence[str] = (),
    cache_dir: Path | None = None,
    on_phase: OnPhase = log_phase,
) -> Plan:
    """Return the cached plan, building it when there is none for exactly these facts.

    Give the `gpu` that will run it, or `compute_capabilities` to build ahead of time with TensorRT-RTX, whose plans
    serve every GPU of a capability. Raises EngineUnavailableError for what cannot be built here.
    """
    if precision not in get_args(Precision):
        known = ", ".join(get_args(Precision))
        raise EngineUnavailableError(f"{flavour}: precision {precision!r} is not one of {known}")
    version = str(bindings(flavour).__version__)
    capabilities = _capabilities(flavour, gpu, compute_capabilities)
    graph = plain_graph(loaded, canvas, cache_dir)
    if precision == "fp16":
        graph = half_graph(graph, cache_dir)
    facts: dict[str, Any] = {
        "kind": flavour,
        "version": version,
        "graph": graph_hash(graph),
        "canvas": str(canvas),
        "precision": precision,
        "profile": [list(profile) for profile in profiles(max_batch)],
        "gpu": gpu.name if gpu and flavour == "tensorrt" else ANY_GPU,
        "compute_capability": list(capabilities),
        "revision": _REVISION,
    }
    cache = BuildCache(cache_dir)
    if (found := _find(cache, facts)) is not None:
        return found
    return _build(cache, facts, graph, flavour, max_batch, on_phase)


def _capabilities(flavour: Flavour, gpu: Gpu | None, wanted: Sequence[str]) -> tuple[str, ...]:
    if flavour == "tensorrt-rtx":
        return targets(bindings(flavour), wanted or ((gpu.compute_capability,) if gpu else ()))
    if gpu is None or wanted:
        raise EngineUnavailableError(
            "tensorrt: builds only for the GPU of this machine; use tensorrt-rtx to build ahead of time"
        )
    return (gpu.compute_capability,)


def _find(cache: BuildCache, facts: dict[str, Any]) -> Plan | None:
    """Return an intact plan with these facts, or one that serves further compute capabilities as well."""
    entries = [entry for entry in cache.entries() if entry.facts.get("kind") == facts["kind"]]
    for entry in entries:
        if not differences(entry.facts, facts):
            record = _intact(entry.path)
            if record is not None:
                return Plan(entry.path / _PLAN, entry.facts, record)
    related = [differences(entry.facts, facts) for entry in entries if entry.facts.get("canvas") == facts["canvas"]]
    if related:
        nearest = min(related, key=lambda reasons: len(reasons))
        logger.info(
            "%s: no cached plan fits; in the nearest one %s", facts["kind"], "; ".join(nearest) or "bytes differ"
        )
    return None


def differences(stored: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return why a plan cannot serve, one sentence part a fact; empty when it can."""
    reasons = []
    for key, value in wanted.items():
        other = stored.get(key)
        if key == "compute_capability" and wanted["gpu"] == ANY_GPU and set(value) <= set(other or ()):
            continue
        if other != value:
            reasons.append(f"{key.replace('_', ' ')} is {other}, wanted {value}")
    return reasons


def _intact(folder: Path) -> dict[str, Any] | None:
    """Return the record of the plan in `folder` unless its bytes have changed."""
    try:
        record: dict[str, Any] = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        if file_sha256(folder / _PLAN) == record["sha256"]:
            return record
    except (OSError, ValueError, KeyError) as error:
        logger.warning("%s: cannot be read (%s); the plan is built again", folder, error)
        return None
    logger.warning("%s: the plan is damaged (its hash differs); it is built again", folder)
    return None


def _build(
    cache: BuildCache, facts: dict[str, Any], graph: Path, flavour: Flavour, max_batch: int, on_phase: OnPhase
) -> Plan:
    ahead = flavour == "tensorrt-rtx"
    gpu = "".join(letter if letter.isalnum() else "-" for letter in facts["gpu"])
    # TensorRT-RTX times nothing while building: it compiles kernels when they first run and caches those
    timing = None if ahead else cache.root / "timing" / f"{flavour}-{facts['version']}-{gpu}"
    began = time.perf_counter()
    plan = build_plan(
        flavour,
        graph,
        max_batch=max_batch,
        compute_capabilities=facts["compute_capability"] if ahead else (),
        timing_cache=timing,
        on_phase=on_phase,
    )
    part = cache.begin(facts)
    (part / _PLAN).write_bytes(plan)
    record = {
        "sha256": file_sha256(part / _PLAN),
        "bytes": len(plan),
        "seconds": round(time.perf_counter() - began, 1),
        "built": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    (part / _RECORD).write_text(json.dumps(record, indent=2), encoding="utf-8")
    return Plan(cache.commit(facts, part) / _PLAN, facts, record)
