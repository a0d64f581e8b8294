"""Annotated video: a second pass over the full-size frames that draws what the tracker saw."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from hoiclip.annotate import DrawnPair, draw_pairs
from hoiclip.files import replacing
from stream.decode.recording import RecordedFrame, Recording
from stream.decode.sources import SourceSettings
from stream.recordings.drawn_layout import DrawnLayout
from stream.track.transitions import PairView
from stream.zones.layout import Layout

View = tuple[float, list[PairView]]  # media time, what to draw from then on
_HOLD_S = 1.0  # a view is drawn for at most this long
_FADE_S = 1.0  # a pair that is not seen any more has faded after this long


def render_annotated(
    settings: SourceSettings,
    target: Path,
    views: Sequence[View],
    stop: threading.Event | None = None,
    *,
    layout: Layout | None = None,
    max_width: int = 1280,
    progress: Callable[[float], None] | None = None,
) -> bool:
    """Write `target` (H.264 MP4) with `layout` and the pairs of `views` drawn on every frame of the recording.

    Frames keep their times; pictures wider than `max_width` px are scaled down. A pair that is not seen is dashed, and
    fades within a second. `progress` gets the media time. Returns False, with nothing written, when `stop` was set.
    Raises OSError when the file cannot be written.
    """
    drawn = DrawnViews(views)
    try:
        with replacing(target) as part:
            _write(
                settings, part, drawn, DrawnLayout(layout or Layout()), stop or threading.Event(), max_width, progress
            )
    except _StoppedError:
        return False
    return True


class _StoppedError(Exception):
    """Drawing was stopped."""


def _write(
    settings: SourceSettings,
    part: Path,
    drawn: DrawnViews,
    layout: DrawnLayout,
    stop: threading.Event,
    max_width: int,
    progress: Callable[[float], None] | None,
) -> None:
    with Recording(settings) as recording, av.open(str(part), "w", format="mp4") as out:
        encoder: VideoStream | None = None
        last_tick = -1
        for frame in recording.frames():
            if stop.is_set():
                raise _StoppedError
            picture = _upright(frame, max_width)
            scale = picture.shape[1] / frame.size[0]
            picture = draw_pairs(layout.on(picture), drawn.at(frame.media_s, scale))
            if encoder is None:
                encoder = _encoder(out, picture, recording.stream)
            made = VideoFrame.from_ndarray(picture, format="rgb24").reformat(encoder.width, encoder.height, "yuv420p")
            tick = max(last_tick + 1, round(frame.media_s * 1000))
            made.pts, made.time_base, last_tick = tick, Fraction(1, 1000), tick
            out.mux(encoder.encode(made))
            if progress:
                progress(frame.media_s)
        if encoder is not None:
            out.mux(encoder.encode(None))


class DrawnViews:
    """What to draw at any time, from what the tracker saw at some."""

    def __init__(self, views: Sequence[View]) -> None:
        self._times = [time for time, _ in views]
        self._views: list[list[tuple[PairView, float]]] = []  # with the time at which the pair was last seen
        seen_s: dict[int, float] = {}
        for time, pairs in views:
            seen_s = {pair.pair_id: time if pair.is_seen else seen_s.get(pair.pair_id, time) for pair in pairs}
            self._views.append([(pair, seen_s[pair.pair_id]) for pair in pairs if pair.interactions])

    def at(self, seconds: float, scale: float = 1.0) -> list[DrawnPair]:
        """Return the pairs with open interactions at media time `seconds`, boxes times `scale`."""
        index = bisect.bisect_right(self._times, seconds + 1e-6) - 1
        if index < 0 or seconds - self._times[index] > _HOLD_S:
            return []
        return [
            DrawnPair(
                [v * scale for v in view.human_box_xyxy_px],
                [v * scale for v in view.object_box_xyxy_px],
                tuple(f"{name} {score:.2f}" for name, score in view.interactions),
                view.pair_id,
                1.0 if view.is_seen else max(0.0, 1.0 - (seconds - seen_s) / _FADE_S),
                not view.is_seen,
            )
            for view, seen_s in self._views[index]
        ]


def _encoder(
    out: av.container.OutputContainer, picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], stream: VideoStream
) -> VideoStream:
    rate = stream.average_rate or Fraction(25)
    encoder = out.add_stream("libx264", rate=rate, options={"crf": "23", "preset": "veryfast"})
    encoder.width, encoder.height = picture.shape[1] // 2 * 2, picture.shape[0] // 2 * 2
    encoder.pix_fmt = "yuv420p"
    encoder.codec_context.time_base = Fraction(1, 1000)
    return encoder


def _upright(frame: RecordedFrame, max_width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    scale = min(1.0, max_width / frame.size[0])
    stored = frame.picture
    pixels = stored.reformat(round(stored.width * scale), round(stored.height * scale), "rgb24").to_ndarray()
    return np.ascontiguousarray(np.rot90(pixels, frame.quarter_turns))
