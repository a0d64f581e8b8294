"""The decoder process of one source, started by `stream.ingest.decoder_process` only.

It imports PyAV and NumPy, never torch. Packets are demuxed and decoded one by one, each under `try`: a damaged one
costs itself, not the rest. Frames are picked by pts, scaled in one pass and written into the shared ring. Decoding runs
on a second thread, since a blocking read in FFmpeg keeps the main thread from everything else.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import NoReturn

import av
import av.logging
from av.video.stream import VideoStream

from hoiclip.types import Canvas
from stream.backoff import Backoff
from stream.decode import wire
from stream.decode.damage import DamageWatch
from stream.decode.decoder_link import DecoderLink
from stream.decode.frame_times import FramePicker, LiveClock, seconds
from stream.decode.opening import SourceFailureError, classify, describe, open_source
from stream.decode.packet_decoder import PacketDecoder
from stream.decode.recording import RecordedFrame, Recording, time_base
from stream.decode.ring import Ring
from stream.decode.sandbox import ResolverWatch, confine
from stream.decode.scaling import CanvasScaler, displayed_size, quarter_turns
from stream.decode.sources import canvas_for
from stream.decode.stretches import ScaledFrame, StretchedRecording

TICK_S = 0.25
RECORDING_HANGS_S = 60.0


class Decoder:
    """Decode one source until it ends or the process does; see the module."""

    def __init__(self, job: wire.Job, ring: Ring, link: DecoderLink) -> None:
        self._settings, self._ring, self._link = job.settings, ring, link
        self._run_started_s = job.run_started_s
        self._resume = job.resume
        self._epoch = job.epoch
        self._last_media_s = job.last_media_s
        self._picker = FramePicker(job.settings.target_fps)
        self._scaler = CanvasScaler()
        self._damage = DamageWatch()  # of a camera; a recording keeps its own
        self._backoff = Backoff(job.settings.backoff_initial_s, job.settings.backoff_max_s)
        self._decoded = self._skipped = self._ring_full = self._stale = self._errors = 0
        self._resolver = ResolverWatch()
        self._progress_s = time.monotonic()
        self._waiting = True  # for a slot, for the time to try again or for the pace: not a hang
        self._connected = self._silent = False

    # The decoding thread.

    def run(self) -> None:
        """Decode; reports every outcome as a message. What nobody foresaw ends the process, which is started again."""
        try:
            if self._settings.live:
                self._run_live()
            self._run_recording()
        except SourceFailureError as failure:
            self._link.send(wire.Failed(failure.reason, failure.detail, self._counts()))
        except BaseException as error:
            print(f"{type(error).__name__}: {describe(error)}", file=sys.stderr, flush=True)
            os._exit(1)

    def _run_recording(self) -> None:
        self._busy()
        settings = self._settings
        read = Recording if settings.threads == 1 else StretchedRecording
        with read(settings, settings.target_fps, self._busy, resume=self._resume) as recording:
            self._send_opened(recording.stream)
            for frame in recording.frames():
                self._take_account(recording)
                self._take_recorded(frame)
            self._take_account(recording)
            if self._decoded == 0:
                raise SourceFailureError("invalid", "holds no frame that can be decoded")
            recording.check_complete()
        self._waiting = True
        self._link.send(wire.Ended(self._last_media_s, self._counts()))

    def _take_account(self, recording: Recording | StretchedRecording) -> None:
        counts, self._last_media_s = recording.counts, recording.last_s
        self._decoded, self._skipped, self._errors = counts.decoded, counts.skipped, counts.errors

    def _take_recorded(self, frame: RecordedFrame | ScaledFrame) -> None:
        self._waiting = True
        slot = self._link.wait_for_slot()
        self._busy()
        if isinstance(frame, RecordedFrame):
            self._deliver(frame.picture, frame.number, frame.media_s, None, slot, frame.corrupt)
            return
        self._ring.frame(slot, frame.canvas)[:] = frame.pixels
        self._send_frame(slot, frame.canvas, frame.size, frame.number, frame.media_s, None, frame.corrupt)

    def _run_live(self) -> NoReturn:
        while True:
            opened_s = time.monotonic()
            try:
                self._run_connection()
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
            if failure.reason == "not_found" and self._resolver.replaced():
                os._exit(0)  # this process may not read the new settings: the next one will
            delay_s = self._backoff.next()
            if not self._silent:  # else it is known already
                self._link.send(wire.Lost(failure.reason, failure.detail, self._counts()))
            self._silent = False
            time.sleep(delay_s)

    def _run_connection(self) -> None:
        """Read a camera until its connection ends, which is always a failure."""
        self._busy()
        container, stream = open_source(self._settings)
        with container:
            self._epoch += 1
            clock = LiveClock(time_base(stream), self._run_started_s, self._last_media_s)
            played = self._settings.scheme is None
            self._send_opened(stream)
            self._connected = True
            started_s, first_pts = time.monotonic(), None
            decoder = PacketDecoder(container, stream, self._settings, self._damage)
            self._busy()
            for packet in container.demux(stream):
                self._packet_arrived()
                for picture in decoder.decode(packet):
                    if played and picture.pts is not None:
                        first_pts = picture.pts if first_pts is None else first_pts
                        self._pause_until(started_s + seconds(picture.pts - first_pts, time_base(stream)))
                    at = clock.at(picture.pts, time.monotonic())
                    self._take_live(picture, at.media_s, at.captured_s)
                self._busy()

    def _take_live(self, picture: av.VideoFrame, media_s: float, captured_s: float | None) -> None:
        self._decoded += 1
        corrupt = self._damage.corrupt(picture)
        self._errors = self._damage.errors
        self._last_media_s = media_s
        if not self._picker.choose(media_s):
            self._skipped += 1
        elif captured_s is not None and time.monotonic() - captured_s > self._settings.staleness_s:
            self._stale += 1
        elif (slot := self._link.take_slot()) is None:
            self._ring_full += 1
        else:
            self._deliver(picture, self._decoded - 1, media_s, captured_s, slot, corrupt)

    def _deliver(
        self, picture: av.VideoFrame, index: int, media_s: float, captured_s: float | None, slot: int, corrupt: bool
    ) -> None:
        turns = quarter_turns(picture.rotation)
        width, height = displayed_size(picture, turns)
        canvas = canvas_for(width, height, self._settings.canvases)
        try:
            self._scaler.write(picture, turns, self._ring.frame(slot, canvas))
        except BaseException:
            self._link.put_back(slot)
            raise
        self._send_frame(slot, canvas, (width, height), index, media_s, captured_s, corrupt)

    def _send_frame(
        self,
        slot: int,
        canvas: Canvas,
        size: tuple[int, int],
        index: int,
        media_s: float,
        captured_s: float | None,
        corrupt: bool,
    ) -> None:
        width, height = size
        frame = wire.Frame(
            slot=slot,
            index=index,
            media_s=media_s,
            captured_s=captured_s,
            width=width,
            height=height,
            canvas=canvas,
            corrupt=corrupt,
            epoch=self._epoch,
            counts=self._counts(),
        )
        self._link.send(frame, may_wait=not self._settings.live)

    def _send_opened(self, stream: VideoStream) -> None:
        opened = wire.Opened(
            epoch=self._epoch,
            width=stream.width,
            height=stream.height,
            fps=float(stream.average_rate) if stream.average_rate else None,
            codec=stream.codec_context.name,
            duration_s=max(0.0, seconds(stream.duration, time_base(stream))) if stream.duration else None,
        )
        self._link.send(opened)

    def _pause_until(self, monotonic_s: float) -> None:
        delay_s = monotonic_s - time.monotonic()
        if delay_s > 0:
            self._waiting = True
            time.sleep(delay_s)
            self._busy()

    def _busy(self) -> None:
        self._progress_s = time.monotonic()
        self._waiting = False

    def _packet_arrived(self) -> None:
        self._progress_s = time.monotonic()
        if self._silent:
            self._silent = False
            self._link.send(wire.Resumed(self._counts()))

    def _counts(self) -> wire.Counts:
        return wire.Counts(self._decoded, self._skipped, self._errors, self._ring_full, self._stale)

    # The main thread.

    def tick(self) -> None:
        """Tell the pipeline that this process lives; report silence, end the process when FFmpeg hangs."""
        self._link.send(wire.Alive())
        if self._waiting:
            return
        silent_s = time.monotonic() - self._progress_s
        timeout_s = self._settings.timeout_s
        if self._connected and not self._silent and silent_s > timeout_s:
            self._silent = True  # FFmpeg's own timeout takes about twice as long
            self._link.send(wire.Lost("stalled", f"no data for {timeout_s:g} s", None))
        if silent_s > (4 * timeout_s + 5 if self._settings.live else RECORDING_HANGS_S):
            os._exit(wire.HUNG_EXIT_CODE)  # the supervisor starts a new process


def main() -> None:
    """Take the job from standard input, decode, and leave when the pipeline closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pipeline's to handle
    messages_fd = os.dup(1)
    os.dup2(2, 1)  # whatever prints must not mix with messages
    job = wire.decode_job(_read_line(0))
    ring = Ring(job.settings.slots, job.settings.slot_bytes, job.ring_fd)
    confine(job.settings)
    link = DecoderLink(messages_fd, 0, [slot for slot in range(job.settings.slots) if slot not in job.busy_slots])
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    decoder = Decoder(job, ring, link)
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
