"""Pictures of events that are wrong: the frame with the told and the true boxes, and the scores over time."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from hoiclip.calibration import smooth
from hoiclip.classifier import TextClassifier
from hoiclip.errors import InputError
from hoiclip.evaluation.event_charts import TOLD_COLOUR, TRUE_COLOUR, Moment, ScoreLine, Span, score_chart
from hoiclip.evaluation.event_errors import (
    FALSE_CAUSES,
    MISSED_CAUSES,
    EventErrors,
    FalseEvent,
    MissedInteraction,
)
from hoiclip.evaluation.event_types import MIN_HUMAN_IOU, Box, PredictedEvent, TrueInteraction, TrueVideo, who
from hoiclip.evaluation.overlap import paired_iou
from hoiclip.evaluation.pair_tracking import boxes_at, line_of
from hoiclip.types import Canvas
from hoiclip.vocabulary import spoken
from stream.recordings.clip_frames import read_clip
from stream.recordings.replay import PairFrame
from stream.track.tracker import TrackerSettings

WIDTH = 620  # of a frame in the report, in pixels
SHOWN_S = 0.5  # a told box is drawn for so long before and after its event
AROUND_S = 3.0  # how much of the time around an error is charted

Error = MissedInteraction | FalseEvent
BoxAt = Callable[[float], Box | None]


@dataclass(frozen=True)
class ErrorPicture:
    """One error, ready for a report."""

    title: str
    explanation: str
    frame: bytes | None  # JPEG; None where the recording is not at hand
    chart: bytes  # PNG


@dataclass(frozen=True)
class Scene:
    """What is known of the video of an error."""

    video: TrueVideo
    events: Sequence[PredictedEvent]
    recording: Path | None = None
    frames: Sequence[PairFrame] = ()  # what the model found; empty: the lines of events are charted


def worst(errors: EventErrors, count: int) -> list[Error]:
    """Return up to `count` errors, the worst of each cause in turn: the surest false ones, the longest missed ones."""
    by_cause: dict[tuple[str, str], list[Error]] = {}
    for false in sorted(errors.false, key=lambda each: -each.event.peak_score):
        by_cause.setdefault(("false", false.cause), []).append(false)
    for missed in sorted(errors.missed, key=lambda each: each.true.start_s - each.true.end_s):
        by_cause.setdefault(("missed", missed.cause), []).append(missed)
    groups = sorted(by_cause.values(), key=len, reverse=True)
    turns = chain.from_iterable(zip_longest(*groups))
    return [error for error in turns if error is not None][:count]


def draw_error(
    error: Error, scene: Scene, classifier: TextClassifier | None, settings: TrackerSettings
) -> ErrorPicture:
    """Return the picture of one error; `classifier` is needed where the scene has frames."""
    told = [error.event] if isinstance(error, FalseEvent) else list(error.events)
    true = list(error.true) if isinstance(error, FalseEvent) else [error.true]
    if isinstance(error, FalseEvent):
        t_s, subject, box_at = _surest_s(error.event), error.event.name, _box_of_event(scene.video, error.event)
        span = error.event.start_s, error.event.end_s
        kind, causes = "false", FALSE_CAUSES
    else:
        t_s, subject = (error.true.start_s + error.true.end_s) / 2, error.true.name
        box_at, span = _box_of_human(scene.video, error.true.human_id), (error.true.start_s, error.true.end_s)
        kind, causes = "missed", MISSED_CAUSES
    names = list(dict.fromkeys([subject, *(each.name for each in true), *(each.name for each in told)]))[:2]
    around = span[0] - AROUND_S, span[1] + AROUND_S
    lines = [_line(name, scene, box_at, around, true, told, classifier, settings) for name in names]
    frame = _draw_frame(scene, t_s, told, true) if scene.recording is not None else None
    title = f"{kind}: {subject} in {error.video}, {span[0]:.1f}–{span[1]:.1f} s"
    return ErrorPicture(title, f"{error.cause}: {causes[error.cause]}", frame, score_chart(Moment(t_s, lines)))


def _line(
    name: str,
    scene: Scene,
    box_at: BoxAt,
    around: Span,
    true: Sequence[TrueInteraction],
    told: Sequence[PredictedEvent],
    classifier: TextClassifier | None,
    settings: TrackerSettings,
) -> ScoreLine:
    """Return the scores of one interaction of the person whose box `box_at` gives."""
    humans = {each.human_id for each in true}
    true_spans = [
        (each.start_s, each.end_s)
        for each in scene.video.interactions
        if each.name == name and (each.human_id in humans or not humans)
    ]
    named = [each for each in scene.events if each.name == name]
    told_spans = [(each.start_s, each.end_s) for each in named if each in told]
    besides = [(each.start_s, each.end_s) for each in named if each not in told]
    if scene.frames and classifier is not None:
        times, raw = _scores_of(name, scene.frames, classifier, box_at)
        inside = (times >= around[0]) & (times <= around[1])
        smoothed = smooth(times.tolist(), raw[:, None], settings.smoothing_s)[:, 0]
        thresholds = settings.thresholds_of(next((n for n in classifier.names if spoken(n) == name), None))
        return ScoreLine(
            name,
            times[inside].tolist(),
            smoothed[inside].tolist(),
            raw[inside].tolist(),
            true_spans,
            told_spans,
            besides,
            thresholds,
        )
    points = [
        (s.t_s, s.score) for e in scene.events if e.name == name for s in e.sightings
        if s.score is not None and around[0] <= s.t_s <= around[1]
    ]  # fmt: skip
    points.sort()
    return ScoreLine(name, [t for t, _ in points], [score for _, score in points], (), true_spans, told_spans, besides)


def _scores_of(
    name: str, frames: Sequence[PairFrame], classifier: TextClassifier, box_at: BoxAt
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return times [F] and the best score [F] of `name` among the pairs of one person; 0 where none was found."""
    k = next((k for k, each in enumerate(classifier.names) if spoken(each) == name), None)
    scores = np.zeros(len(frames), np.float32)
    for index, frame in enumerate(frames):
        box, boxes = box_at(frame.t_s), frame.pairs.human_boxes_xyxy
        if k is None or box is None or not len(boxes):
            continue
        mine = paired_iou(np.tile(np.asarray(box), (len(boxes), 1)), boxes) >= MIN_HUMAN_IOU
        scores[index] = frame.pairs.scores[mine, k].max(initial=0.0)
    return np.array([frame.t_s for frame in frames]), scores


def _box_of_human(video: TrueVideo, human_id: int) -> BoxAt:
    return lambda t_s: video.human_box(human_id, t_s)


def _box_of_event(video: TrueVideo, event: PredictedEvent) -> BoxAt:
    """Return where the event's person is: the true box where it is somebody, else the event's own."""
    human, line = who(video, event), line_of(event)
    if human is not None:
        return _box_of_human(video, human)
    return lambda t_s: boxes_at(line, t_s)[0] if line else None


def _surest_s(event: PredictedEvent) -> float:
    """Return when the event was surest, by its lines."""
    best = max(event.sightings, key=lambda s: s.score or 0.0, default=None)
    return best.t_s if best is not None else (event.start_s + event.end_s) / 2


def _draw_frame(
    scene: Scene, t_s: float, told: Sequence[PredictedEvent], true: Sequence[TrueInteraction]
) -> bytes | None:
    assert scene.recording is not None
    shown = _frame_at(scene.recording, t_s, scene.video.length_s)
    if shown is None:
        return None
    picture, size_hw = shown
    pen, scale = ImageDraw.Draw(picture), picture.width / size_hw[1]
    for each in true:
        for label, boxes in ((each.name, scene.video.humans_at(t_s)), ("", scene.video.objects_at(t_s))):
            box = boxes.get(each.human_id if label else each.object_id)
            if box is not None:
                _draw_box(pen, box, scale, TRUE_COLOUR, f"true: {label}" if label else "", at_top=True)
    for event in told:
        line = line_of(event)
        if line and event.start_s - SHOWN_S <= t_s <= event.end_s + SHOWN_S:
            human, thing = boxes_at(line, t_s)
            _draw_box(pen, human, scale, TOLD_COLOUR, f"told: {event.name}", at_top=False)
            _draw_box(pen, thing, scale, TOLD_COLOUR, "", at_top=False)
    packed = io.BytesIO()
    picture.save(packed, "JPEG", quality=82)
    return packed.getvalue()


def _frame_at(recording: Path, t_s: float, length_s: float) -> tuple[Image.Image, tuple[int, int]] | None:
    """Return the frame at `t_s` (near the end: the last whole second before) and the recording's own size."""
    canvas = Canvas(WIDTH * 9 // 16, WIDTH)
    for start_s in (t_s, max(0.0, min(t_s, length_s) - 0.5)):
        try:
            frame = next(_frames(recording, canvas, start_s))
        except InputError:
            continue
        height, width = frame[1]
        return frame[0].resize((WIDTH, round(WIDTH * height / width))), frame[1]
    return None


def _frames(recording: Path, canvas: Canvas, start_s: float) -> Iterator[tuple[Image.Image, tuple[int, int]]]:
    for frame in read_clip(recording, canvas, fps=None, start_s=start_s):
        yield Image.fromarray(frame.pixels), frame.size_hw


def _draw_box(pen: ImageDraw.ImageDraw, box: Box, scale: float, colour: str, label: str, *, at_top: bool) -> None:
    x0, y0, x1, y1 = (value * scale for value in box)
    pen.rectangle((x0, y0, x1, y1), outline=colour, width=2)
    if label:
        font = ImageFont.load_default(13)
        left, top, right, bottom = pen.textbbox((0, 0), label, font=font)
        y = y0 - (bottom - top) - 6 if at_top else y1 + 2
        y = min(max(y, 0), pen.im.size[1] - (bottom - top) - 6)
        pen.rectangle((x0, y, x0 + right - left + 6, y + bottom - top + 6), fill=colour)
        pen.text((x0 + 3 - left, y + 3 - top), label, fill="white", font=font)
