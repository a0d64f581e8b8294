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
from stream.decode.wire import Counts, Resume

MAX_BAD_READS: Final = 100  # damaged reads in a row, after which a recording is given up
MAX_AHEAD: Final = 300  # packets that are read before the first of them is decoded
MAX_PASSED: Final = 3_000  # packets that wait for a start behind them, where a recording goes on in its middle
MAX_PASSED_BYTES: Final = 1 << 26
STRETCH_S: Final = 2.0  # of media, at least
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


class Share(NamedTuple):
    """Of the stretches of a recording every `of`-th, beginning with the number `first`."""

    first: int
    of: int


class StretchBegin(NamedTuple):
    """The first stretch of a recording, whoever decodes it."""

    number: int


class StretchEnd(NamedTuple):
    """All frames of a stretch have come; its counts are those of the stretch alone."""

    counts: Counts
    last_s: float  # media time of its last frame, looked at or not


class Recording:
    """An open recording; a context manager.

    Frames come about `target_fps` a second, or all of them for None; the others are decoded only where one that is
    looked at is made from them. `selective=False` decodes all, to the same end. With `resume` the frames after that
    place come, with the pixels, numbers and counts that they would have had: everything is read, and decoded from the
    beginning of their stretch on (see `frames_of`). `progress` is called whenever FFmpeg has come back with something.
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
        self._starts: deque[av.Packet[VideoStream]] = deque()  # packets that a decoder may begin with, not settled yet
        self._is_whole = True  # so far everything could be read, and is of one codec
        self._stretch, self._stretch_s = 0, 0.0  # number of the stretch that is read, and where it begins
        self._begun = _Stretch(0, None)  # the stretch that frames come from
        self._begun.before = resume.counts if resume else Counts()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._container.close()

    @property
    def stretch_counts(self) -> Counts:
        """The counts of the stretch under way, with the frame that `frames_of` has yielded last."""
        return self._counts_since(self._begun)

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
    def counts(self) -> Counts:
        """Frames so far, those not looked at, and errors."""
        return Counts(self.num_frames, self.num_skipped, self.errors)

    @property
    def last_s(self) -> float:
        """Media time of the last of them."""
        return self._plan.last_s

    def frames(self) -> Iterator[RecordedFrame]:
        """Yield the frames to look at, in order; a damaged packet costs itself, not the rest."""
        for item in self.frames_of(None):
            if isinstance(item, RecordedFrame):
                yield item

    def frames_of(self, share: Share | None) -> Iterator[RecordedFrame | StretchBegin | StretchEnd]:
        """Yield the frames to look at of some stretches, or of all for None.

        A recording is cut into stretches at packets that a decoder may begin with, at least `STRETCH_S` apart, and each
        is decoded by itself: what comes does not depend on who decoded the one before. Where they lie is the same for
        everybody who reads the recording: everything is read, and only the share is decoded. First comes the number of
        the first stretch, and an end after each one of the share.
        """
        waiting: deque[av.Packet[VideoStream]] = deque()
        is_passing = self._resume is not None
        has_begun = False
        begins: deque[_Stretch] = deque()  # that were found and not reached yet
        for packet in self._packets():
            self._read(packet, waiting)
            for start in self._settled_starts(packet):
                if is_passing and self._is_wanted_before(start):
                    is_passing = False
                    self._forget_errors()
                if self._begins_stretch(start):
                    if is_passing:
                        self._pass_by(start, waiting)
                    else:
                        begins.append(_Stretch(self._stretch, start))
            if is_passing:
                is_passing = packet.size > 0 and self._plan.is_on and _is_little(waiting)
                if is_passing:
                    continue
                self._forget_errors()
            if not has_begun:
                has_begun = True
                self._begun.number = begins[0].number - 1 if begins else self._stretch
                yield StretchBegin(self._begun.number)
            while waiting:
                if begins and waiting[0] is begins[0].start:
                    if self._begun.is_in(share):
                        yield from self._end_stretch(begins[0])
                    self._begin_stretch(begins.popleft())
                if not self._begun.is_in(share):
                    if self._starts and waiting[0] is self._starts[0]:
                        break  # the next stretch may begin here
                    waiting.popleft()
                    if not begins:
                        self._plan.finish()
                elif (use := self._use(waiting)) is not None:
                    yield from self._decode(waiting.popleft(), use)
                else:
                    break
        self._plan.finish()
        if self._begun.is_in(share):
            yield StretchEnd(self.stretch_counts, self.last_s)

    def _read(self, packet: av.Packet[VideoStream], waiting: deque[av.Packet[VideoStream]]) -> None:
        if packet.size:
            self._num_packets += 1
            self._plan.read(packet)
        else:  # the last one
            self._plan.end()
        waiting.append(packet)

    def _settled_starts(self, packet: av.Packet[VideoStream]) -> list[av.Packet[VideoStream]]:
        """Take in the packet that was just read; return those to begin with whose frames are settled by it."""
        if packet.size and self._nal_units.is_fresh_start(
            bytes(packet), new_extradata=packet.has_sidedata("new_extradata")
        ):
            self._starts.append(packet)
        found = []
        while self._starts and self._plan.chosen(self._starts[0]) is not None:
            start = self._starts.popleft()
            self._is_whole = self._is_whole and self._plan.is_on and self._decoder.is_as_opened
            if self._is_whole and start.pts is not None:
                found.append(start)
        return found

    def _begins_stretch(self, start: av.Packet[VideoStream]) -> bool:
        """Return whether a settled start begins a stretch, and count that."""
        assert start.pts is not None
        media_s = self._plan.media_s(start.pts)
        if media_s is None or media_s - self._stretch_s < STRETCH_S:
            return False
        self._stretch, self._stretch_s = self._stretch + 1, media_s
        return True

    def _is_wanted_before(self, start: av.Packet[VideoStream]) -> bool:
        assert start.pts is not None
        return self._plan.is_wanted_before(start.pts)

    def _pass_by(self, start: av.Packet[VideoStream], waiting: deque[av.Packet[VideoStream]]) -> None:
        """Drop the stretches before a settled start."""
        assert start.pts is not None
        while waiting[0] is not start:
            waiting.popleft()
        self._plan.pass_before(start.pts)

    def _end_stretch(self, following: _Stretch) -> Iterator[RecordedFrame | StretchEnd]:
        """Yield what the decoder still holds of the stretch under way, and its end."""
        assert following.start is not None and following.start.pts is not None
        for picture in self._decoder.drain():
            yield from self._came_out(picture)
        self._plan.pass_before(following.start.pts)
        yield StretchEnd(self.stretch_counts, self.last_s)

    def _begin_stretch(self, stretch: _Stretch) -> None:
        assert stretch.start is not None and stretch.start.pts is not None
        self._plan.pass_before(stretch.start.pts)
        self._damage.begin()
        stretch.before = Counts(self.num_frames, self.num_skipped, self.errors)
        self._begun = stretch

    def _counts_since(self, stretch: _Stretch) -> Counts:
        before = stretch.before
        return Counts(self.num_frames - before.decoded, self.num_skipped - before.skipped, self.errors - before.errors)

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
            yield from self._came_out(picture)

    def _came_out(self, picture: av.VideoFrame) -> Iterator[RecordedFrame]:
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
                self._is_whole = False
                bad += 1
                if bad > MAX_BAD_READS:
                    raise SourceFailureError("invalid", f"cannot be read further: {describe(error)}") from error

    def check_complete(self, last_s: float | None = None) -> None:
        """Raise SourceFailureError if the index promises at least a second more than came.

        `last_s` is the time of the last frame, where others decoded a part.
        """
        last_s = self.last_s if last_s is None else last_s
        promised = self.stream.frames
        if promised and self.stream.duration and self._num_packets < promised - max(2, promised // 100):
            promised_s = seconds(self.stream.duration, time_base(self.stream))
            if promised_s - last_s > 1.0:
                cut = f"is cut off at {last_s:.1f} s of {promised_s:.1f} s; what there is was processed"
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


class _Stretch:
    """A stretch that is found or under way."""

    def __init__(self, number: int, start: av.Packet[VideoStream] | None) -> None:
        self.number = number
        self.start = start  # its first packet; None for the one that reading begins with
        self.before = Counts()  # when it began

    def is_in(self, share: Share | None) -> bool:
        """Return whether the stretch belongs to a share."""
        return share is None or self.number % share.of == share.first


def _is_little(waiting: Sequence[av.Packet[VideoStream]]) -> bool:
    """Return whether more packets may be kept waiting."""
    if len(waiting) % 64:  # a look now and then is enough
        return True
    return len(waiting) < MAX_PASSED and sum(packet.size for packet in waiting) < MAX_PASSED_BYTES


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
