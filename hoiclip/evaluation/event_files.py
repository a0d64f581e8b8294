"""Event files of `hoistream batch` and annotation files of `hoistream synth`, as what `events` measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hoiclip.errors import InputError
from hoiclip.evaluation.event_types import PredictedEvent, Sighting, TrueInteraction, TrueVideo
from hoiclip.foreign_json import UNFIT, parse_json
from hoiclip.vocabulary import spoken

EVENTS_SUFFIX = ".events.jsonl"


def read_folders(predictions: Path, annotations: Path) -> tuple[dict[str, TrueVideo], dict[str, list[PredictedEvent]]]:
    """Return the truth and the events of each annotated video, by the video's name without suffix.

    Raises:
        InputError: a folder without annotations, an annotated video without events, a broken file.
    """
    for folder in (predictions, annotations):
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
    truth = {
        path.stem: video for path in sorted(annotations.glob("*.json")) if (video := read_annotation(path)) is not None
    }
    if not truth:
        raise InputError(
            f"{annotations}: no video annotations (NAME.json) here; `hoistream synth` writes such a folder"
        )
    missing = [name for name in truth if not (predictions / f"{name}{EVENTS_SUFFIX}").exists()]
    if missing:
        raise InputError(
            f"{predictions}: no events of {', '.join(missing[:3])}{' …' if len(missing) > 3 else ''} "
            f"({len(missing)} of {len(truth)} annotated videos); run hoistream batch {annotations} --out {predictions}"
        )
    return truth, {name: read_events(predictions / f"{name}{EVENTS_SUFFIX}") for name in truth}


def read_annotation(path: Path) -> TrueVideo | None:
    """Return what happened in a video, or None for a JSON file that is no video annotation."""
    try:
        document = parse_json(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from error
    if not isinstance(document, dict) or "interactions" not in document:
        return None
    try:
        return true_video(document)
    except UNFIT as error:
        raise InputError(f"{path}: not a video annotation ({type(error).__name__}: {error})") from error


def true_video(document: dict[str, Any]) -> TrueVideo:
    """Return the truth of a parsed annotation. Raises one of `UNFIT` where it is none."""
    frames = document.get("frames", [])
    times = np.array([frame["t_s"] for frame in frames], np.float64)
    step_s = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    things = [thing for frame in frames for thing in frame.get("objects", ())]
    interactions = tuple(
        TrueInteraction(
            spoken(i["name"]), int(i["human_id"]), float(i["start_s"]), float(i["end_s"]),
            int(i.get("object_id", 0)), spoken(i.get("object", "")),
        )
        for i in document["interactions"]
    )  # fmt: skip
    if "num_frames" in document and "fps" in document:
        length_s = document["num_frames"] / document["fps"]
    else:
        length_s = float(times[-1]) + step_s if len(times) else max((i.end_s for i in interactions), default=0.0)
    return TrueVideo(
        interactions=interactions,
        frame_times_s=times,
        human_boxes=[{human["id"]: tuple(human["bbox"]) for human in frame["humans"]} for frame in frames],
        object_boxes=[{thing["id"]: tuple(thing["bbox"]) for thing in frame.get("objects", ())} for frame in frames],
        objects={thing["id"]: spoken(thing["object"]) for thing in things},
        length_s=length_s,
    )


def read_events(path: Path) -> list[PredictedEvent]:
    """Return the interactions in a file of event lines, in order of their start.

    One that was never ended (an interrupted run) lasts to its last line. Other event types are passed over.
    """
    lines: dict[str, list[dict[str, Any]]] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            event = parse_json(line)
            if event["type"] in ("started", "updated", "ended"):
                lines.setdefault(event["interaction_id"], []).append(event)
        except UNFIT as error:
            raise InputError(f"{path}:{number}: not an event ({type(error).__name__}: {error})") from error
    try:
        events = [_event(group) for group in lines.values()]
    except UNFIT as error:
        raise InputError(f"{path}: an event lacks a field ({type(error).__name__}: {error})") from error
    return sorted(events, key=lambda event: (event.start_s, event.name, event.human_id))


def _event(lines: list[dict[str, Any]]) -> PredictedEvent:
    first, last = lines[0], lines[-1]
    start_s = float(last["started_media_s"])
    end_s = start_s + float(last["duration_s"])
    return PredictedEvent(
        name=spoken(last["interaction"]),
        human_id=int(last["human_id"]),
        start_s=start_s,
        end_s=end_s,
        announced_s=float(first["media_time_s"]),
        closed_s=float(last["media_time_s"]),
        # The box of `ended` is where the pair was last seen, which is not where its media time is.
        sightings=tuple(_sighting(line, float(line["media_time_s"])) for line in lines if line["type"] != "ended"),
        pair_id=int(last.get("pair_id", 0)),
        object=spoken(last.get("object", "")),
        peak_score=max(float(line.get("peak_score", 1.0)) for line in lines),
        last_seen=_sighting(last, end_s) if last["type"] == "ended" else None,
    )


def _sighting(line: dict[str, Any], t_s: float) -> Sighting:
    thing = line.get("object_box_xyxy_px")
    return Sighting(t_s, tuple(line["human_box_xyxy_px"]), tuple(thing) if thing else None, line.get("score"))
