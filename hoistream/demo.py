"""What comes with hoistream to try things out."""

from __future__ import annotations

from pathlib import Path

from hoiclip.shipped import shipped


def demo_clip() -> Path:
    """Return the path of the demonstration clip: 24 s of drawn people, which the model ``demo`` was made for.

    Example:
        >>> import hoistream
        >>> hoistream.demo_clip().name
        'demo.mp4'
    """
    return shipped("assets/demo.mp4")
