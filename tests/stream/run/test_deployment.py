from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hoiclip.errors import HoistreamError, InputError
from stream.ingest.source_state import SourceMessage
from stream.publish.publisher import Publisher
from stream.run.config import RunConfig
from stream.run.deployment import Deployment
from stream.run.pipeline import Pipeline, SourceReport


def settings(model: Path, tmp_path: Path, **more: Any) -> RunConfig:
    values = {
        "model": str(model),
        "engine": {"kind": "null"},
        "sinks": [f"jsonl:{tmp_path / 'events.jsonl'}"],
        "tracker": {"enter_score": 0.1, "min_duration_s": 0.1, "min_pair_score": 0.05},
    }
    return RunConfig.model_validate(values | more)


def test_a_deployment_needs_no_configuration_file(
    tiny_model_path: Path, make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    messages: list[SourceMessage] = []
    pairs: list[float] = []
    sources = [{"id": "clip", "url": str(make_clip()), "target_fps": None}]
    with Deployment(
        settings(tiny_model_path, tmp_path, sources=sources),
        on_message=messages.append,
        on_pairs={"clip": lambda t_s, views: pairs.append(t_s)},
    ) as deployment:
        reports = deployment.run(threading.Event())
    assert reports["clip"].frames == 50 == len(pairs)
    assert [message.kind for message in messages] == ["opened", "ended"]
    kinds = [json.loads(line)["type"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert kinds.count("started") == kinds.count("ended") > 0


def test_a_recording_that_cannot_be_read_is_raised_after_the_others_are_done(
    tiny_model_path: Path, make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"this is no video" * 100)
    sources = [{"id": "bad", "url": str(bad)}, {"id": "good", "url": str(make_clip())}]
    with (
        Deployment(settings(tiny_model_path, tmp_path, sources=sources)) as deployment,
        pytest.raises(HoistreamError, match=r"bad\.mp4"),
    ):
        deployment.run(threading.Event())
    assert '"source_id":"good"' in (tmp_path / "events.jsonl").read_text()


def test_a_mistake_shows_before_anything_is_opened_and_leaves_nothing_behind(
    tiny_model_path: Path, tmp_path: Path
) -> None:
    before = {thread for thread in threading.enumerate() if thread.name != "preload"}  # which ends when it is done
    sources = [{"id": "camera", "url": "rtsp://127.0.0.1:1/never"}]
    with pytest.raises(InputError, match="sink"):
        Deployment(settings(tiny_model_path, tmp_path, sources=sources, sinks=["kafka://host"]))
    with pytest.raises(InputError, match="no model given"):
        Deployment(RunConfig.model_validate({"sources": sources}))
    assert {thread for thread in threading.enumerate() if thread.name != "preload"} == before


@pytest.mark.parametrize(("stages_s", "share_s"), [(0.0, 6.5), (3.0, 6.5), (20.0, 20.5)])
def test_all_stages_of_a_stop_share_one_deadline(
    stages_s: float, share_s: float, tiny_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What decoders and engine need to stop is taken from the time in which sinks may still be served."""
    stopped_s, deadlines, close = [], [], Publisher.close

    def stopping(pipeline: Pipeline, stop: threading.Event) -> dict[str, SourceReport]:
        pipeline.stopped_s = time.monotonic() - stages_s
        stopped_s.append(pipeline.stopped_s)
        return {}

    def noted(publisher: Publisher, deadline: float | None = None) -> None:
        deadlines.append(deadline)
        close(publisher, deadline)

    monkeypatch.setattr(Pipeline, "run", stopping)
    monkeypatch.setattr(Publisher, "close", noted)
    sources = [{"id": "camera", "url": "rtsp://127.0.0.1:1/never"}]
    with Deployment(settings(tiny_model_path, tmp_path, sources=sources)) as deployment:
        deployment.run(threading.Event())
    late_s = deadlines[0] - stopped_s[0] - share_s
    assert late_s == pytest.approx(0.0, abs=1e-6) if share_s == 6.5 else 0.0 <= late_s < 10.0


def test_a_stop_is_noticed_when_it_comes(
    tiny_model_path: Path, make_clip: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, noticed = threading.Event(), []
    monkeypatch.setattr(
        "stream.run.deployment.Pipeline",
        type("Noted", (Pipeline,), {"run": lambda self, stop: (noticed.append(self), Pipeline.run(self, stop))[1]}),
    )
    sources = [{"id": "clip", "url": str(make_clip()), "kind": "live"}]
    with Deployment(settings(tiny_model_path, tmp_path, sources=sources)) as deployment:
        threading.Timer(0.5, stop.set).start()
        began = time.monotonic()
        deployment.run(stop)
    (pipeline,) = noticed
    assert pipeline.stopped_s is not None
    assert began + 0.5 <= pipeline.stopped_s <= time.monotonic()


def test_health_and_metrics_answer_before_the_first_frame(tiny_model_path: Path, tmp_path: Path) -> None:
    sources = [{"id": "camera", "url": "rtsp://127.0.0.1:1/never"}]
    with Deployment(settings(tiny_model_path, tmp_path, sources=sources, metrics={"port": 0})) as deployment:
        assert deployment.metrics_url is not None
        with urllib.request.urlopen(deployment.metrics_url.replace("/metrics", "/health"), timeout=5) as answer:
            assert json.load(answer)["sources"] == {}
        with urllib.request.urlopen(deployment.metrics_url, timeout=5) as answer:
            assert b"hoistream_publish_lag_events" in answer.read()
