"""A server on this machine that hands files out as Google Drive does, faults included."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from requests.adapters import HTTPAdapter

CONFIRM = (  # one line, as the real page
    "<!DOCTYPE html><html><body><p>Google Drive can't scan this file for viruses.</p>"
    '<form id="download-form" action="https://drive.usercontent.google.com/download" method="get">'
    '<input type="hidden" name="id" value="{id}"><input type="hidden" name="export" value="download">'
    '<input type="hidden" name="confirm" value="t"><input type="submit" value="Download anyway"></form></body></html>'
)
QUOTA = """<html><body><p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently.</p>
</body></html>"""


@dataclass
class Drive:
    """What the server holds and how it misbehaves."""

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    break_after: list[int] = field(default_factory=list)  # bytes after which each next transfer breaks off
    page_instead: bool = False  # a page where the file should be, as a proxy or a login does
    quota: bool = False
    requests: list[str] = field(default_factory=list)  # the Range header of each transfer, "" without one


def _handler(drive: Drive) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
            content = drive.files.get(query.get("id", ""))
            if content is None:
                self._page(404, "<html><title>Error 404</title></html>")
            elif drive.quota:
                self._page(200, QUOTA)
            elif query.get("confirm") != "t":
                self._page(200, CONFIRM.format(id=query["id"]))
            elif drive.page_instead:
                body = b"<!DOCTYPE html><title>Sign in</title>"
                self._file(200, body, {"Content-Disposition": 'attachment; filename="x.pth"'}, len(body))
            else:
                self._send(content)

        def _send(self, content: bytes) -> None:
            wanted = self.headers.get("Range", "")
            drive.requests.append(wanted)
            start = int(re.match(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
            rest = content[start:]
            headers = {"Content-Disposition": 'attachment; filename="x.pth"', "Accept-Ranges": "bytes"}
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            limit = drive.break_after.pop(0) if drive.break_after else len(rest)
            self._file(206 if start else 200, rest[:limit], headers, len(rest))

        def _page(self, status: int, text: str) -> None:
            self._file(status, text.encode(), {"Content-Type": "text/html; charset=utf-8"}, len(text.encode()))

        def _file(self, status: int, body: bytes, headers: dict[str, str], promised: int) -> None:
            self.send_response(status)
            for name, value in ({"Content-Type": "application/octet-stream"} | headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(promised))
            self.end_headers()
            self.wfile.write(body)
            if len(body) < promised:
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(2)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


class _ToLoopback(HTTPAdapter):
    """Sends what is meant for Google's hosts to the server on this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        super().__init__()

    def send(self, request: requests.PreparedRequest, **options: object) -> requests.Response:  # type: ignore[override]
        parts = urlsplit(str(request.url))
        original, request.url = request.url, f"http://127.0.0.1:{self._port}{parts.path}?{parts.query}"
        response = super().send(request, **options)  # type: ignore[arg-type]
        response.url = original
        return response


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch) -> Iterator[Drive]:
    """The server, and every `requests` session of this process pointed at it."""
    state = Drive()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def session() -> requests.Session:
        made = requests.Session()
        made.mount("https://", _ToLoopback(state.port))
        return made

    monkeypatch.setattr(requests, "session", session)
    yield state
    server.shutdown()
    server.server_close()
    thread.join()
