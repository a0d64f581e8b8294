"""Read a file with Roboflow's InferencePipeline and a model that computes nothing; print frames a second.

Run by `benchmarks.one_file` in an environment of its own, which has `inference` and needs nothing of this project:
PYTHON benchmarks/roboflow_pipeline.py FILE. Exit code 3 where the package is missing.
"""

from __future__ import annotations

import sys
import time
from typing import Any

times: list[float] = []


def look(frames: list[Any]) -> list[dict[str, int]]:
    """Take frames as a model would, and find nothing."""
    times.extend(time.perf_counter() for _ in frames)
    return [{"found": 0} for _ in frames]


def main(path: str) -> int:
    """Return an exit code."""
    try:
        from inference import InferencePipeline  # type: ignore[import-not-found]
    except ImportError as error:
        print(f"inference is not installed: {error}", file=sys.stderr)
        return 3
    pipeline = InferencePipeline.init_with_custom_logic(
        video_reference=path, on_video_frame=look, on_prediction=lambda predictions, frames: None
    )
    pipeline.start(use_main_thread=True)
    pipeline.join()
    print((len(times) - 1) / (times[-1] - times[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
