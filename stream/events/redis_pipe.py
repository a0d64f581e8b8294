"""Talk to a Redis server over one connection, and take whatever comes back for what it is."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError

from stream.events.lua import Script
from stream.events.redis_connection import SOCKET_TIMEOUT_S, connect


class GarbageError(RedisConnectionError):
    """The server sent what is no reply: the connection cannot be used any more."""


def harmless(error: Exception) -> RedisError:
    """Return `error`, which came while a reply was read, as one of redis-py's: a server may send anything."""
    return error if isinstance(error, RedisError) else GarbageError(f"no sound reply ({type(error).__name__})")


class RedisPipe:
    """One connection for commands that are sent without waiting and whose replies are read later, in order.

    Used from one thread, but for `abort`. After an error that is no reply of the server the connection is dropped, with
    whatever was under way; the next command opens a new one. Errors are redis.RedisError.
    """

    def __init__(self, url: str, timeout_s: float = SOCKET_TIMEOUT_S) -> None:
        self._connection: Any = connect(url, timeout_s).connection_pool.make_connection()
        self._aborted = False

    def send(self, *parts: bytes) -> None:
        """Send commands as the protocol writes them."""
        if self._aborted:
            raise RedisConnectionError("closed")
        try:
            self._connection.send_packed_command(list(parts), check_health=False)
        except Exception as error:
            self._connection.disconnect()
            raise harmless(error) from error

    def receive(self) -> Any:
        """Return the next reply, bytes, int, list or None; the server's errors are returned, not raised."""
        try:
            return self._connection.read_response()
        except ResponseError as error:
            return error
        except Exception as error:
            self._connection.disconnect()
            raise harmless(error) from error

    def call(self, *arguments: bytes | str | int) -> Any:
        """Send one command and return its reply. Raises its error."""
        self.send(pack_command(*arguments))
        reply = self.receive()
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    def run(self, script: Script, keys: Sequence[bytes], arguments: Sequence[bytes | str | int]) -> Any:
        """Run a script, loading it first where the server does not know it. Raises its error."""
        try:
            return self.call("EVALSHA", script.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            self.call("SCRIPT", "LOAD", script.text)
            return self.call("EVALSHA", script.sha, len(keys), *keys, *arguments)

    def drop(self) -> None:
        """Close the connection; the next command opens a new one."""
        self._connection.disconnect()

    def abort(self) -> None:
        """Make whatever another thread is waiting for fail at once, now and from now on."""
        self._aborted = True
        sock = getattr(self._connection, "_sock", None)
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def pack_command(*arguments: bytes | str | int) -> bytes:
    """Return a command as the protocol writes it."""
    return b"*%d\r\n%b" % (len(arguments), b"".join(map(pack_argument, arguments)))


def pack_argument(argument: bytes | str | int) -> bytes:
    """Return one argument of a command as the protocol writes it."""
    data = (
        b"%d" % argument if isinstance(argument, int) else argument.encode() if isinstance(argument, str) else argument
    )
    return b"$%d\r\n%b\r\n" % (len(data), data)


def fields_of(reply: Any, *kinds: type) -> list[Any]:
    """Return the elements of a list reply. Raises GarbageError unless they are of `kinds`."""
    if not isinstance(reply, list) or [type(element) for element in reply] != list(kinds):
        raise GarbageError("no sound reply: unexpected elements")
    return reply


def number_of(text: bytes | str | None) -> int | None:
    """Return a count that a server wrote in digits; None for anything else."""
    plain = text.decode("latin-1") if isinstance(text, bytes) else text
    return int(plain) if isinstance(plain, str) and re.fullmatch("[0-9]{1,20}", plain) else None


def info_of(reply: Any) -> dict[str, str]:
    """Return the fields of an INFO reply. Raises GarbageError for anything else."""
    if not isinstance(reply, bytes):
        raise GarbageError("no sound reply to INFO")
    pairs = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return {name: value for name, _, value in pairs}
