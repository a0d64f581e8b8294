"""Prometheus metrics and health over HTTP."""

from __future__ import annotations

import json
import logging
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST, ThreadingWSGIServer

from hoiclip.errors import InputError

logger = logging.getLogger(__name__)

_MAX_CONNECTIONS = 16
_SILENCE_S = 2.0  # a client that says nothing for so long is cut off
_CONNECTION_S = 10.0  # no exchange may take longer, however slowly it trickles


class Metrics:
    """What is counted as it happens; one instance a pipeline, no global registry. `stream.run.scraped` has the rest."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        source = ("source",)
        self.frames = Counter("hoistream_frames", "Frames the engine has seen.", source, registry=self.registry)
        self.still = Counter(
            "hoistream_frames_still",
            "Frames that repeat what the engine saw last, which it did not look at.",
            source,
            registry=self.registry,
        )
        self.events = Counter(
            "hoistream_events",
            "Events published, by type and interaction.",
            ("source", "type", "interaction"),  # of a vocabulary, so there are never many
            registry=self.registry,
        )
        self.latency_s = Histogram(
            "hoistream_latency_seconds",
            "Live sources: from capture to tracked.",
            source,
            buckets=(0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 5),
            registry=self.registry,
        )
        self.batch_size = Histogram(
            "hoistream_batch_frames", "Frames a batch.", buckets=(1, 2, 4, 8, 16, 32, 64), registry=self.registry
        )


class MetricsServer:
    """Serve ``/metrics`` and ``/health`` (200 while healthy, else 503) from a thread.

    `health` returns a JSON-ready document whose ``ok`` decides the status. Raises InputError when the address is taken.
    """

    def __init__(self, metrics: Metrics, health: Callable[[], dict[str, Any]], *, host: str, port: int) -> None:
        def answer(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
            if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
                status, kind, body = _page(environ["PATH_INFO"], metrics, health)
            else:
                status, kind, body = "405 Method Not Allowed", "text/plain", b"use GET or HEAD\n"
            start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

        try:
            self._server = make_server(host, port, answer, server_class=_BoundedServer, handler_class=_Handler)
        except OSError as error:
            raise InputError(
                f"metrics: cannot listen on {host}:{port} ({error.strerror}); choose another `metrics.port` or 0"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="metrics", daemon=True
        )

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


def _page(path: str, metrics: Metrics, health: Callable[[], dict[str, Any]]) -> tuple[str, str, bytes]:
    """Return status, content type and body."""
    try:
        if path == "/metrics":
            return "200 OK", CONTENT_TYPE_LATEST, generate_latest(metrics.registry)
        if path == "/health":
            document = health()
            status = "200 OK" if document["ok"] else "503 Service Unavailable"
            return status, "application/json", json.dumps(document).encode()
    except Exception:
        logger.exception("%s cannot be answered", path)
        return "500 Internal Server Error", "text/plain", b"see the log\n"
    return "404 Not Found", "text/plain", b"try /metrics or /health\n"


class _Handler(WSGIRequestHandler):
    timeout = _SILENCE_S

    def log_message(self, format: str, *args: Any) -> None:
        logger.debug(format, *args)


class _BoundedServer(ThreadingWSGIServer):
    """The Prometheus client's server, which idle, slow and too many clients cannot exhaust.

    Where all connections are taken, the oldest one gives way: an honest exchange is over in milliseconds.
    """

    request_queue_size = 128  # connections the kernel holds until they are accepted

    def __init__(self, address: tuple[str, int], handler: Callable[..., Any]) -> None:
        self._open: dict[socket.socket, float] = {}  # since when (monotonic), oldest first
        self._open_lock = threading.Lock()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """As the base class, but without its look-up of the host's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def get_request(self) -> Any:
        """Accept a connection. Raises OSError, after a pause, so that a shortage of descriptors is no busy loop."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(0.1)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            while len(self._open) >= _MAX_CONNECTIONS:
                self._cut(next(iter(self._open)))
            self._open[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut off exchanges that take too long; called ten times a second."""
        oldest_allowed = time.monotonic() - _CONNECTION_S
        with self._open_lock:
            for request in [request for request, since in self._open.items() if since < oldest_allowed]:
                self._cut(request)

    def _cut(self, request: socket.socket) -> None:
        self._open.pop(request)
        with suppress(OSError):  # it may have left by itself
            request.shutdown(socket.SHUT_RDWR)  # its thread wakes up and closes it

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("metrics: %s: %s", client_address, sys.exception())
