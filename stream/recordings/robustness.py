"""What a corruption costs, and from what size an interaction can be trusted: on annotated videos or on one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hoiclip.classifier import TextClassifier
from hoiclip.evaluation.event_measures import row
from hoiclip.evaluation.event_types import Box, TrueInteraction, TrueVideo
from hoiclip.evaluation.events import compare
from hoiclip.evaluation.intervals import wilson
from hoiclip.evaluation.overlap import paired_iou
from hoiclip.types import Engine
from hoiclip.vocabulary import spoken
from stream.recordings.corruptions import CORRUPTIONS, STRENGTHS, corruption, shrink
from stream.recordings.frame_scores import Alter, score_recording
from stream.recordings.replay import PairFrame, detected, track
from stream.track.tracker import TrackerSettings

MIN_HUMAN_IOU, MIN_OBJECT_IOU = 0.5, 0.3  # a pair is the one looked for
SCALES = (1.0, 0.8, 0.64, 0.5, 0.4, 0.32, 0.25)
BIN_RATIO = 2**0.5  # of the sizes that are judged together
MIN_SAMPLES = 20  # fewer in a bin say nothing
TRUSTED_SHARE = 0.8  # of the recall at full size

Progress = Callable[[str], None]


class Seen(NamedTuple):
    """One interaction of one frame that can be looked for: true, or found on the untouched frame."""

    t_s: float
    interaction: int  # row of the classifier
    human_box: Box  # xyxy in pixels of the recording's frame
    object_box: Box

    @property
    def size_px(self) -> float:
        """The longer side of the object's box."""
        x0, y0, x1, y1 = self.object_box
        return max(x1 - x0, y1 - y0)


@dataclass(frozen=True)
class Footage:
    """Recordings, what is to be found in them, and the model that looks."""

    recordings: Mapping[str, Path]
    truth: Mapping[str, TrueVideo]  # empty for one's own footage
    engine: Engine
    classifier: TextClassifier
    settings: TrackerSettings
    fps: float

    def look(self, name: str, alter: Alter | None = None) -> list[PairFrame]:
        """Return the pairs that the model finds in a recording whose frames are altered."""
        scored = score_recording(self.recordings[name], self.engine, self.classifier, fps=self.fps, alter=alter)
        return detected(scored, self.classifier, self.settings)


def measure_robustness(
    footage: Footage,
    *,
    names: Sequence[str] = tuple(CORRUPTIONS),
    scales: Sequence[float] = SCALES,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return what each corruption at each strength costs, and reliable sizes by interaction, ready for JSON.

    `clean` and each of `corruptions` (by name, then strength) have the event measures of `event_measures.row`,
    `frame_recall` of what can be looked for in the frames that came, and `new_per_frame`, findings that were not there
    before. Without the truth, the model's own findings and events on the untouched footage are looked for. `sizes`: see
    `reliable_sizes`.
    """
    say = progress or (lambda line: None)
    clean = {name: footage.look(name) for name in footage.recordings}
    say("untouched")
    truth = footage.truth or {name: _own_events(footage, frames) for name, frames in clean.items()}
    wanted = {
        name: true_interactions(truth[name], frames, footage.classifier)
        if footage.truth
        else confident(frames, footage.settings, footage.classifier)
        for name, frames in clean.items()
    }
    result: dict[str, Any] = {"clean": _row(footage, truth, clean, clean, wanted), "corruptions": {}}
    for name in names:
        result["corruptions"][name] = {}
        for strength in STRENGTHS:
            changed = {
                video: footage.look(video, corruption(name, strength, seed + number))
                for number, video in enumerate(footage.recordings)
            }
            result["corruptions"][name][str(strength)] = _row(footage, truth, changed, clean, wanted)
            say(f"{name} {strength}")
    if scales:
        result["sizes"] = reliable_sizes(footage, clean, wanted, scales, say)
    return result


def true_interactions(video: TrueVideo, frames: Sequence[PairFrame], classifier: TextClassifier) -> list[Seen]:
    """Return every true interaction of every frame that the model looked at, where both boxes are known."""
    index = {spoken(name): k for k, name in enumerate(classifier.names)}
    found = []
    for frame in frames:
        humans, objects = video.humans_at(frame.t_s), video.objects_at(frame.t_s)
        for each in video.interactions:
            if not each.start_s <= frame.t_s < each.end_s or each.name not in index:
                continue
            human, thing = humans.get(each.human_id), objects.get(each.object_id)
            if human is not None and thing is not None:
                found.append(Seen(frame.t_s, index[each.name], human, thing))
    return found


def confident(frames: Sequence[PairFrame], settings: TrackerSettings, classifier: TextClassifier) -> list[Seen]:
    """Return everything that scores its enter score in single frames: what is looked for where no truth is known."""
    enter = _enter_scores(settings, classifier)
    found = []
    for frame in frames:
        pairs = frame.pairs
        for p, k in zip(*np.nonzero(pairs.scores >= enter), strict=True):
            boxes = pairs.human_boxes_xyxy[p], pairs.object_boxes_xyxy[p]
            human, thing = ((float(b[0]), float(b[1]), float(b[2]), float(b[3])) for b in boxes)
            found.append(Seen(frame.t_s, int(k), human, thing))
    return found


def hits(
    wanted: Sequence[Seen], frames: Sequence[PairFrame], settings: TrackerSettings, classifier: TextClassifier
) -> NDArray[np.bool_]:
    """Return for each of `wanted` whether its frame has a pair at its place that scores its enter score."""
    enter = _enter_scores(settings, classifier)
    by_time = {round(frame.t_s, 4): frame.pairs for frame in frames}
    found = np.zeros(len(wanted), np.bool_)
    for number, each in enumerate(wanted):
        pairs = by_time.get(round(each.t_s, 4))
        if pairs is None:
            continue
        strong = np.flatnonzero(pairs.scores[:, each.interaction] >= enter[each.interaction])
        if len(strong):
            found[number] = bool(
                _same_place(each, pairs.human_boxes_xyxy[strong], pairs.object_boxes_xyxy[strong]).any()
            )
    return found


def reliable_sizes(
    footage: Footage,
    clean: Mapping[str, Sequence[PairFrame]],
    wanted: Mapping[str, Sequence[Seen]],
    scales: Sequence[float],
    progress: Progress,
) -> dict[str, Any]:
    """Return for each interaction from what size of its object on it can be trusted, and how much is smaller here.

    Frames are shown smaller and smaller, so that every object passes through all sizes. An interaction is reliable from
    the size above which every bin of sizes is found at least 80 % as often as the footage at its own size.
    Sizes are the longer side of the object's box in pixels of the recording.
    """
    samples: dict[str, list[tuple[float, bool]]] = {}
    own: dict[str, list[tuple[float, bool]]] = {}
    for scale in scales:
        for video, items in wanted.items():
            frames = clean[video] if scale == 1 else footage.look(video, shrink(scale))
            placed = [_scaled(each, scale, clean[video][0].size_hw) for each in items]
            for each, hit in zip(placed, hits(placed, frames, footage.settings, footage.classifier), strict=True):
                name = spoken(footage.classifier.names[each.interaction])
                samples.setdefault(name, []).append((each.size_px, bool(hit)))
                if scale == 1:
                    own.setdefault(name, []).append((each.size_px, bool(hit)))
        progress(f"scale {scale:g}")
    return {name: _reliable(samples[name], own.get(name, [])) for name in sorted(samples)}


def _reliable(samples: Sequence[tuple[float, bool]], own: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    sizes = np.array([size for size, _ in samples])
    found = np.array([hit for _, hit in samples], np.bool_)
    own_sizes = np.array([size for size, _ in own])
    own_recall = float(np.mean([hit for _, hit in own])) if own else 0.0
    steps = np.floor(np.log(np.maximum(sizes, 1.0)) / np.log(BIN_RATIO)).astype(np.int64)
    bins = []
    for step in np.unique(steps):
        mine = found[steps == step]
        if len(mine) >= MIN_SAMPLES:
            low, high = wilson(int(mine.sum()), len(mine))
            bins.append(
                {
                    "from_px": round(float(BIN_RATIO**step), 1),
                    "recall": float(mine.mean()),
                    "low": low,
                    "high": high,
                    "samples": len(mine),
                }
            )
    reliable: float | None = None
    for each in reversed(bins):  # from the largest down, while it holds
        if each["recall"] < TRUSTED_SHARE * own_recall:
            break
        reliable = each["from_px"]
    return {
        "reliable_from_px": reliable if own_recall > 0 else None,
        "recall_at_own_size": own_recall,
        "own_size_median_px": float(np.median(own_sizes)) if len(own_sizes) else None,
        "own_share_below": float((own_sizes < reliable).mean()) if reliable is not None and len(own_sizes) else None,
        "by_size": bins,
    }


def _row(
    footage: Footage,
    truth: Mapping[str, TrueVideo],
    frames: Mapping[str, Sequence[PairFrame]],
    clean: Mapping[str, Sequence[PairFrame]],
    wanted: Mapping[str, Sequence[Seen]],
) -> dict[str, Any]:
    settings, classifier = footage.settings, footage.classifier
    found, new, count = 0, 0, 0
    looked_for = 0
    for name, seen in frames.items():
        came = {round(frame.t_s, 4) for frame in seen}
        mine = [each for each in wanted[name] if round(each.t_s, 4) in came]
        looked_for += len(mine)
        found += int(hits(mine, seen, settings, classifier).sum())
        new += int((~hits(confident(seen, settings, classifier), clean[name], settings, classifier)).sum())
        count += len(seen)
    told = {name: track(seen, classifier, settings) for name, seen in frames.items()}
    return row(compare(truth, told)) | {
        "frame_recall": found / looked_for if looked_for else None,
        "new_per_frame": new / count if count else None,
    }


def _own_events(footage: Footage, frames: Sequence[PairFrame]) -> TrueVideo:
    """Return the events of the untouched footage in place of a truth: names and times, whoever it is."""
    events = track(frames, footage.classifier, footage.settings)
    length_s = frames[-1].t_s + 1.0 / footage.fps if frames else 0.0
    true = tuple(TrueInteraction(e.name, e.human_id, e.start_s, e.end_s, 0, e.object) for e in events)
    return TrueVideo(true, np.zeros(0), length_s=length_s)


def _scaled(each: Seen, scale: float, size_hw: tuple[int, int]) -> Seen:
    """Return where an interaction is when its frame is shown at `scale` in the middle."""
    height, width = size_hw
    x, y = width * (1 - scale) / 2, height * (1 - scale) / 2

    def shown(box: Box) -> Box:
        return x + scale * box[0], y + scale * box[1], x + scale * box[2], y + scale * box[3]

    return each._replace(human_box=shown(each.human_box), object_box=shown(each.object_box))


def _same_place(each: Seen, humans: NDArray[np.float32], objects: NDArray[np.float32]) -> NDArray[np.bool_]:
    human = paired_iou(np.tile(np.asarray(each.human_box), (len(humans), 1)), humans)
    thing = paired_iou(np.tile(np.asarray(each.object_box), (len(objects), 1)), objects)
    same: NDArray[np.bool_] = (human >= MIN_HUMAN_IOU) & (thing >= MIN_OBJECT_IOU)
    return same


def _enter_scores(settings: TrackerSettings, classifier: TextClassifier) -> NDArray[np.float32]:
    enter = np.array([settings.thresholds_of(name)[0] for name in classifier.names], np.float32)
    enter[classifier.no_interaction] = np.inf
    return enter
