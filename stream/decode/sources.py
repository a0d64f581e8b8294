"""What a video source is: where it comes from, how fast to look at it, and on which canvases."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from hoiclip.errors import InputError
from hoiclip.types import Canvas
from stream.redaction import redact

MAX_STILL_S: Final = 60.0  # what happens unseen in a still picture would be missed for so long
LIVE_PROTOCOLS: Final = {
    "rtsp": "rtp,rtsp,tcp,udp",
    "rtsps": "rtp,rtsp,rtsps,tcp,udp,tls",
    "rtmp": "rtmp,tcp",
    "http": "http,https,tcp,tls",
    "https": "http,https,tcp,tls",
    "udp": "udp",
    "srt": "srt",
}
"""Schemes a live source may have, and the protocols FFmpeg may then open: never local files."""


# What is a host and no path's first part: user@host, an address, host:port.
_HOST: Final = re.compile(
    r"(?:[^/\s]+@[\w.-]+|(?:\d{1,3}\.){3}\d{1,3}|\[[0-9a-fA-F:]+\]|[\w.-]+(?=:\d\d))(?::\d{1,5})?(?=[/?]|$)"
)


def camera_without_scheme(url: str) -> str | None:
    """Return the rtsp:// URL, without secrets, that `url` seems to mean; None for a URL, a path or a file there is."""
    if "://" in url or not _HOST.match(url) or Path(url).exists():
        return None
    return redact(f"rtsp://{url}")


@dataclass(frozen=True)
class SourceSettings:
    """One camera or recording.

    `kind` "live": newest frame wins, late frames are dropped and counted, connections come back for ever. A live
    source whose `url` is a file's path plays it in real time over and over, like a camera.
    `kind` "file": no frame is ever dropped; the source ends.

    Raises InputError for values that cannot work.
    """

    id: str
    url: str = field(repr=False)  # may hold a password: print `display_url`
    kind: Literal["live", "file"]
    canvases: tuple[Canvas, ...]  # frames are scaled to the one of nearest aspect ratio
    target_fps: float | None = 5.0  # frames a second to look at; None: every frame
    staleness_s: float = 0.5  # live: older frames are dropped
    timeout_s: float = 3.0  # live: silence for this long is a stall
    gap_s: float = 2.0  # live: a stretch without frames that is longer counts as blind
    max_still_s: float = 0.0  # a picture in which nothing changes is not looked at again for so long; 0: every one is
    slots: int = 8  # frames in the ring, 3 to 250
    threads: int = 1  # recordings: stretches that are decoded side by side, 1 to 64
    backoff_initial_s: float = 0.5
    backoff_max_s: float = 4.0
    max_pixels: int = 33_177_600  # width x height of the largest picture decoded: 8K

    def __post_init__(self) -> None:
        if not self.canvases:
            raise InputError(f"source {self.id!r}: no canvas given; give at least one (height, width)")
        if not 3 <= self.slots <= 250:
            raise InputError(f"source {self.id!r}: slots must be 3 to 250, got {self.slots}")
        if not 1 <= self.threads <= 64:
            raise InputError(f"source {self.id!r}: threads must be 1 to 64, got {self.threads}")
        if self.target_fps is not None and not 0 < self.target_fps < math.inf:
            raise InputError(f"source {self.id!r}: target_fps must be above 0, got {self.target_fps}")
        if min(self.timeout_s, self.backoff_initial_s, self.backoff_max_s) <= 0 or self.staleness_s < 0:
            raise InputError(f"source {self.id!r}: timeout_s and backoff must be above 0, staleness_s not negative")
        if (meant := camera_without_scheme(self.url)) is not None:
            raise InputError(f"source {self.id!r}: the url has no scheme; did you mean {meant}?")
        if not all(map(math.isfinite, (self.timeout_s, self.staleness_s, self.gap_s, self.backoff_max_s))):
            raise InputError(f"source {self.id!r}: timeout_s, staleness_s, gap_s and backoff must be finite")
        if not 0 <= self.max_still_s <= MAX_STILL_S:
            raise InputError(f"source {self.id!r}: max_still_s must be 0 to {MAX_STILL_S:g}, got {self.max_still_s}")
        if self.kind == "live" and self.scheme is not None and self.scheme not in LIVE_PROTOCOLS:
            known = ", ".join(LIVE_PROTOCOLS)
            raise InputError(f"source {self.id!r}: cannot read {self.scheme}:// ({self.display_url}); known: {known}")
        if self.kind == "file" and self.scheme is not None:
            raise InputError(f"source {self.id!r}: {self.display_url} is no file's path; use kind `live` for a URL")

    @property
    def scheme(self) -> str | None:
        """Lower-case URL scheme, or None for a path on this machine."""
        scheme, found, _ = self.url.partition("://")
        return scheme.lower() if found and scheme.lower() != "file" else None

    @property
    def path(self) -> Path:
        """The file, for a source without a scheme."""
        return Path(self.url.removeprefix("file://"))

    @property
    def live(self) -> bool:
        """Whether late frames are dropped and lost connections come back."""
        return self.kind == "live"

    @property
    def display_url(self) -> str:
        """The URL without its secrets."""
        return redact(self.url)

    @property
    def slot_bytes(self) -> int:
        """Bytes of one RGB frame on the largest canvas."""
        return max(canvas.height * canvas.width * 3 for canvas in self.canvases)


def canvas_for(width: int, height: int, canvases: Sequence[Canvas]) -> Canvas:
    """Return the canvas whose aspect ratio is nearest to that of `width` x `height` px (the first among equals)."""
    aspect = math.log(width / height)
    return min(canvases, key=lambda canvas: round(abs(math.log(canvas.width / canvas.height) - aspect), 6))
