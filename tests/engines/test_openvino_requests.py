"""Several frames at a time give what one at a time gives; which is faster is measured once and remembered."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines import openvino_engine, openvino_requests
from engines.loading import load_model
from engines.openvino_engine import OpenVinoEngine
from engines.openvino_requests import MAX_REQUESTS, Requests, choices, fastest
from engines.request import EngineRequest
from hoiclip.cache import BuildCache
from hoiclip.shipped import shipped_model
from hoiclip.types import Canvas, Outputs

CANVAS = Canvas(4, 6)


class Fake:
    """A runner that says how long it takes."""

    def __init__(self, requests: Requests, clock: Clock, frame_s: float) -> None:
        self.requests, self.clock, self.frame_s, self.closed = requests, clock, frame_s, False

    def run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        self.clock.now_s += self.frame_s * len(frames)
        return Outputs(*[np.zeros((len(frames), 1), np.float32)] * 6)

    def close(self) -> None:
        self.closed = True


class Clock:
    now_s = 0.0

    def perf_counter(self) -> float:
        return self.now_s


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Fake]]:
    """Choose between ways whose frames take the given times; return what was opened, the one that was chosen first."""

    def choose(cache: Path, one_s: float, two_s: float, facts: dict[str, Any] | None = None) -> list[Fake]:
        clock, made = Clock(), list[Fake]()
        monkeypatch.setattr(openvino_requests, "time", clock)

        def open_runner(requests: Requests) -> Fake:
            made.append(Fake(requests, clock, one_s if requests.at_once == 1 else two_s))
            return made[-1]

        chosen = fastest([Requests(1, None), Requests(2, None)], open_runner, CANVAS, facts or {"weights": "w"}, cache)
        return [chosen, *(each for each in made if each is not chosen)]  # type: ignore[list-item]

    return choose


@pytest.mark.parametrize(("one_s", "two_s", "count"), [(1.0, 0.5, 2), (1.0, 2.0, 1), (1.0, 0.99, 1)])
def test_the_fastest_is_kept_and_the_other_closed(
    opened: Callable[..., list[Fake]], tmp_path: Path, one_s: float, two_s: float, count: int
) -> None:
    chosen, other = opened(tmp_path, one_s, two_s)
    assert chosen.requests.at_once == count
    assert not chosen.closed and other.closed


def test_it_is_measured_once_for_equal_facts(opened: Callable[..., list[Fake]], tmp_path: Path) -> None:
    opened(tmp_path, 1.0, 0.5)
    [again] = opened(tmp_path, 1.0, 2.0)
    assert again.requests.at_once == 2 and again.clock.now_s == 0.0
    assert len(opened(tmp_path, 1.0, 2.0, {"weights": "other"})) == 2


@pytest.mark.parametrize("content", ["", "[]", '{"count": 7}', '{"count": "x"}'])
def test_a_damaged_memory_is_measured_again(opened: Callable[..., list[Fake]], tmp_path: Path, content: str) -> None:
    opened(tmp_path, 1.0, 0.5)
    [entry] = BuildCache(tmp_path).entries()
    assert json.loads((entry.path / "requests.json").read_text())["count"] == 2
    (entry.path / "requests.json").write_text(content)
    assert opened(tmp_path, 1.0, 2.0)[0].requests.at_once == 1


def test_a_cache_that_cannot_be_written_costs_a_warning(
    opened: Callable[..., list[Fake]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "engines").write_text("no folder")
    with caplog.at_level(logging.WARNING):
        assert opened(tmp_path, 1.0, 0.5)[0].requests.at_once == 2
    assert "cannot be remembered" in caplog.text


def test_one_frame_one_thread_or_another_device_leave_no_choice() -> None:
    assert choices("CPU", 8, 2) == [Requests(1, 2), Requests(2, 2)]
    assert choices("CPU", 64, 96)[1].at_once == MAX_REQUESTS
    assert choices("CPU", 1, 2) == choices("GPU", 8, 2) == [Requests(1, 2)]
    assert choices("CPU", 8, 1) == [Requests(1, 1)]


@pytest.mark.xdist_group("engines")
@pytest.mark.parametrize("precision", ["fp32", "mixed"])
def test_several_at_a_time_give_what_one_gives_in_any_batch(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    canvas = Canvas(256, 448)
    frames = np.random.default_rng(1).integers(0, 256, (5, *canvas, 3), np.uint8)
    request = EngineRequest(load_model(shipped_model()), canvas, 5, precision, tmp_path, threads=2)

    def infer(only: int) -> list[Outputs[NDArray[np.float32]]]:
        ways = [each for each in choices("CPU", 5, 2) if each.at_once == only]
        monkeypatch.setattr(openvino_engine, "choices", lambda *_: ways)
        with OpenVinoEngine(request) as engine:
            return [engine.infer(frames), engine.infer(frames[3:4])]

    one, two = infer(1), infer(2)
    for alone, several in zip(one[0], two[0], strict=True):
        np.testing.assert_allclose(several, alone, atol=1e-4 if precision == "fp32" else 0.05)
    for whole, single in zip(two[0], two[1], strict=True):
        np.testing.assert_array_equal(whole[3:4], single)
