"""Thresholds that `hoistream calibrate` found, in a file that deployments read; for one model and one head."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from hoiclip.calibration import Suggestion
from hoiclip.errors import InputError
from hoiclip.yaml_lines import load_config
from stream.run.config import Score, TrackerConfig


class CalibrationFile(BaseModel):
    """What the file says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="Fingerprint of the model whose scores these are.")
    enhancement: bool = Field(description="Whether scores had CLIP's view of the whole frame added.")
    smoothing_s: float = Field(ge=0, description="Time constant of the smoothing.")
    frames: int = Field(ge=0, description="Frames looked at.")
    thresholds: dict[str, tuple[Score, Score]] = Field(description="Per interaction: [enter, leave].")


def calibrated(config: TrackerConfig, model_fingerprint: str, *, enhancement: bool) -> TrackerConfig:
    """Return the configuration with the thresholds of its `calibration` file; its own thresholds win.

    Raises InputError for a file that cannot be read, with its line, and for one of another model or head: thresholds
    mean nothing for other scores.
    """
    if config.calibration is None:
        return config
    path = config.calibration
    if not path.exists():
        raise InputError(f"tracker.calibration: {path} does not exist; `hoistream calibrate --out {path}` writes it")
    found = load_config(path, CalibrationFile)
    if found.model != model_fingerprint:
        raise InputError(
            f"{path}: made with model {found.model}, this one is {model_fingerprint}; calibrate again with this model"
        )
    if found.enhancement != enhancement:
        how = "with" if found.enhancement else "without"
        raise InputError(f"{path}: made {how} the enhancement, unlike this deployment; calibrate again as you deploy")
    thresholds = {**found.thresholds, **config.thresholds}
    return config.model_copy(update={"thresholds": thresholds, "calibration": None})


def calibration_text(found: CalibrationFile, suggestions: Sequence[Suggestion], notes: Sequence[str] = ()) -> str:
    """Return the file as YAML, with what each threshold rests on and `notes` as comments."""
    lines = [
        "# hoistream calibrate. In a configuration, for all or for one source: `tracker: {calibration: THIS FILE}`;",
        "# or `hoistream batch --calibration THIS FILE`.",
        f"model: {json.dumps(found.model)}",
        f"enhancement: {json.dumps(found.enhancement)}",
        f"smoothing_s: {found.smoothing_s:g}",
        f"frames: {found.frames}",
        "thresholds:" if suggestions else "thresholds: {}",
    ]
    for s in suggestions:
        seen = f", typically {s.typical:.2f}" if s.typical is not None else ""
        key = json.dumps(s.name, ensure_ascii=False)
        lines.append(f"  {key}: [{s.enter:.2f}, {s.leave:.2f}]  # {s.basis}: noise up to {s.noise:.2f}{seen}")
    return "\n".join([*lines, *(f"# {note}" for note in notes)]) + "\n"
