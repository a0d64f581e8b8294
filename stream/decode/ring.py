"""A bounded ring of RGB frames in memory shared by a decoder and the pipeline.

The memory is an anonymous file that the decoder inherits: it has no name to collide or to clean up, it is freed with
the last process that holds it (also after `kill -9`), and Docker's small ``/dev/shm`` does not limit it.
"""

from __future__ import annotations

import mmap
import os
import tempfile

import numpy as np
from numpy.typing import NDArray

from hoiclip.types import Canvas


class Ring:
    """`slots` frames of at most `slot_bytes` each. Who may write a slot is agreed by messages, not here."""

    def __init__(self, slots: int, slot_bytes: int, fd: int | None = None) -> None:
        """Make a ring, or map the one behind an inherited `fd`. Raises OSError when the machine has not the means."""
        self.slots, self.slot_bytes = slots, slot_bytes
        self.fd = _anonymous_file(slots * slot_bytes) if fd is None else fd
        try:
            self._memory = mmap.mmap(self.fd, slots * slot_bytes)
        except OSError:
            os.close(self.fd)
            raise
        self._bytes: NDArray[np.uint8] = np.frombuffer(self._memory, np.uint8).reshape(slots, slot_bytes)

    def frame(self, slot: int, canvas: Canvas) -> NDArray[np.uint8]:
        """Return the writable picture uint8 [H, W, 3] (RGB) in `slot`; a view, to be dropped before `close`."""
        size = canvas.height * canvas.width * 3
        return self._bytes[slot, :size].reshape(canvas.height, canvas.width, 3)

    def close(self) -> None:
        """Unmap this process's view; the memory is freed when the other side is gone too. Safe to call twice."""
        if self.fd < 0:
            return
        self._bytes = np.empty((0, 0), np.uint8)
        self._memory.close()
        os.close(self.fd)
        self.fd = -1


def _anonymous_file(size: int) -> int:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("hoistream-ring")
    else:  # macOS: a file without a name
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    try:
        os.ftruncate(fd, size)
    except OSError:
        os.close(fd)
        raise
    return fd
