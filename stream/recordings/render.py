"""Annotated video: a second pass over the full-size frames that draws what the tracker saw."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from hoiclip.annotate import DrawnPair, draw_pairs
from stream.decode.frame_times import RecordingClock
from stream.decode.opening import open_source
from stream.decode.sources import SourceSettings
from stream.track.tracker import PairView

View = tuple[float, list[PairView]]  # media time, what to draw from then on
_HOLD_S = 1.0  # a view is drawn for at most this long


def render_annotated(
    settings: SourceSettings,
    target: Path,
    views: Sequence[View],
    *,
    max_width: int = 1280,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write `target` (H.264 MP4) with the pairs of `views` drawn on every frame of the recording.

    Frames keep their times; pictures wider than `max_width` px are scaled down. `progress` gets the media time.
    """
    times = [time for time, _ in views]
    part = target.with_name(f"{target.stem}.part.mp4")
    container, stream = open_source(settings)
    clock = RecordingClock(_time_base(stream), stream.start_time, stream.average_rate)
    with container, av.open(str(part), "w") as out:
        encoder: VideoStream | None = None
        last_tick = -1
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue  # the first pass has counted it
            for frame in frames:
                seconds = clock.at(frame.pts).media_s
                picture = _upright(frame, max_width)
                picture = draw_pairs(picture, _pairs_at(views, times, seconds, picture.shape[1], frame))
                if encoder is None:
                    encoder = _encoder(out, picture, stream)
                made = VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                    encoder.width, encoder.height, "yuv420p"
                )
                tick = max(last_tick + 1, round(seconds * 1000))
                made.pts, made.time_base, last_tick = tick, Fraction(1, 1000), tick
                out.mux(encoder.encode(made))
                if progress:
                    progress(seconds)
        if encoder is not None:
            out.mux(encoder.encode(None))
    part.replace(target)


def _time_base(stream: VideoStream) -> Fraction:
    base = stream.time_base
    return Fraction(base.numerator, base.denominator) if base else Fraction(1, 1000)


def _encoder(
    out: av.container.OutputContainer, picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], stream: VideoStream
) -> VideoStream:
    rate = stream.average_rate or Fraction(25)
    encoder = out.add_stream("libx264", rate=rate, options={"crf": "23", "preset": "veryfast"})
    encoder.width, encoder.height = picture.shape[1] // 2 * 2, picture.shape[0] // 2 * 2
    encoder.pix_fmt = "yuv420p"
    encoder.codec_context.time_base = Fraction(1, 1000)
    return encoder


def _upright(frame: VideoFrame, max_width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    turns = round(frame.rotation / 90) % 4
    shown_width = frame.height if turns % 2 else frame.width
    scale = min(1.0, max_width / shown_width)
    pixels = frame.reformat(round(frame.width * scale), round(frame.height * scale), "rgb24").to_ndarray()
    return np.ascontiguousarray(np.rot90(pixels, turns))


def _pairs_at(
    views: Sequence[View], times: Sequence[float], seconds: float, drawn_width: int, frame: VideoFrame
) -> list[DrawnPair]:
    index = bisect.bisect_right(times, seconds + 1e-6) - 1
    if index < 0 or seconds - times[index] > _HOLD_S:
        return []
    source_width = frame.height if round(frame.rotation / 90) % 2 else frame.width
    scale = drawn_width / source_width
    return [
        DrawnPair(
            [v * scale for v in view.human_box_xyxy_px],
            [v * scale for v in view.object_box_xyxy_px],
            tuple(f"{name} {score:.2f}" for name, score in view.interactions),
            view.pair_id,
        )
        for view in views[index][1]
        if view.interactions
    ]
