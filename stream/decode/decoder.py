"""The decoder process of one source: `python -m stream.decode.decoder`, started by `stream.ingest.supervisor` only.

It imports PyAV and numpy, never torch. Packets are demuxed and decoded one by one, each under `try`: a damaged one
costs itself, not the rest. Frames are picked by pts, scaled in one pass and written into the shared ring. Decoding runs
on a second thread, since a blocking read in FFmpeg keeps the main thread from everything else.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, NoReturn

import av
import av.logging
from av.container import InputContainer
from av.video.stream import VideoStream

from stream.backoff import Backoff
from stream.decode.damage import DamageWatch
from stream.decode.decoder_link import DecoderLink
from stream.decode.frame_times import FramePicker, FrameTime, LiveClock, Rational, RecordingClock, seconds
from stream.decode.opening import SourceFailureError, classify, describe, open_source
from stream.decode.packet_decoder import PacketDecoder
from stream.decode.ring import Ring
from stream.decode.scaling import CanvasScaler, displayed_size, quarter_turns
from stream.decode.sources import SourceSettings, canvas_for

TICK_S = 0.25
MAX_BAD_READS = 100  # damaged reads in a row, after which a recording is given up
HUNG_EXIT_CODE = 75  # known to `stream.ingest.decoder_process`


class Decoder:
    """Decode one source until it ends or the process does; see the module."""

    def __init__(self, settings: SourceSettings, ring: Ring, link: DecoderLink, job: dict[str, Any]) -> None:
        self._settings, self._ring, self._link = settings, ring, link
        self._run_started_s: float = job["run_started_s"]
        self._resume_after: int = job["resume_after"]  # recordings: frames that a crashed decoder already delivered
        self._epoch: int = job["epoch"]
        self._last_media_s: float = job["last_media_s"]
        self._picker = FramePicker(settings.target_fps)
        self._scaler = CanvasScaler()
        self._damage = DamageWatch()
        self._backoff = Backoff(settings.backoff_initial_s, settings.backoff_max_s)
        self.decoded = self.skipped = 0
        self.dropped = {"ring_full": 0, "stale": 0}
        self._progress_s = time.monotonic()
        self._waiting = True  # for a slot, for the time to try again or for the pace: not a hang
        self._connected = self._silent = False

    # The decoding thread.

    def run(self) -> None:
        """Decode; reports every outcome as a message."""
        try:
            if self._settings.live:
                self._run_live()
            else:
                self._run_recording()
        except SourceFailureError as failure:
            self._link.send("failed", reason=failure.reason, detail=failure.detail, **self._counts())
        except Exception as error:
            self._link.send("failed", reason="failed", detail=describe(error), **self._counts())
            raise

    def _run_recording(self) -> None:
        self._busy()
        container, stream = open_source(self._settings)
        with container:
            clock = RecordingClock(_time_base(stream), stream.start_time, stream.average_rate)
            self._opened(stream)
            packets, decoder = 0, PacketDecoder(container, stream, self._settings, self._damage)
            for packet in self._packets(container, stream):
                packets += packet.size > 0
                for frame in decoder.decode(packet):
                    self._recording_frame(frame, clock.at(frame.pts))
            if self.decoded == 0:
                raise SourceFailureError("invalid", "holds no frame that can be decoded")
            self._check_complete(stream, packets)
        self._waiting = True
        self._link.send("ended", media_s=self._last_media_s, **self._counts())

    def _check_complete(self, stream: VideoStream, packets: int) -> None:
        """Raise if the index promises at least a second more than there was."""
        if stream.frames and stream.duration and packets < stream.frames - max(2, stream.frames // 100):
            promised_s = seconds(stream.duration, _time_base(stream))
            if promised_s - self._last_media_s > 1.0:
                raise SourceFailureError(
                    "truncated",
                    f"is cut off at {self._last_media_s:.1f} s of {promised_s:.1f} s; what there is was processed",
                )

    def _run_live(self) -> NoReturn:
        while True:
            opened_s = time.monotonic()
            try:
                self._connection()
                failure = SourceFailureError("end_of_stream", "the camera ended the stream")
            except SourceFailureError as error:
                failure = error
            except (av.error.FFmpegError, OSError) as error:
                failure = classify(error)
            self._waiting = True
            if self._settings.scheme is None and failure.reason == "end_of_stream":
                continue  # a file that plays as a camera begins again
            if self._connected and time.monotonic() - opened_s > 5.0:
                self._backoff.reset()
            self._connected = False
            delay_s = self._backoff.next()
            if not self._silent:  # else it is known already
                self._link.send("lost", reason=failure.reason, detail=failure.detail, **self._counts())
            self._silent = False
            time.sleep(delay_s)

    def _connection(self) -> None:
        self._busy()
        container, stream = open_source(self._settings)
        with container:
            self._epoch += 1
            clock = LiveClock(_time_base(stream), self._run_started_s, self._last_media_s)
            played = self._settings.scheme is None
            self._opened(stream)
            self._connected = True
            started_s, first_pts = time.monotonic(), None
            decoder = PacketDecoder(container, stream, self._settings, self._damage)
            for packet in self._packets(container, stream):
                for frame in decoder.decode(packet):
                    if played and frame.pts is not None:
                        first_pts = frame.pts if first_pts is None else first_pts
                        self._pause_until(started_s + seconds(frame.pts - first_pts, _time_base(stream)))
                    self._live_frame(frame, clock.at(frame.pts, time.monotonic()))

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[av.Packet[VideoStream]]:
        bad = 0
        while True:
            self._busy()
            try:
                for packet in container.demux(stream):
                    bad = 0
                    self._heard()
                    yield packet
                    self._busy()
                return
            except (av.error.FFmpegError, OSError) as error:
                if self._settings.live:
                    raise
                self._damage.error()
                bad += 1
                if bad > MAX_BAD_READS:
                    raise SourceFailureError("invalid", f"cannot be read further: {describe(error)}") from error

    def _recording_frame(self, frame: av.VideoFrame, at: FrameTime) -> None:
        self.decoded += 1
        corrupt = self._damage.corrupt(frame)
        self._last_media_s = at.media_s
        if not self._picker.choose(at.media_s):
            self.skipped += 1
        elif self._resume_after > 0:
            self._resume_after -= 1
        else:
            self._waiting = True
            slot = self._link.wait_for_slot()
            self._busy()
            self._deliver(frame, at, slot, corrupt)

    def _live_frame(self, frame: av.VideoFrame, at: FrameTime) -> None:
        self.decoded += 1
        corrupt = self._damage.corrupt(frame)
        self._last_media_s = at.media_s
        if not self._picker.choose(at.media_s):
            self.skipped += 1
        elif at.captured_s is not None and time.monotonic() - at.captured_s > self._settings.staleness_s:
            self.dropped["stale"] += 1
        elif (slot := self._link.take_slot()) is None:
            self.dropped["ring_full"] += 1
        else:
            self._deliver(frame, at, slot, corrupt)

    def _deliver(self, frame: av.VideoFrame, at: FrameTime, slot: int, corrupt: bool) -> None:
        turns = quarter_turns(frame.rotation)
        width, height = displayed_size(frame, turns)
        canvas = canvas_for(width, height, self._settings.canvases)
        try:
            self._scaler.write(frame, turns, self._ring.frame(slot, canvas))
        except BaseException:
            self._link.put_back(slot)
            raise
        self._link.send(
            "frame",
            may_wait=not self._settings.live,
            slot=slot,
            index=self.decoded - 1,
            media_s=at.media_s,
            captured_s=at.captured_s,
            width=width,
            height=height,
            canvas=canvas,
            corrupt=corrupt,
            epoch=self._epoch,
            **self._counts(),
        )

    def _opened(self, stream: VideoStream) -> None:
        self._link.send(
            "opened",
            epoch=self._epoch,
            width=stream.width,
            height=stream.height,
            fps=float(stream.average_rate) if stream.average_rate else None,
            codec=stream.codec_context.name,
            duration_s=seconds(stream.duration, _time_base(stream)) if stream.duration else None,
        )

    def _pause_until(self, monotonic_s: float) -> None:
        delay_s = monotonic_s - time.monotonic()
        if delay_s > 0:
            self._waiting = True
            time.sleep(delay_s)
            self._busy()

    def _busy(self) -> None:
        self._progress_s = time.monotonic()
        self._waiting = False

    def _heard(self) -> None:
        self._progress_s = time.monotonic()
        if self._silent:
            self._silent = False
            self._link.send("resumed", **self._counts())

    def _counts(self) -> dict[str, Any]:
        counts = {"decoded": self.decoded, "skipped": self.skipped, "dropped": dict(self.dropped)}
        return {**counts, "errors": self._damage.errors}

    # The main thread.

    def tick(self) -> None:
        """Tell the pipeline that this process lives; report silence, end the process when FFmpeg hangs."""
        self._link.send("alive")  # without counts: the other thread may be in the middle of a frame
        if self._waiting:
            return
        silent_s = time.monotonic() - self._progress_s
        timeout_s = self._settings.timeout_s
        if self._connected and not self._silent and silent_s > timeout_s:
            self._silent = True  # FFmpeg's own timeout takes about twice as long
            self._link.send("lost", reason="stalled", detail=f"no data for {timeout_s:g} s")
        if silent_s > (4 * timeout_s + 5 if self._settings.live else 60.0):
            os._exit(HUNG_EXIT_CODE)  # the supervisor starts a new process


def _time_base(stream: VideoStream) -> Rational:
    assert stream.time_base is not None
    return stream.time_base


def main() -> None:
    """Take the job from standard input, decode, and leave when the pipeline closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pipeline's to handle
    messages_fd = os.dup(1)
    os.dup2(2, 1)  # whatever prints must not mix with messages
    job = json.loads(_read_line(0))
    settings = SourceSettings.from_json(job["settings"])
    ring = Ring(settings.slots, settings.slot_bytes, job["ring_fd"])
    link = DecoderLink(messages_fd, 0, [slot for slot in range(settings.slots) if slot not in job["busy_slots"]])
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    decoder = Decoder(settings, ring, link, job)
    threading.Thread(target=decoder.run, name="decoder", daemon=True).start()
    try:
        link.serve(TICK_S, decoder.tick)
    finally:
        sys.stderr.flush()
        os._exit(0)  # without waiting for a thread that may hang in a read


def _read_line(fd: int) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(fd, 1)
        if not byte:
            os._exit(0)
        line += byte
    return bytes(line)


if __name__ == "__main__":
    main()
