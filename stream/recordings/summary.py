"""The summary of a batch job: one entry a video."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hoiclip.errors import HoistreamError
from hoiclip.files import write_whole
from stream.recordings.job_types import VideoResult


def summary_rows(results: Sequence[VideoResult]) -> list[dict[str, Any]]:
    """Return a JSON-ready entry for each video; a skipped one has the numbers of the run that finished it."""
    return [{**asdict(result), "video": str(result.video.path), "name": result.video.name} for result in results]


def write_summary(out: Path, results: Sequence[VideoResult]) -> None:
    """Write ``summary.json`` into `out`. Raises HoistreamError when that cannot be done."""
    try:
        write_whole(out / "summary.json", json.dumps(summary_rows(results), indent=2) + "\n")
    except OSError as error:
        raise HoistreamError(f"{out / 'summary.json'}: cannot be written: {error.strerror or error}") from error
