"""What a measurement must say about where it was made."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def machine() -> dict[str, str]:
    """Return processor, load, versions and date."""
    facts = {"date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "processor": _processor()}
    facts["load"] = " ".join(f"{value:.2f}" for value in os.getloadavg())
    facts["python"] = platform.python_version()
    for name in ("torch", "av", "numpy", "redis", "openvino", "onnxruntime"):
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = "not installed"
    return facts


def print_machine(command: str) -> None:
    """Print `command` and the machine."""
    print(f"$ {command}")
    print("  " + ", ".join(f"{key} {value}" for key, value in machine().items()))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    name = next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    return f"{name}, {os.cpu_count()} cores"
