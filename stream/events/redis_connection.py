"""Clients of redis-py that fail fast, and what a Redis URL of ours may say.

redis-py retries on its own by default: a stopped server then blocks a caller for half a minute, and a lost reply sends
the command twice. Both are turned off; whoever calls owns the retry loop.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

DEFAULT_STREAM = "hoistream:events"
SOCKET_TIMEOUT_S = 2.0
_LONGEST_KEEP_H = 24 * 366 * 10
_TLS_OPTIONS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"})


class RedisUrl(NamedTuple):
    """A ``redis://`` or ``rediss://`` URL without our own options, and those options."""

    url: str  # with its password: never log it, log `label`
    stream: str
    keep_s: float  # how long entries stay that every group has read

    @property
    def label(self) -> str:
        """Host, database and stream, without user and password."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}{parts.path or '/0'} stream {self.stream}"


def parse_redis_url(url: str) -> RedisUrl:
    """Split ``redis://[user:password@]host[:port][/db][?stream=NAME&keep_h=HOURS]``. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError("expected redis://HOST:PORT/DB?stream=NAME&keep_h=HOURS, with USER:PASSWORD@ before HOST")
    try:
        _ = parts.port
    except ValueError:  # whose text may show a part of the password
        raise ValueError(
            "the port is not a number; write special characters of a password as %40 and the like"
        ) from None
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not (stream := options.pop("stream", DEFAULT_STREAM)):
        raise ValueError("stream: expected a name, got nothing")
    keep_h = _hours(options.pop("keep_h", "24"))
    if unknown := sorted(set(options) - _TLS_OPTIONS):
        raise ValueError(
            f"option {unknown[0]!r} is not known; expected stream, keep_h or {', '.join(sorted(_TLS_OPTIONS))}"
        )
    return RedisUrl(urlunsplit(parts._replace(query=urlencode(options))), stream, keep_h * 3600)


def _hours(text: str) -> float:
    """Return a number of hours. Raises ValueError, without `text`: it may be a misplaced password."""
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    if not 0 <= hours <= _LONGEST_KEEP_H:
        raise ValueError(f"keep_h: expected hours from 0 to {_LONGEST_KEEP_H} such as 24 or 0.5")
    return hours


def connect(url: str, timeout_s: float = SOCKET_TIMEOUT_S) -> redis.Redis:
    """Return a client that tries each command once and waits at most `timeout_s` for a reply. Connects when used."""
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **_options(timeout_s))


def connect_raw_async(url: str, timeout_s: float = SOCKET_TIMEOUT_S) -> redis.asyncio.Redis:
    """Return the asyncio counterpart, with replies just as the server sends them: bytes, int and list."""
    client = redis.asyncio.Redis.from_url(url, retry=AsyncRetry(NoBackoff(), 0), **_options(timeout_s))
    client.response_callbacks.clear()
    return client


def _options(timeout_s: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
        "protocol": 2,  # one form of reply on every server
    }
