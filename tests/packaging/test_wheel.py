"""The wheel as users get it: built, installed without extras in a fresh environment, measured and tried."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from hoiclip.extras import EXTRAS

ROOT = Path(__file__).resolve().parents[2]
BASE_LIMIT_MB = 60

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the base wheel."""
    work = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(work), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (wheel,) = work.glob("*.whl")
    venv.create(work / "env", with_pip=True)
    pip = [work / "env/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel]
    subprocess.run(pip, check=True, capture_output=True, timeout=240)
    return work / "env"


def run(base: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [base / "bin/hoistream", *arguments], capture_output=True, text=True, timeout=60, cwd=base.parent
    )


def test_the_base_takes_less_than_60_mb(base: Path) -> None:
    (site,) = base.glob("lib/python*/site-packages")
    files = (f for f in site.rglob("*") if f.is_file() and not f.relative_to(site).parts[0].startswith("pip"))
    assert sum(f.stat().st_size for f in files) / 1e6 < BASE_LIMIT_MB


def test_reading_events_works_without_extras(base: Path) -> None:
    assert '"title"' in run(base, "schema").stdout
    refused = run(base, "subscribe", "--url", "http://127.0.0.1:1/0")  # it got as far as reading its URL
    assert "redis://" in refused.stderr
    assert "pip install" not in refused.stderr
    assert run(base, "doctor").returncode == 0


@pytest.mark.parametrize(
    "command", [("batch", "a.mp4", "--out", "out"), ("run", "cameras.yaml"), ("image", "a.jpg"), ("demo",)]
)
def test_a_command_whose_extra_is_missing_says_the_line_that_installs_it(base: Path, command: tuple[str, ...]) -> None:
    (base.parent / "cameras.yaml").write_text("sources: [{id: a, url: a.mp4}]\n")
    result = run(base, *command)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].endswith("pip install 'hoistream[run]'"), result.stderr
    assert "Traceback" not in result.stderr


def test_every_extra_that_is_named_exists() -> None:
    import tomllib

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(EXTRAS.values()) <= set(declared)
