"""What an engine is asked to run, and how: the one argument that every engine's constructor takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engines.errors import EngineUnavailableError
from hoiclip.types import Canvas

if TYPE_CHECKING:
    from engines.tensorrt_progress import OnPhase
    from hoiclip.loaded import LoadedModel


@dataclass(frozen=True)
class EngineRequest:
    """A model on one canvas, with what the caller leaves to the engine as None."""

    loaded: LoadedModel
    canvas: Canvas
    max_batch: int = 8
    precision: str | None = None
    cache_dir: Path | None = None  # where graphs and plans are kept; None is the user's cache
    threads: int | None = None
    on_phase: OnPhase | None = None  # gets the progress of a build that takes minutes

    def precision_among(self, kind: str, known: Sequence[str], default: str) -> str:
        """Return the precision asked for, or `default`. Raises EngineUnavailableError where `kind` has none such."""
        wanted = self.precision or default
        if wanted not in known:
            raise EngineUnavailableError(f"{kind}: precision {wanted!r} is not one of {', '.join(known)}")
        return wanted
