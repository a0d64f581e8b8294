"""Prometheus metrics and health over HTTP."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from hoiclip.errors import InputError

logger = logging.getLogger(__name__)


class Metrics:
    """The pipeline's counters; one instance a pipeline, no global registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        source = ("source",)
        self.frames = Counter("hoistream_frames", "Frames the engine has seen.", source, registry=self.registry)
        self.dropped = Gauge(
            "hoistream_frames_dropped", "Frames dropped, by reason.", ("source", "reason"), registry=self.registry
        )
        self.blind_s = Gauge(
            "hoistream_blind_seconds", "Seconds in which a source could not be seen.", source, registry=self.registry
        )
        self.connected = Gauge("hoistream_source_up", "1 while frames arrive.", source, registry=self.registry)
        self.events = Counter(
            "hoistream_events", "Events published, by type.", ("source", "type"), registry=self.registry
        )
        self.latency_s = Histogram(
            "hoistream_latency_seconds",
            "Live sources: from capture to tracked.",
            ("source",),
            buckets=(0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 5),
            registry=self.registry,
        )
        self.stage_s = Counter("hoistream_stage_seconds", "Time spent by stage.", ("stage",), registry=self.registry)
        self.batch_size = Histogram(
            "hoistream_batch_frames", "Frames a batch.", buckets=(1, 2, 4, 8, 16, 32, 64), registry=self.registry
        )
        self.spool_bytes = Gauge("hoistream_spool_bytes", "Bytes waiting on disk.", registry=self.registry)
        self.spool_lag = Gauge("hoistream_publish_lag_events", "Events not yet at every sink.", registry=self.registry)


class MetricsServer:
    """Serve ``/metrics`` and ``/health`` (200 while healthy, else 503) from a thread.

    `health` returns a JSON-ready document whose ``ok`` decides the status. Raises InputError when the address is taken.
    """

    def __init__(self, metrics: Metrics, health: Callable[[], dict[str, Any]], *, host: str, port: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/metrics":
                    self._answer(200, generate_latest(metrics.registry), CONTENT_TYPE_LATEST)
                elif self.path == "/health":
                    document = health()
                    status = 200 if document["ok"] else 503
                    self._answer(status, json.dumps(document).encode(), "application/json")
                else:
                    self._answer(404, b"try /metrics or /health\n", "text/plain")

            def _answer(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                logger.debug(format, *args)

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise InputError(
                f"metrics: cannot listen on {host}:{port} ({error.strerror}); choose another `metrics.port` or 0"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    @property
    def port(self) -> int:
        """The port really bound."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
