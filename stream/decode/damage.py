"""Which decoded frames may show damage and so must not open an event."""

from __future__ import annotations

import av


class DamageWatch:
    """From an error on frames are suspect, until the next key frame that came whole."""

    def __init__(self) -> None:
        self.errors = 0
        self._damaged = False
        self._clean_from_pts: int | None = None

    @property
    def suspect(self) -> bool:
        """Whether frames that come now may show damage."""
        return self._damaged

    def error(self) -> None:
        """A packet was damaged, lost, or FFmpeg complained about it."""
        self.errors += 1
        self._damaged, self._clean_from_pts = True, None

    def begin(self) -> None:
        """What comes from here on owes nothing to what was damaged before."""
        self._damaged, self._clean_from_pts = False, None

    def key_packet(self, pts: int | None) -> None:
        """A key frame's packet was decoded without complaint."""
        if self._damaged and self._clean_from_pts is None:
            self._clean_from_pts = pts

    def corrupt(self, frame: av.VideoFrame) -> bool:
        """Return whether `frame` may show damage; called for every frame in order."""
        if frame.is_corrupt:
            self.error()
        elif self._damaged and frame.pts is not None and self._clean_from_pts is not None:
            self._damaged = frame.pts < self._clean_from_pts
        elif self._damaged and frame.pts is None and frame.key_frame:
            self._damaged = False
        return self._damaged
