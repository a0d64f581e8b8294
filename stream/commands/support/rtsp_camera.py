"""Play a recorded clip as a live RTSP camera: for demonstrations, tests and compose files."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from hoiclip.errors import HoistreamError, InputError

logger = logging.getLogger(__name__)
MAX_CLIENTS = 64


async def serve_clip(clip: Path, host: str, port: int, *, loop: bool, ready: Callable[[str], None]) -> None:
    """Serve ``rtsp://host:port/NAME`` (H.264 or H.265 over TCP, in real time) until SIGTERM or SIGINT.

    Every client sees the clip from its beginning, with `loop` again and again. `ready` is called with the URL once the
    port is open. Raises InputError for a missing clip or package, HoistreamError when the port is taken.
    """
    if not clip.is_file():
        raise InputError(f"{clip}: no such clip")
    server = _server(clip.resolve(), host, port, loop)
    try:
        await server.start()
    except OSError as error:
        raise HoistreamError(f"cannot listen on {host}:{port} ({error.strerror}); choose another --port") from error
    # The package keeps a thread of the default pool for each client, and that pool is small on small machines.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(MAX_CLIENTS))
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    ready(f"rtsp://{host}:{port}/{clip.name}")
    try:
        await stopped.wait()
    finally:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()  # sessions would otherwise keep the server from closing


def _server(clip: Path, host: str, port: int, loop: bool) -> Any:
    try:
        import aio_rtsp_toolkit.server as toolkit
    except ImportError as error:
        raise InputError("the RTSP server is not installed; pip install 'hoistream[demo]'") from error
    toolkit.logger = logger

    class OneClip(toolkit.RtspServer):  # type: ignore[misc]
        """A server that knows a single file, and plays it for ever unless the client says otherwise."""

        def resolve_request_path(self, uri: str) -> Path:
            if clip.name not in unquote(urlsplit(uri).path).split("/"):
                raise FileNotFoundError(uri)
            return clip

        def parse_play_count(self, uri: str) -> int:
            return 0 if loop and "play_count" not in uri else int(super().parse_play_count(uri))

    return OneClip(str(clip.parent), host, port)
