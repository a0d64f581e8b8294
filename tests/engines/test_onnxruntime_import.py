"""ONNX Runtime is imported in one place, where its telemetry is switched off first; nothing is sent or left behind."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hoiclip.shipped import shipped_model

pytest.importorskip("onnxruntime")
ROOT = Path(__file__).resolve().parents[2]
WORK = """
import sys
from engines.onnxruntime_import import import_onnxruntime
ort = import_onnxruntime()
ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
"""


def test_a_session_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    """A device id and a database of what is to be sent would lie there; what is sent, tests without a network see."""
    graph = next(iter(sorted(shipped_model().glob("*.onnx"))))
    done = subprocess.run(
        [sys.executable, "-c", WORK, str(graph)],
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*")) == []


def test_no_other_file_imports_onnxruntime() -> None:
    guilty = []
    for folder in ("hoiclip", "engines", "stream", "hoistream", "tests", "benchmarks", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                if any(name.partition(".")[0] == "onnxruntime" for name in names):
                    guilty.append(path.relative_to(ROOT))
    assert guilty == []
