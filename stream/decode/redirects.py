"""Ask a camera's server, before FFmpeg does, whether it sends its callers elsewhere.

FFmpeg follows redirects of RTSP and HTTP to any host, whatever its protocol whitelist says, and answers there with the
user and password of the first: a camera that was taken over could reach into the network behind the pipeline. So one
request is made without them, and only its first lines are read.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from typing import Final
from urllib.parse import SplitResult, urlsplit

from stream.redaction import redact

DEFAULT_PORTS: Final = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "http": 80, "https": 443}
ASKED: Final = ("rtsp", "rtsps", "http", "https")
MAX_HEAD_BYTES = 16_384


class SilentServerError(TimeoutError):
    """The port is open and nobody speaks."""


def redirect_target(url: str, timeout_s: float) -> str | None:
    """Return where the server behind `url` sends its callers, without secrets; None when it does not.

    Raises OSError (also ConnectionRefusedError, TimeoutError, socket.gaierror) when the port cannot be reached within
    `timeout_s`, SilentServerError when it says nothing for so long, ValueError for a URL whose port is no number.
    """
    parts = urlsplit(url)
    if parts.scheme not in ASKED or not parts.hostname:
        return None
    with socket.create_connection((parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme]), timeout_s) as connection:
        try:
            return _ask(connection, parts, timeout_s)
        except TimeoutError as error:
            raise SilentServerError from error
        except OSError:  # FFmpeg will say what is wrong
            return None


def _ask(connection: socket.socket, parts: SplitResult, timeout_s: float) -> str | None:
    if parts.scheme in ("rtsps", "https"):
        connection = _unchecked().wrap_socket(connection, server_hostname=parts.hostname)
    host = parts.netloc.rpartition("@")[2]
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme.startswith("rtsp"):
        lines = [f"DESCRIBE {parts.scheme}://{host}{path} RTSP/1.0", "CSeq: 1", "Accept: application/sdp"]
    else:
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close"]
    connection.sendall("\r\n".join([*lines, "User-Agent: hoistream", "", ""]).encode())
    head, end_s = b"", time.monotonic() + timeout_s
    while b"\r\n\r\n" not in head and len(head) < MAX_HEAD_BYTES:
        connection.settimeout(max(0.001, end_s - time.monotonic()))  # for all of the answer, however it trickles
        data = connection.recv(4096)
        if not data:
            break
        head += data
    first, *fields = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    words = first.split()
    if len(words) < 2 or not re.fullmatch("3[0-9][0-9]", words[1]):
        return None
    values = (field.partition(":")[::2] for field in fields)
    target = next((value.strip() for name, value in values if name.lower() == "location"), "")
    return redact(target) or "a place it does not name"


def _unchecked() -> ssl.SSLContext:
    """As FFmpeg does by default: cameras sign their own certificates. No secret is sent here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
