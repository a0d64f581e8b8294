"""Run every benchmark one after the other, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

COMMANDS = (
    ["-m", "benchmarks.pipeline"],
    ["-m", "benchmarks.real_pipeline", "--precision", "mixed"],
    ["benchmarks/decode.py"],
    ["-m", "benchmarks.selective_decode"],
    ["-m", "benchmarks.one_file"],
    ["-m", "benchmarks.one_file", "--size", "1920x1080", "--seconds", "30"],
    ["-m", "benchmarks.batch_folder"],
    ["benchmarks/tracker.py"],
    ["benchmarks/publish.py"],
    ["benchmarks/evaluation.py"],
    ["benchmarks/classifier_cache.py"],
    ["benchmarks/cold_start.py"],
    ["benchmarks/live_cameras.py", "--seconds", "60"],
)


def main() -> int:
    """Return the number of benchmarks that failed."""
    failed = 0
    for command in COMMANDS:
        print(f"\n=== python {' '.join(command)}", flush=True)
        failed += subprocess.run([sys.executable, *command]).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
