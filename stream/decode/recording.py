"""Read a recorded file: opened safely, packet by packet, damage tolerated, with the rotation and time of each frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from types import TracebackType
from typing import Final, Literal, NamedTuple, Self

import av
from av.video.stream import VideoStream

from stream.decode.damage import DamageWatch
from stream.decode.frame_plan import FramePlan
from stream.decode.frame_times import FramePicker, RecordingClock, seconds
from stream.decode.nal_units import NalReader
from stream.decode.opening import SourceFailureError, describe, open_source
from stream.decode.packet_decoder import PacketDecoder
from stream.decode.scaling import displayed_size, quarter_turns
from stream.decode.sources import SourceSettings
from stream.decode.wire import Resume

MAX_BAD_READS: Final = 100  # damaged reads in a row, after which a recording is given up
MAX_AHEAD: Final = 300  # packets that are read before the first of them is decoded
MAX_PASSED: Final = 3_000  # packets that wait for a start behind them, where a recording goes on in its middle
MAX_PASSED_BYTES: Final = 1 << 26
_SEEK_FROM_S: Final = 2.0  # a stretch that begins earlier is reached by reading


class RecordedFrame(NamedTuple):
    """A frame of a recording."""

    picture: av.VideoFrame  # as it is stored: to be turned by `quarter_turns`
    number: int  # counts the recording's frames, from 0, those that are not looked at included
    media_s: float  # seconds from the recording's start; strictly increasing
    corrupt: bool  # may show damage
    quarter_turns: int  # counter-clockwise, 0 to 3

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in px, upright."""
        return displayed_size(self.picture, self.quarter_turns)


class Recording:
    """An open recording; a context manager.

    Frames come about `target_fps` a second, or all of them for None; the others are decoded only where one that is
    looked at is made from them. `selective=False` decodes all, to the same end. With `resume` the frames after that
    place come, with the pixels, numbers and counts that they would have had: everything is read, and decoded from the
    last packet on that starts anew before them. `progress` is called whenever FFmpeg has come back with something.
    Raises SourceFailureError when the file cannot be opened or read.
    """

    def __init__(
        self,
        settings: SourceSettings,
        target_fps: float | None = None,
        progress: Callable[[], None] = lambda: None,
        *,
        selective: bool = True,
        resume: Resume | None = None,
    ) -> None:
        self._progress, self._resume = progress, resume
        self._container, self.stream = open_source(settings)
        stream, codec = self.stream, self.stream.codec_context
        self._damage = DamageWatch()
        self._decoder = PacketDecoder(self._container, stream, settings, self._damage)
        clock = RecordingClock(time_base(stream), stream.start_time, stream.average_rate)
        self._selective = selective and target_fps is not None and codec.name in ("h264", "hevc")
        self._plan = FramePlan(clock, FramePicker(target_fps), codec.name in ("h264", "hevc"), resume)
        self._nal_units = NalReader(codec.name, codec.extradata)
        self._num_packets = 0
        self._errors_before = 0  # of what was delivered before `resume`, without those that come again here

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    @property
    def errors(self) -> int:
        """Damaged packets and frames so far."""
        return self._errors_before + self._damage.errors

    @property
    def num_frames(self) -> int:
        """Frames that the recording had so far, looked at or not."""
        return self._plan.num_frames

    @property
    def num_skipped(self) -> int:
        """Those of them that were not looked at."""
        return self._plan.num_skipped

    @property
    def last_s(self) -> float:
        """Media time of the last of them."""
        return self._plan.last_s

    def frames(self) -> Iterator[RecordedFrame]:
        """Yield the frames to look at, in order; a damaged packet costs itself, not the rest."""
        waiting: deque[av.Packet[VideoStream]] = deque()
        passing = _Passing() if self._resume is not None else None
        for packet in self._packets():
            if packet.size:
                self._num_packets += 1
                self._plan.read(packet)
            else:  # the last one
                self._plan.end()
            waiting.append(packet)
            if passing is not None:
                if self._pass_by(waiting, passing):
                    continue
                passing = None
                self._forget_errors()
            while waiting and (use := self._use(waiting)) is not None:
                yield from self._decode(waiting.popleft(), use)
        self._plan.finish()

    def _pass_by(self, waiting: deque[av.Packet[VideoStream]], passing: _Passing) -> bool:
        """Drop from `waiting` what lies before the place to go on at; return whether there may be more of it."""
        packet = waiting[-1]
        passing.num_bytes += packet.size
        if not packet.size or not self._plan.is_on:
            return False
        if self._nal_units.is_fresh_start(bytes(packet), new_extradata=packet.has_sidedata("new_extradata")):
            passing.starts.append(packet)
        while passing.starts and self._plan.chosen(start := passing.starts[0]) is not None:
            if start.pts is None or self._plan.is_wanted_before(start.pts) or not self._decoder.is_as_opened:
                return False
            while waiting[0] is not start:
                passing.num_bytes -= waiting.popleft().size
            self._plan.pass_before(start.pts)
            passing.starts.popleft()
        return len(waiting) < MAX_PASSED and passing.num_bytes < MAX_PASSED_BYTES

    def _forget_errors(self) -> None:
        """Count no error that was counted before."""
        if self._resume is not None:
            self._errors_before = self._resume.counts.errors - self._damage.errors

    def _use(self, waiting: Sequence[av.Packet[VideoStream]]) -> Literal["decode", "skip", "drop"] | None:
        """Return what to do with the first packet that waits; None when those behind it are to be read first."""
        head = waiting[0]
        if not head.size:
            return "decode"
        chosen = self._plan.chosen(head)
        if chosen is None:
            return None
        if chosen or not self._selective or head.is_discard or self._damage.suspect:
            return "decode"
        for packet in islice(waiting, 1, MAX_AHEAD):
            wanted = self._plan.chosen(packet) if packet.size else True
            if wanted is None:
                return None
            if packet.is_keyframe and self._nal_units.starts_anew(bytes(packet)):
                return "drop"  # nobody looks at anything up to a packet that owes nothing to any before it
            if wanted or packet.is_discard:
                return "skip"
        return "skip" if len(waiting) >= MAX_AHEAD else None

    def _decode(
        self, packet: av.Packet[VideoStream], use: Literal["decode", "skip", "drop"]
    ) -> Iterator[RecordedFrame]:
        if use == "drop":
            return
        for picture in self._decoder.decode(packet, skippable=use == "skip"):
            corrupt = self._damage.corrupt(picture)
            planned = self._plan.out(picture.pts)
            if self._resume is not None and planned.media_s <= self._resume.media_s:
                self._forget_errors()
            elif planned.chosen:
                turns = quarter_turns(picture.rotation)
                yield RecordedFrame(picture, planned.number, planned.media_s, corrupt, turns)

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
            if promised_s - self.last_s > 1.0:
                cut = f"is cut off at {self.last_s:.1f} s of {promised_s:.1f} s; what there is was processed"
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


class _Passing:
    """What is known while a recording is read up to the place to go on at."""

    def __init__(self) -> None:
        self.starts: deque[av.Packet[VideoStream]] = deque()  # packets to begin at that wait; not all are settled
        self.num_bytes = 0  # of what waits


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
