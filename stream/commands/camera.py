"""`hoistream camera`: a clip that plays as a live camera."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def camera(
    clip: Annotated[
        Path | None, typer.Argument(help="H.264 or H.265 file; the shipped demonstration clip when not given.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 inside a container.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8554,
    once: Annotated[bool, typer.Option("--once", help="End at the clip's end instead of starting over.")] = False,
) -> None:
    """Play CLIP as a live RTSP camera until stopped, to try a deployment without one.

    Example: hoistream camera assets/demo.mp4 --port 8554, then watch rtsp://127.0.0.1:8554/demo.mp4
    """
    import asyncio

    from hoiclip.shipped import shipped
    from stream.commands.support.rtsp_camera import serve_clip

    def ready(url: str) -> None:
        typer.echo(f"playing at {url}", err=True)

    asyncio.run(serve_clip(clip or shipped("assets/demo.mp4"), host, port, loop=not once, ready=ready))
