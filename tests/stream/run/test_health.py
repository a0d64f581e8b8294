from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from hoiclip.types import Canvas
from stream.decode.sources import SourceSettings
from stream.ingest.batcher import FrameBatcher
from stream.ingest.supervisor import SourceSupervisor
from stream.publish.state import PublisherState
from stream.run.health import Health


def health_of(supervisor: SourceSupervisor) -> Health:
    publisher: Any = SimpleNamespace(state=PublisherState("ok", 0, 0, 0, 0, 0, 0, 0, 0, ""))
    engines: Any = SimpleNamespace(names=["null"])
    return Health(supervisor, publisher, engines)


def test_health_says_why_a_camera_is_down_and_since_when(free_tcp_port: int) -> None:
    url = f"rtsp://user:s3cret@127.0.0.1:{free_tcp_port}/a"
    with SourceSupervisor([SourceSettings("door", url, "live", (Canvas(32, 48),), timeout_s=1.0)]) as supervisor:
        health = health_of(supervisor)
        assert health.document()["sources"] == {"door": "down"}
        deadline_s = time.monotonic() + 10
        while supervisor.status()["door"].state != "lost":
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        document = health.document()
    assert (document["ok"], document["watching"]) == (False, True)
    why = document["why_down"]["door"]
    assert why.startswith("refused since 20")
    assert f"127.0.0.1:{free_tcp_port} refused the connection" in why
    assert "s3cret" not in str(document)


def test_health_sees_that_nobody_watches_the_sources_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: SourceSupervisor, now_s: float) -> None:
        raise RuntimeError("a bug")

    with SourceSupervisor() as supervisor:
        health = health_of(supervisor)
        assert health.document()["ok"]
        monkeypatch.setattr(SourceSupervisor, "_look_after", broken)
        with pytest.raises(RuntimeError, match="a bug"):
            for _ in range(100):
                FrameBatcher(supervisor, 1, 0.0).collect(0.1)
        document = health.document()
        assert (document["ok"], document["watching"]) == (False, False)
