"""OpenVINO is imported in one place, where its telemetry is switched off first; nothing is sent or left behind."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openvino")
ROOT = Path(__file__).resolve().parents[2]
SPYING = """
import socket, sys
calls = []
def noted(name, inner):
    def call(*arguments, **options):
        calls.append((name, arguments))
        return inner(*arguments, **options)
    return call
socket.getaddrinfo = noted("lookup", socket.getaddrinfo)
socket.socket.connect = noted("connect", socket.socket.connect)
from engines.openvino_import import import_openvino
{work}
print(calls, [name for name in sys.modules if name.startswith("openvino_telemetry.")])
"""
WORK = {
    "openvino": "import_openvino().Core().available_devices",
    "quantisation": "import_openvino(); import nncf; nncf.QuantizationPreset.MIXED",
}


@pytest.mark.parametrize("work", WORK)
def test_importing_sends_nothing_and_writes_nothing_into_the_home_folder(work: str, tmp_path: Path) -> None:
    if work == "quantisation":
        pytest.importorskip("nncf")
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SPYING.format(work=WORK[work])],
        env={**os.environ, "HOME": str(home), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[] []"
    assert list(home.rglob("*")) == []


def test_no_other_file_imports_openvino() -> None:
    guilty = []
    for folder in ("hoiclip", "engines", "stream", "hoistream", "tests", "benchmarks", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                if any(name.partition(".")[0] == "openvino" for name in names):
                    guilty.append(path.relative_to(ROOT))
    assert guilty == []
