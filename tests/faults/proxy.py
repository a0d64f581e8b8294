"""A TCP proxy that delays, drips, drops, cuts, swallows and babbles on demand."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator


def reserve_port() -> tuple[socket.socket, int]:
    """Return a port of 127.0.0.1 and what keeps it from everybody who asks for any free one.

    Whoever names it can listen there; while nobody does, connections are refused.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held, int(held.getsockname()[1])


class Proxy:
    """Stands between a client and the server at `target`; every connection goes through it. Change it while it runs."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.delay_s = 0.0  # before each piece is passed on
        self.drip_bytes = 0  # pass on so few bytes at a time, 1 ms apart; 0: all at once
        self.swallow_requests = False  # read them and pass none on
        self.swallow_replies = False
        self.babble = 0.0  # chance that a reply is replaced by random bytes
        self.flip_chance = 0.0  # chance that one bit of a reply is turned over
        self.cut_chance = 0.0  # chance that a connection is cut in the middle of a reply
        self.random = random.Random(0)
        self._refusing = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._reserved, self.port = reserve_port()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.target, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                self._open |= {client, server}
            for source, sink, is_reply in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=(source, sink, is_reply), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_reply: bool) -> None:
        try:
            while data := source.recv(1 << 16):
                if self.delay_s:
                    time.sleep(self.delay_s)
                if self.swallow_replies if is_reply else self.swallow_requests:
                    continue
                if is_reply and self.random.random() < self.babble:
                    data = self.random.randbytes(len(data))
                if is_reply and self.random.random() < self.flip_chance:
                    data = self._flipped(data)
                if is_reply and self.random.random() < self.cut_chance:
                    sink.sendall(data[: len(data) // 2])
                    break
                self._pass_on(sink, data)
        except OSError:
            pass
        finally:
            for one in (source, sink):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()
                with self._lock:
                    self._open.discard(one)

    def _flipped(self, data: bytes) -> bytes:
        flipped = bytearray(data)
        flipped[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
        return bytes(flipped)

    def _pass_on(self, sink: socket.socket, data: bytes) -> None:
        step = self.drip_bytes
        if not step:
            sink.sendall(data)
            return
        for at in range(0, len(data), step):
            sink.sendall(data[at : at + step])
            time.sleep(0.001)

    def cut(self) -> None:
        """Cut every connection."""
        with self._lock:
            cutting = list(self._open)
        for one in cutting:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse connections, and cut those that are open, for the length of the block."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        try:
            yield
        finally:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    @contextlib.contextmanager
    def being(self, **changes: float) -> Iterator[None]:
        """Have `changes` to its attributes for the length of the block; then cut what they may have left hanging."""
        before = {name: getattr(self, name) for name in changes}
        for name, value in changes.items():
            setattr(self, name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(self, name, value)
            self.cut()

    def close(self) -> None:
        """Stop."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._reserved.close()
