"""The decoder's side of the two pipes to the pipeline: messages out, freed slots in; `wire` says how they look.

When the pipe closes, the process ends at once, so a decoder never outlives its pipeline.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from stream.decode.wire import Message, decode_slots, encode_message

HELD = 4


class DecoderLink:
    """Send messages and wait for slots, from the decoding thread; `serve` runs on the main thread."""

    def __init__(self, messages_fd: int, slots_fd: int, free_slots: Sequence[int]) -> None:
        self._messages_fd, self._slots_fd = messages_fd, slots_fd
        self._free = deque(free_slots)
        self._freed = threading.Condition()
        self._sending = threading.Lock()
        self._held: list[bytes] = []  # messages that are to be written; under `_sending`

    def send(self, message: Message, *, may_wait: bool = False) -> None:
        """Write one message; waits while the pipe is full.

        One that `may_wait` goes out with up to `HELD - 1` others, since each write wakes the pipeline: with the next
        that may not, or before the decoder waits for a slot.
        """
        data = encode_message(message)
        with self._sending:
            self._held.append(data)
            if not may_wait or len(self._held) >= HELD:
                self._flush()

    def _flush(self) -> None:
        data = b"".join(self._held)
        self._held.clear()
        while data:
            data = data[os.write(self._messages_fd, data) :]

    def take_slot(self) -> int | None:
        """Return a free slot, or None."""
        with self._freed:
            return self._free.popleft() if self._free else None

    def wait_for_slot(self) -> int:
        """Return a free slot; waits until the pipeline frees one (back-pressure)."""
        if (slot := self.take_slot()) is not None:
            return slot
        with self._sending:
            self._flush()
        with self._freed:
            while not self._free:
                self._freed.wait()
            return self._free.popleft()

    def put_back(self, slot: int) -> None:
        """Return a slot that was taken and not sent."""
        with self._freed:
            self._free.appendleft(slot)
            self._freed.notify()

    def serve(self, every_s: float, tick: Callable[[], None]) -> None:
        """Receive freed slots and call `tick` about every `every_s`; returns when the pipeline is gone."""
        due = time.monotonic() + every_s
        while True:
            readable, _, _ = select.select([self._slots_fd], [], [], max(0.0, due - time.monotonic()))
            if readable:
                freed = os.read(self._slots_fd, 256)
                if not freed:
                    return
                with self._freed:
                    self._free.extend(decode_slots(freed))
                    self._freed.notify()
            if time.monotonic() >= due:
                tick()
                due = time.monotonic() + every_s
