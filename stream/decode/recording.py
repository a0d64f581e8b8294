"""Read a recorded file: opened safely, packet by packet, damage tolerated, with the rotation and time of each frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from types import TracebackType
from typing import Final, NamedTuple, Self

import av
from av.video.stream import VideoStream

from stream.decode.damage import DamageWatch
from stream.decode.frame_times import RecordingClock, seconds
from stream.decode.opening import SourceFailureError, describe, open_source
from stream.decode.packet_decoder import PacketDecoder
from stream.decode.scaling import displayed_size, quarter_turns
from stream.decode.sources import SourceSettings

MAX_BAD_READS: Final = 100  # damaged reads in a row, after which a recording is given up
_SEEK_FROM_S: Final = 2.0  # a stretch that begins earlier is reached by reading


class RecordedFrame(NamedTuple):
    """A frame of a recording."""

    picture: av.VideoFrame  # as it is stored: to be turned by `quarter_turns`
    media_s: float  # seconds from the recording's start; strictly increasing
    corrupt: bool  # may show damage
    quarter_turns: int  # counter-clockwise, 0 to 3

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in px, upright."""
        return displayed_size(self.picture, self.quarter_turns)


class Recording:
    """An open recording; a context manager.

    `progress` is called whenever FFmpeg has come back with something. Raises SourceFailureError when the file cannot be
    opened or read.
    """

    def __init__(self, settings: SourceSettings, progress: Callable[[], None] = lambda: None) -> None:
        self._progress = progress
        self._container, self.stream = open_source(settings)
        self._damage = DamageWatch()
        self._decoder = PacketDecoder(self._container, self.stream, settings, self._damage)
        self._clock = RecordingClock(time_base(self.stream), self.stream.start_time, self.stream.average_rate)
        self._num_packets = 0
        self._last_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    @property
    def errors(self) -> int:
        """Damaged packets and frames so far."""
        return self._damage.errors

    def frames(self) -> Iterator[RecordedFrame]:
        """Yield every frame in order; a damaged packet costs itself, not the rest."""
        for packet in self._packets():
            self._num_packets += packet.size > 0
            for picture in self._decoder.decode(packet):
                self._last_s = self._clock.at(picture.pts).media_s
                corrupt = self._damage.corrupt(picture)
                yield RecordedFrame(picture, self._last_s, corrupt, quarter_turns(picture.rotation))

    def _packets(self) -> Iterator[av.Packet[VideoStream]]:
        bad = 0
        while True:
            self._progress()
            try:
                for packet in self._container.demux(self.stream):
                    bad = 0
                    self._progress()
                    yield packet
                    self._progress()
                return
            except (av.error.FFmpegError, OSError) as error:
                self._damage.error()
                bad += 1
                if bad > MAX_BAD_READS:
                    raise SourceFailureError("invalid", f"cannot be read further: {describe(error)}") from error

    def check_complete(self) -> None:
        """Raise SourceFailureError if the index promises at least a second more than `frames` gave."""
        promised = self.stream.frames
        if promised and self.stream.duration and self._num_packets < promised - max(2, promised // 100):
            promised_s = seconds(self.stream.duration, time_base(self.stream))
            if promised_s - self._last_s > 1.0:
                cut = f"is cut off at {self._last_s:.1f} s of {promised_s:.1f} s; what there is was processed"
                raise SourceFailureError("truncated", cut)

    def go_to(self, start_s: float) -> None:
        """Go on at the last key frame at or before `start_s`, where the file can do that; else stay."""
        if start_s <= _SEEK_FROM_S or self.stream.start_time is None:
            return
        base = time_base(self.stream)
        try:
            self._container.seek(int(start_s / base) + self.stream.start_time, stream=self.stream)
        except (av.error.FFmpegError, OSError):  # such as a raw stream without an index: it is read from its start
            return


def read_recording(
    settings: SourceSettings, *, start_s: float = 0.0, end_s: float | None = None
) -> Iterator[RecordedFrame]:
    """Yield the frames of a recording from `start_s` to `end_s` (media time), one at a time.

    Raises SourceFailureError when it cannot be opened or read further.
    """
    with Recording(settings) as recording:
        recording.go_to(start_s)
        for frame in recording.frames():
            if end_s is not None and frame.media_s > end_s:
                return
            if frame.media_s >= start_s:
                yield frame


def time_base(stream: VideoStream) -> Fraction:
    """Return the unit of the stream's times in seconds."""
    assert stream.time_base is not None
    return Fraction(stream.time_base.numerator, stream.time_base.denominator)
