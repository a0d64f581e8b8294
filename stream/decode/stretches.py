"""Decode one recording on several cores: threads that each decode every n-th stretch of it, put in order again.

FFmpeg's own frame threads mend damaged pictures differently each time and can hang; these threads share nothing: each
has the file open, reads all packets, and decodes the stretches that are its own, from one packet that starts anew to
the next. So frames, pixels, numbers and counts are those of one thread. A recording that has no such packets behind
the first is decoded by one of them alone.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, NamedTuple, Self

import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from hoiclip.types import Canvas
from stream.decode.recording import RecordedFrame, Recording, Share, StretchBegin, StretchEnd
from stream.decode.scaling import CanvasScaler
from stream.decode.sources import SourceSettings, canvas_for
from stream.decode.wire import Counts, Resume

_QUEUE_BYTES: Final = 1 << 26  # of frames that wait, a thread
_MAX_QUEUED: Final = 256
_LOOK_EVERY_S: Final = 1.0


class ScaledFrame(NamedTuple):
    """A frame of a recording on its canvas."""

    pixels: NDArray[np.uint8]  # RGB [H, W, 3]
    canvas: Canvas
    number: int  # counts the recording's frames, from 0
    media_s: float
    corrupt: bool
    size: tuple[int, int]  # (width, height) of the recording's own frame, px, upright
    counts: Counts  # of its stretch so far


class _Failed(NamedTuple):
    error: BaseException


class _Over(NamedTuple):
    """The thread has read the recording to its end."""


_Item = ScaledFrame | StretchBegin | StretchEnd | _Failed | _Over


class StretchedRecording:
    """A recording that `settings.threads` threads decode; a context manager. See `Recording` for the arguments.

    Raises SourceFailureError when the file cannot be opened, and from `frames` when it cannot be read further.
    """

    def __init__(
        self,
        settings: SourceSettings,
        target_fps: float | None = None,
        progress: Callable[[], None] = lambda: None,
        *,
        resume: Resume | None = None,
    ) -> None:
        self._settings, self._progress = settings, progress
        self._stop = threading.Event()
        self._reads = 0  # by any thread; only whether it grows matters
        self._before = resume.counts if resume else Counts()  # of the stretches that are over
        self._now = Counts()  # of the one under way
        self.last_s = resume.media_s if resume else 0.0  # media time of the last frame
        self._recordings: list[Recording] = []
        try:
            for _ in range(settings.threads):
                self._recordings.append(Recording(settings, target_fps, self._note_read, resume=resume))
        except BaseException:
            self._close()
            raise
        most = min(_MAX_QUEUED, max(4, _QUEUE_BYTES // settings.slot_bytes))
        self._queues: list[queue.Queue[_Item]] = [queue.Queue(most) for _ in self._recordings]
        self._threads = [
            threading.Thread(target=self._decode, args=(index,), name=f"stretches {index}", daemon=True)
            for index in range(settings.threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def stream(self) -> VideoStream:
        """What the container says about the video."""
        return self._recordings[0].stream

    @property
    def counts(self) -> Counts:
        """Frames that the recording had so far, those not looked at, and errors."""
        return self._before + self._now

    def frames(self) -> Iterator[ScaledFrame]:
        """Yield the frames to look at, in order."""
        firsts = [self._get(index) for index in range(len(self._queues))]  # all with the same number
        for first in firsts:
            if isinstance(first, _Failed):
                raise first.error
        if not isinstance(firsts[0], StretchBegin):
            return
        turn = firsts[0].number
        while True:
            item = self._get(turn % len(self._queues))
            if isinstance(item, ScaledFrame):
                self._now, self.last_s = item.counts, item.media_s
                yield item
            elif isinstance(item, StretchEnd):
                self._before, self._now = self._before + item.counts, Counts()
                self.last_s = max(self.last_s, item.last_s)
                turn += 1
            elif isinstance(item, _Failed):
                raise item.error
            else:  # there is no stretch of that number
                return

    def check_complete(self) -> None:
        """Raise SourceFailureError if the index promises at least a second more than `frames` gave."""
        self._recordings[0].check_complete(self.last_s)

    def _get(self, index: int) -> _Item:
        while True:
            reads = self._reads
            try:
                item = self._queues[index].get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                if self._reads != reads:
                    self._progress()
                continue
            self._progress()
            return item

    def _note_read(self) -> None:
        self._reads += 1

    # The threads.

    def _decode(self, index: int) -> None:
        try:
            for item in self._items(index):
                self._put(index, item)
            self._put(index, _Over())
        except _ClosedError:
            pass
        except BaseException as error:
            self._put(index, _Failed(error), may_raise=False)

    def _items(self, index: int) -> Iterator[ScaledFrame | StretchBegin | StretchEnd]:
        recording, scaler = self._recordings[index], CanvasScaler()
        for item in recording.frames_of(Share(index, len(self._recordings))):
            if not isinstance(item, RecordedFrame):
                yield item
                continue
            canvas = canvas_for(*item.size, self._settings.canvases)
            pixels = np.empty((*canvas, 3), np.uint8)
            scaler.write(item.picture, item.quarter_turns, pixels)
            counts = recording.stretch_counts
            yield ScaledFrame(pixels, canvas, item.number, item.media_s, item.corrupt, item.size, counts)

    def _put(self, index: int, item: _Item, *, may_raise: bool = True) -> None:
        while not self._stop.is_set():
            try:
                self._queues[index].put(item, timeout=_LOOK_EVERY_S)
            except queue.Full:
                continue
            return
        if may_raise:
            raise _ClosedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._close()

    def _close(self) -> None:
        for recording in self._recordings:
            recording.close()


class _ClosedError(Exception):
    """Nobody wants frames any more."""
