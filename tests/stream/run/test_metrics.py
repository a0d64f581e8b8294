"""The metrics server against clients that behave and clients that do not."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from stream.run import metrics as module
from stream.run.metrics import Metrics, MetricsServer

HEALTH: dict[str, Any] = {"ok": True, "lag_events": 0}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MetricsServer]:
    monkeypatch.setattr(module._Handler, "timeout", 0.3)
    with MetricsServer(Metrics(), lambda: HEALTH, host="127.0.0.1", port=0) as made:
        yield made


def ask(server: MetricsServer, path: str, method: str = "GET") -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request(method, path)
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.headers
    connection.close()
    return found


def half_request(server: MetricsServer) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), timeout=5)
    client.sendall(b"GET /metrics HT")
    return client


def test_metrics_and_health_are_served_and_health_decides_the_status(server: MetricsServer, monkeypatch) -> None:
    status, body, _ = ask(server, "/metrics")
    assert status == 200
    assert b"hoistream_batch_frames" in body
    assert ask(server, "/health")[:2] == (200, b'{"ok": true, "lag_events": 0}')
    monkeypatch.setitem(HEALTH, "ok", False)
    assert ask(server, "/health")[0] == 503
    assert ask(server, "/elsewhere")[0] == 404
    assert ask(server, "/health", "POST")[0] == 405


def test_head_answers_like_get_without_a_body(server: MetricsServer) -> None:
    for path in ("/health", "/metrics"):
        status, body, headers = ask(server, path, "HEAD")
        assert (status, body) == (200, b"")
        assert int(headers["Content-Length"]) > 20


def test_a_health_check_that_raises_is_a_500_and_the_server_lives_on() -> None:
    def broken() -> dict[str, Any]:
        raise RuntimeError("no health today")

    with MetricsServer(Metrics(), broken, host="127.0.0.1", port=0) as made:
        assert ask(made, "/health")[0] == 500
        assert ask(made, "/metrics")[0] == 200


def test_half_requests_are_cut_off_and_never_keep_others_out(server: MetricsServer) -> None:
    idle = [half_request(server) for _ in range(200)]
    assert ask(server, "/health")[0] == 200
    assert len(server._server._open) <= module._MAX_CONNECTIONS
    for client in idle:
        assert client.recv(100) == b""  # the server hung up
        client.close()


def test_a_client_that_trickles_is_cut_off_though_it_is_never_silent(server: MetricsServer, monkeypatch) -> None:
    monkeypatch.setattr(module, "_CONNECTION_S", 0.5)
    client = half_request(server)
    end = time.monotonic() + 5
    with pytest.raises(ConnectionError):
        while time.monotonic() < end:
            client.sendall(b"x")
            time.sleep(0.05)
    client.close()
