"""What an installation takes: each extra of the wheel in a fresh environment of its own, in MB and seconds.

    python -m benchmarks.installed_size [EXTRA …]        (default: the base and `run`)

Counts every byte of site-packages, compiled files included, without pip. Needs a package registry.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from benchmarks.machine import print_machine

ROOT = Path(__file__).resolve().parents[1]


def installed_mb(wheel: Path, extra: str, folder: Path) -> tuple[float, float, list[tuple[float, str]]]:
    """Return MB, seconds and the largest folders of `wheel` with `extra` ("" for none)."""
    venv.create(folder, with_pip=True)
    wanted = f"hoistream[{extra}] @ {wheel.as_uri()}" if extra else str(wheel)
    started = time.perf_counter()
    pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wanted]
    subprocess.run(pip, check=True, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    (site,) = folder.glob("lib/python*/site-packages")
    sizes: dict[str, int] = {}
    for file in site.rglob("*"):
        top = file.relative_to(site).parts[0]
        if file.is_file() and not top.startswith("pip"):
            sizes[top] = sizes.get(top, 0) + file.stat().st_size
    largest = sorted(((size / 1e6, name) for name, size in sizes.items()), reverse=True)[:6]
    return sum(sizes.values()) / 1e6, seconds, largest


def main() -> None:
    """Build the wheel, install it as asked, print a line each."""
    print_machine(" ".join(["python -m benchmarks.installed_size", *sys.argv[1:]]))
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", name, str(ROOT)]
        subprocess.run(build, check=True, capture_output=True)
        (wheel,) = work.glob("*.whl")
        print(f"wheel: {wheel.stat().st_size / 1e6:.1f} MB")
        for extra in sys.argv[1:] or ["", "run"]:
            size, seconds, largest = installed_mb(wheel, extra, work / (extra or "base"))
            parts = ", ".join(f"{name} {part:.0f}" for part, name in largest)
            print(f"{extra or 'base':<12} {size:6.0f} MB installed in {seconds:.0f} s ({parts})")


if __name__ == "__main__":
    main()
