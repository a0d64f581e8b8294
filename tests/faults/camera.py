"""A camera that faults happen to: a real RTSP server that plays a clip of its own, for ever.

Run: python -m tests.faults.camera CLIP PORT CODEC WIDTH HEIGHT  writes the clip and prints the URL when it plays.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from pathlib import Path

import av
import numpy as np

from stream.commands.support.rtsp_camera import serve_clip


def write_clip(path: Path, codec: str, width: int, height: int) -> None:
    """Write two seconds of grey that becomes lighter."""
    with av.open(str(path), "w") as container:
        options = {"g": "10", "x265-params": "log-level=none"} if codec == "libx265" else {"g": "10"}
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(50):
            picture = np.full((height, width, 3), 3 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def main() -> None:
    """Play until told to stop."""
    clip, port, codec, width, height = sys.argv[1:]
    write_clip(Path(clip), codec, int(width), int(height))
    ready = functools.partial(print, flush=True)
    asyncio.run(serve_clip(Path(clip), "127.0.0.1", int(port), loop=True, ready=ready))


if __name__ == "__main__":
    main()
