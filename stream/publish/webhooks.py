"""Events to a web address, signed: ``webhook:https://HOST/PATH#secret=whsec_…``.

The body is a CloudEvent 1.0 in structured JSON, the signature as Standard Webhooks 1.0 say.
Source: cloudevents.io specification 1.0.2; standardwebhooks.com specification.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import json
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from hoiclip.errors import InputError
from hoiclip.hashes import short_hash
from stream.events.schema import EVENT_TYPES
from stream.publish.records import Record
from stream.publish.spooled import SpooledSinkDownError, SpooledSinkRefusedError

SCHEME = "webhook:"
TIMEOUT_S = 10.0
_LATER = frozenset({408, 425, 429})  # of the refusals, those that ask to come again
_SECRET = "whsec_"


@dataclass(frozen=True)
class WebhookTarget:
    """Where a webhook goes. Its `url` and `secret` are never shown; `label` is."""

    url: str
    secret: bytes | None
    types: frozenset[str]
    severities: frozenset[str]  # of alerts; empty for all
    give_up_s: float

    @property
    def label(self) -> str:
        """The host, and a mark that tells two addresses there apart."""
        parts = urlsplit(self.url)
        return f"webhook {parts.scheme}://{parts.hostname} {short_hash(self.url)[:6]}"

    def __repr__(self) -> str:
        return f"<{self.label}>"


def parse_webhook_url(url: str) -> WebhookTarget:
    """Return the target in ``webhook:URL#secret=whsec_…&types=alert,started&severity=critical&give_up_h=24``.

    Raises InputError, which shows neither secret nor address.
    """
    parts = urlsplit(url.removeprefix(SCHEME))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError("sink webhook: expected webhook:https://HOST/PATH#secret=whsec_…")
    try:
        _ = parts.port
    except ValueError:
        raise InputError("sink webhook: the port is not a number") from None
    options = dict(parse_qsl(parts.fragment.replace("+", "%2B"), keep_blank_values=True))
    secret = _secret(options.pop("secret")) if "secret" in options else None
    types = _listed("types", options.pop("types", "alert"), EVENT_TYPES)
    severities = _listed("severity", options.pop("severity", ""), ("info", "warning", "critical"))
    try:
        hours = float(options.pop("give_up_h", "24"))
    except ValueError:
        hours = -1.0
    if not 0 < hours <= 24 * 366:
        raise InputError("sink webhook: give_up_h: expected hours above 0, such as 24")
    if options:
        raise InputError(
            f"sink webhook: option {min(options)!r} is not known; expected secret, types, severity, give_up_h"
        )
    return WebhookTarget(urlunsplit(parts._replace(fragment="")), secret, types, severities, hours * 3600)


def _secret(text: str) -> bytes:
    try:
        secret = base64.b64decode(text.removeprefix(_SECRET), validate=True)
    except binascii.Error:
        secret = b""
    if not text.startswith(_SECRET) or not 24 <= len(secret) <= 64:
        raise InputError("sink webhook: secret: expected whsec_ and 24 to 64 bytes in base64")
    return secret


def _listed(name: str, text: str, known: Sequence[str]) -> frozenset[str]:
    found = frozenset(filter(None, text.split(",")))
    if unknown := sorted(found - set(known)):
        raise InputError(f"sink webhook: {name}: {unknown[0]!r} is not known; expected {', '.join(known)}")
    return found


def cloud_event(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event of ours, as JSON, as a CloudEvent."""
    document = {
        "specversion": "1.0",
        "id": event["event_id"],
        "source": f"/hoistream/{quote(event['source_id'], safe='')}",
        "type": f"hoistream.v{event['schema_version']}.{event['type']}",
        "datacontenttype": "application/json",
        "data": event,
    }
    if when := event.get("capture_time") or event.get("published_time"):
        document["time"] = when
    if subject := event.get("rule") or event.get("interaction"):
        document["subject"] = subject
    return document


def signature(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a message, version 1: HMAC-SHA256 of its id, its time and its body."""
    signed = hmac.new(secret, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


class WebhookSink:
    """Posts events one by one, over one connection that is kept; redirections are not followed."""

    max_batch = 1
    from_now = True

    def __init__(self, url: str) -> None:
        """Raises InputError for a URL that cannot be right; connects when there is something to say."""
        self._target = parse_webhook_url(url)
        self.label, self.give_up_s = self._target.label, self._target.give_up_s
        self._connection: http.client.HTTPConnection | None = None

    def append(self, records: Sequence[Record]) -> int:
        """Post what is wanted of `records`. Raises SpooledSinkDownError, SpooledSinkRefusedError."""
        posted = 0
        for record in records:
            event = json.loads(record.json)
            if self._is_wanted(event):
                self._post(event)
                posted += 1
        return posted

    def _is_wanted(self, event: dict[str, Any]) -> bool:
        severities = self._target.severities
        return event["type"] in self._target.types and (
            event["type"] != "alert" or not severities or event["severity"] in severities
        )

    def _post(self, event: dict[str, Any]) -> None:
        body = json.dumps(cloud_event(event), ensure_ascii=False).encode()
        timestamp = int(time.time())
        headers = {
            "Content-Type": "application/cloudevents+json; charset=UTF-8",
            "User-Agent": "hoistream",
            "webhook-id": event["event_id"],
            "webhook-timestamp": str(timestamp),
        }
        if self._target.secret is not None:
            headers["webhook-signature"] = signature(self._target.secret, event["event_id"], timestamp, body)
        status = self._status(body, headers)
        if 200 <= status < 300:
            return
        if status >= 500 or status in _LATER:
            raise SpooledSinkDownError(f"{self.label}: answered {status}; sent again later")
        raise SpooledSinkRefusedError(f"{self.label}: refused with {status}")

    def _status(self, body: bytes, headers: dict[str, str]) -> int:
        parts = urlsplit(self._target.url)
        path = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        is_kept = self._connection is not None
        try:
            try:
                return self._request(path, body, headers)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                if not is_kept:
                    raise
                self.close()  # the server had closed the kept connection
                return self._request(path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise SpooledSinkDownError(f"{self.label}: no answer ({reason}); sent again later") from None

    def _request(self, path: str, body: bytes, headers: dict[str, str]) -> int:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request("POST", path, body, headers)
        response = self._connection.getresponse()
        response.read(1 << 16)
        if response.will_close or not response.isclosed():
            self.close()
        return response.status

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self._target.url)
        host = str(parts.hostname)
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_S)
        return http.client.HTTPSConnection(host, parts.port, timeout=TIMEOUT_S, context=ssl.create_default_context())

    def look_after(self) -> None:
        """Nothing to look after."""

    def close(self) -> None:
        """Drop the connection; safe to call twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
