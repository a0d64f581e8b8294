"""A compiled graph comes from the cache, is made again when damaged, and stays in memory when nothing can be kept."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from engines import openvino_engine
from engines.loading import load_model
from engines.openvino_engine import OpenVinoEngine
from engines.request import EngineRequest
from hoiclip.cache import BuildCache
from hoiclip.shipped import shipped_model
from hoiclip.types import Canvas

pytest.importorskip("openvino")
pytestmark = pytest.mark.xdist_group("engines")
CANVAS = Canvas(256, 448)
FRAME = np.random.default_rng(3).integers(0, 256, (1, *CANVAS, 3), np.uint8)


def run(cache: Path, precision: str = "fp32") -> np.ndarray:
    with OpenVinoEngine(EngineRequest(load_model(shipped_model()), CANVAS, 1, precision, cache)) as engine:
        return engine.infer(FRAME).object_logits


@pytest.mark.parametrize("precision", ["fp32", "mixed"])
def test_the_second_start_takes_it_from_the_cache_with_equal_results(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(tmp_path, precision)

    def refuse(*_: object) -> None:
        raise AssertionError("the graph was read again")

    monkeypatch.setattr(openvino_engine, "part", refuse)
    np.testing.assert_array_equal(run(tmp_path, precision), first)
    (entry,) = BuildCache(tmp_path).entries()
    assert entry.facts["kind"] == "openvino" and entry.facts["precision"] == precision


def test_a_damaged_entry_is_made_again_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = run(tmp_path)
    (entry,) = BuildCache(tmp_path).entries()
    (entry.path / "0.blob").write_bytes(b"nothing")
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(run(tmp_path), first)
    assert "it is compiled again" in caplog.text
    assert (entry.path / "0.blob").stat().st_size > 1e6


def test_a_cache_that_cannot_be_written_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    with caplog.at_level(logging.WARNING):
        assert np.isfinite(run(blocked)).all()
    assert "every start compiles anew" in caplog.text
