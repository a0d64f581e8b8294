"""Compiled OpenVINO models in the cache, so that the next start neither reads the graph nor optimises it."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engines.openvino_import import import_openvino
from hoiclip.cache import BuildCache

logger = logging.getLogger(__name__)
HINTS = {"fp32": "f32", "bf16": "bf16"}
_REVISION = 1  # raise when the same facts give another model


class Step(NamedTuple):
    """A part of the graph that is compiled as one model, with its own precision."""

    inputs: tuple[str, ...]  # names of values
    outputs: tuple[str, ...]
    precision: str  # of activations: fp32 or bf16
    model: Callable[[], Any]  # reads it; only called when it is not in the cache


class Compiled(NamedTuple):
    """A compiled model, and the memory that it may read for as long as it lives."""

    model: Any
    memory: Any


def compiled(
    steps: Sequence[Step], device: str, options: dict[str, Any], facts: dict[str, Any], cache_dir: Path | None
) -> list[Compiled]:
    """Return the compiled model of each step, from the cache if one was made of exactly these facts by this machine.

    A cache that cannot be written costs the next start some time, and a warning. Raises RuntimeError as OpenVINO does.
    """
    ov = import_openvino()
    core, cache = ov.Core(), BuildCache(cache_dir)
    facts = {
        "kind": "openvino",
        **facts,
        "openvino": ov.get_version(),
        "device": core.get_property(device, "FULL_DEVICE_NAME"),
        "capabilities": core.get_property(device, "OPTIMIZATION_CAPABILITIES"),
        "options": options,
        "revision": _REVISION,
    }
    settings = [{**options, "INFERENCE_PRECISION_HINT": HINTS[step.precision]} for step in steps]
    folder = cache.find(facts)
    if folder is not None:
        try:
            blobs = [_mapped(folder / f"{index}.blob") for index in range(len(steps))]
            return [
                Compiled(core.import_model(blob, device, chosen), blob)
                for blob, chosen in zip(blobs, settings, strict=True)
            ]
        except (OSError, ValueError, RuntimeError) as error:
            logger.warning("%s: cannot be used (%s); it is compiled again", folder, " ".join(str(error).split())[:200])
    models = [core.compile_model(step.model(), device, chosen) for step, chosen in zip(steps, settings, strict=True)]
    try:
        part = cache.begin(facts)
        for index, model in enumerate(models):
            content = io.BytesIO()
            model.export_model(content)
            (part / f"{index}.blob").write_bytes(content.getbuffer())
        cache.commit(facts, part)
    except OSError as error:
        logger.warning("%s cannot be written (%s): every start compiles anew; set HOISTREAM_CACHE", cache.root, error)
    return [Compiled(model, None) for model in models]


def _mapped(path: Path) -> Any:
    """Return a file as an OpenVINO tensor without reading it; changes would stay in memory."""
    return import_openvino().Tensor(np.memmap(path, np.uint8, "c"), shared_memory=True)
