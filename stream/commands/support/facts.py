"""Facts that people write down for a model's card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hoiclip.errors import InputError


def read_facts(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`. Raises InputError for anything else."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"--card {path}: cannot be read as JSON: {error}") from error
    if not isinstance(facts, dict):
        raise InputError(f'--card {path}: expected an object such as {{"licence": "Apache-2.0"}}')
    return facts
