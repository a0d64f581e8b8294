"""Decide which frames of a recording to look at before they are decoded, by the times that its packets carry.

A frame that nobody looks at and that no other is made from need not be decoded. Which frames those are is known early:
a packet's decoding time tells that no later packet shows anything before it, so all frames up to there are settled, in
the order in which they are shown. The choice is the one that decoding everything would give; where the packets' times
say too little (none, repeated, out of order), frames are chosen as they come out of the decoder instead.
"""

from __future__ import annotations

import bisect
import math
from collections import deque
from typing import NamedTuple, Protocol

from stream.decode.frame_times import FramePicker, RecordingClock
from stream.decode.wire import Resume


class PacketTimes(Protocol):
    """What a packet says about its frame."""

    @property
    def pts(self) -> int | None:
        """When it is shown."""
        ...

    @property
    def dts(self) -> int | None:
        """When it is decoded; grows from packet to packet."""
        ...

    @property
    def is_discard(self) -> bool:
        """Whether its frame is decoded for others and never shown."""
        ...


class PlannedFrame(NamedTuple):
    """A frame in the order in which frames are shown."""

    number: int  # counts the recording's frames, from 0
    media_s: float
    chosen: bool


class FramePlan:
    """Settles frames from packets in the order of decoding, and hands them out in that of showing.

    With `resume` frames up to there are counted as they were when they were delivered.
    """

    def __init__(self, clock: RecordingClock, picker: FramePicker, enabled: bool, resume: Resume | None = None) -> None:
        self._clock, self._picker, self._resume = clock, picker, resume
        self._on = enabled
        self._unsettled: list[int] = []  # pts, sorted
        self._settled: deque[int] = deque()  # pts in order of showing, not handed out yet
        self._frames: dict[int, PlannedFrame] = {}  # of those
        self._latest_dts: int | None = None
        self._first_pts: int | None = None
        self._settled_pts: int | None = None  # the last
        self._count = 0
        self.num_frames = self.num_skipped = 0  # handed out or passed by
        self.last_s = 0.0  # time of the last of them

    @property
    def is_on(self) -> bool:
        """Whether frames are still chosen before they are decoded."""
        return self._on

    def read(self, packet: PacketTimes) -> None:
        """Take note of the next packet in the order of decoding."""
        if not self._on or packet.is_discard:
            return
        pts, dts = packet.pts, packet.dts
        if pts is None or dts is None or not self._fits(pts, dts):
            self._on = False  # from here on frames are chosen as they come out; those that are settled stay so
            self._unsettled.clear()
            return
        self._first_pts = pts if self._first_pts is None else self._first_pts
        self._latest_dts = dts
        bisect.insort(self._unsettled, pts)
        while self._unsettled and self._unsettled[0] <= dts:
            self._settle()

    def _fits(self, pts: int, dts: int) -> bool:
        """Return whether a packet's times go on from those before, as those of a sound file do."""
        if self._latest_dts is None or self._first_pts is None:
            return pts >= dts
        settled = self._settled_pts is not None and pts <= self._settled_pts
        return self._latest_dts < dts <= pts > self._first_pts and not settled and pts not in self._unsettled

    def _settle(self) -> None:
        pts = self._unsettled.pop(0)
        self._frames[pts] = self._next(pts)
        self._settled.append(pts)
        self._settled_pts = pts

    def _next(self, pts: int | None) -> PlannedFrame:
        media_s = self._clock.at(pts).media_s
        frame = PlannedFrame(self._count, media_s, self._picker.choose(media_s))
        self._count += 1
        return frame

    def end(self) -> None:
        """No packet follows: everything is settled."""
        while self._unsettled:
            self._settle()

    def chosen(self, packet: PacketTimes) -> bool | None:
        """Return whether the frame of a packet that was read will be looked at; None while that is not known.

        A frame that is not planned may be.
        """
        if packet.pts is not None and packet.pts in self._unsettled:
            return None
        frame = self._frames.get(packet.pts) if packet.pts is not None else None
        return frame is None or frame.chosen

    def out(self, pts: int | None) -> PlannedFrame:
        """Return what was planned for a frame that has come out of the decoder; those before it are passed by."""
        if pts is not None and pts in self._frames:
            while (passed := self._settled.popleft()) != pts:
                self._pass(self._frames.pop(passed))
            frame = self._frames.pop(pts)
        else:
            frame = self._next(pts)
        self._take_account(frame)
        return frame

    def media_s(self, pts: int) -> float | None:
        """Return the time of a settled frame that was not handed out yet; None for another."""
        frame = self._frames.get(pts)
        return frame.media_s if frame else None

    def is_wanted_before(self, pts: int) -> bool:
        """Return whether a settled frame that is shown before `pts` will be looked at, and was not before."""
        since_s = self._resume.media_s if self._resume else -math.inf
        frames = (self._frames[settled] for settled in self._settled if settled < pts)
        return any(frame.chosen and frame.media_s > since_s for frame in frames)

    def pass_before(self, pts: int) -> None:
        """Pass by the settled frames that are shown before `pts`."""
        while self._settled and self._settled[0] < pts:
            self._pass(self._frames.pop(self._settled.popleft()))

    def finish(self) -> None:
        """Pass by what never came out."""
        while self._settled:
            self._pass(self._frames.pop(self._settled.popleft()))

    def _pass(self, frame: PlannedFrame) -> None:
        is_resumed = self._resume is not None and frame.media_s <= self._resume.media_s
        if is_resumed or not frame.chosen:  # a chosen one that did not come out was lost to damage
            self._take_account(frame)

    def _take_account(self, frame: PlannedFrame) -> None:
        if self._resume is not None and frame.media_s <= self._resume.media_s:  # counted when it was delivered
            self.num_frames, self.num_skipped = self._resume.counts.decoded, self._resume.counts.skipped
        else:
            self.num_frames += 1
            self.num_skipped += not frame.chosen
        self.last_s = frame.media_s
