"""An int8 backbone for OpenVINO, calibrated on frames that look like what the cameras will show."""

from __future__ import annotations

import logging
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineUnavailableError
from engines.openvino_import import import_openvino
from engines.plain_graph import plain_graph
from hoiclip.cache import BuildCache
from hoiclip.types import Canvas

if TYPE_CHECKING:
    from hoiclip.loaded import LoadedModel


def calibrated(loaded: LoadedModel, canvas: Canvas, cache_dir: Path | None = None) -> Path:
    """Return the int8 backbone made by `calibrate`. Raises EngineUnavailableError with the command that makes it."""
    if found := BuildCache(cache_dir).find(_facts(loaded, canvas)):
        return found / "backbone.xml"
    raise EngineUnavailableError(
        f"openvino int8: the backbone is not calibrated for canvas {canvas}; "
        f"run: hoistream engine build openvino --precision int8 --canvas {canvas} --video FOOTAGE.mp4"
    )


def calibrate(loaded: LoadedModel, canvas: Canvas, frames: NDArray[np.uint8], cache_dir: Path | None = None) -> Path:
    """Quantise the backbone's weights and activations on frames uint8 [N, H, W, 3]; return the OpenVINO file.

    A later calibration replaces an earlier one. Raises EngineUnavailableError without OpenVINO or NNCF.
    """
    ov = import_openvino()  # before nncf, which speaks to the same telemetry
    try:
        import nncf
    except ImportError as error:
        raise EngineUnavailableError("openvino int8: nncf is missing; pip install 'hoistream[torch]'") from error
    from engines.openvino_parts import GROUPS, part

    logging.getLogger("nncf").setLevel(logging.ERROR)
    backbone = part(plain_graph(loaded, canvas, cache_dir), canvas, *GROUPS["backbone"])
    data: Any = nncf.Dataset([frame[None] for frame in frames])
    # asymmetric activations: those of the first convolution are not rectified
    quantised = nncf.quantize(backbone, data, subset_size=len(frames), preset=nncf.QuantizationPreset.MIXED)
    cache, facts = BuildCache(cache_dir), _facts(loaded, canvas)
    folder = cache.begin(facts)
    ov.save_model(quantised, str(folder / "backbone.xml"), compress_to_fp16=False)
    return cache.commit(facts, folder) / "backbone.xml"


def _facts(loaded: LoadedModel, canvas: Canvas) -> dict[str, Any]:
    return {
        "kind": "openvino-int8",
        "weights": loaded.fingerprint,
        "canvas": str(canvas),
        "openvino": version("openvino"),
        "revision": 2,
    }
