"""`hoistream calibrate`: thresholds for each interaction from recorded footage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hoiclip.calibration import Suggestion
    from hoiclip.classifier import TextClassifier
    from hoiclip.evaluation.events import PredictedEvent, TrueVideo
    from hoiclip.loaded import LoadedModel
    from hoiclip.postprocess import PairDetections

Recorded = list[tuple[float, "PairDetections"]]  # media time and pairs of each frame


def calibrate(
    video: Annotated[list[Path], typer.Option(help="Footage as the cameras see it; may be given several times.")],
    labels: Annotated[
        list[Path] | None,
        typer.Option(help="What happens in the videos, in their order, in the form that `hoistream synth` writes."),
    ] = None,
    vocabulary: Annotated[
        Path | None, typer.Option(help="YAML with what to look for; everything the model knows if omitted.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Installed name, path, or demo; see `hoistream models`.")] = None,
    fps: Annotated[float, typer.Option(min=0.5, max=60, help="Frames a second to look at.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of YAML.")] = False,
) -> None:
    """Suggest thresholds for each interaction from footage without labels; with labels, say how good they are.

    Prints the lines for the configuration's `tracker:`. Footage should hold the usual day, busy and quiet: an
    interaction that never happens in it only gets a distance from the noise.

    Example: hoistream calibrate --video monday.mp4 --model hoiclip-hico --vocabulary my.yaml
    """
    import json
    from dataclasses import asdict

    import numpy as np

    from hoiclip.calibration import smooth, suggest_thresholds
    from hoiclip.errors import InputError
    from hoiclip.lessons import open_vocabulary
    from stream.run.models import open_model
    from stream.track.tracker import TrackerSettings

    if labels and len(labels) != len(video):
        raise InputError(f"{len(labels)} --labels for {len(video)} --video: give one for each, in the same order")
    truth = [_truth(path) for path in labels or []]
    loaded = open_model(model)
    classifier = open_vocabulary(loaded, vocabulary)
    settings = TrackerSettings()
    recorded = [_pairs(loaded, classifier, path, fps) for path in video]
    smoothed = []
    for frames in recorded:
        best = np.stack([pairs.scores.max(0, initial=0.0) for _, pairs in frames])
        smoothed.append(smooth([t_s for t_s, _ in frames], best, settings.smoothing_s))
    audible = np.flatnonzero(~classifier.no_interaction)
    names = [classifier.names[k] for k in audible]
    suggestions = suggest_thresholds(names, np.concatenate(smoothed)[:, audible])
    document: dict[str, Any] = {
        "tracker": {"thresholds": {s.name: [s.enter, s.leave] for s in suggestions}},
        "interactions": [asdict(s) for s in suggestions],
        "frames": sum(map(len, recorded)),
    }
    if truth:
        document["measured"] = {
            "suggested": _measure(recorded, truth, classifier, suggestions),
            "default": _measure(recorded, truth, classifier, []),
        }
    typer.echo(json.dumps(document, indent=2) if as_json else _yaml(suggestions, document, labelled=bool(truth)))


def _truth(path: Path) -> TrueVideo:
    from hoiclip.errors import InputError
    from hoiclip.evaluation.event_files import read_annotation

    try:
        video = read_annotation(path)
    except OSError as error:
        raise InputError(f"--labels {path}: cannot be read: {error.strerror}") from error
    if video is None:
        raise InputError(f"--labels {path}: no video annotation; `hoistream synth` writes such files")
    return video


def _pairs(loaded: LoadedModel, classifier: TextClassifier, path: Path, fps: float) -> Recorded:
    from engines.torch_engine import TorchEngine
    from hoiclip.postprocess import score, to_pairs
    from stream.recordings.clip_frames import read_clip
    from stream.run.canvases import model_canvas

    canvas = model_canvas(loaded)
    with TorchEngine(loaded, canvas) as engine:
        return [
            (frame.t_s, to_pairs(score(engine.infer(frame.pixels[None]), classifier), 0, frame.size_hw, classifier))
            for frame in read_clip(path, canvas, fps=fps)
        ]


def _measure(
    recorded: list[Recorded], truth: list[TrueVideo], classifier: TextClassifier, suggestions: list[Suggestion]
) -> dict[str, Any]:
    """Return precision and recall of the events that the tracker makes of the recorded pairs."""
    from dataclasses import replace

    from hoiclip.evaluation.events import evaluate_events
    from stream.track.tracker import PairTracker, TrackerSettings

    settings = replace(TrackerSettings(), thresholds={s.name: (s.enter, s.leave) for s in suggestions})
    names = set(classifier.names)
    wanted, found = {}, {}
    for index, (frames, video) in enumerate(zip(recorded, truth, strict=True)):
        tracker = PairTracker(
            classifier.names,
            object_names=classifier.object_names,
            no_interaction=classifier.no_interaction,
            settings=settings,
        )
        wanted[str(index)] = replace(video, interactions=tuple(i for i in video.interactions if i.name in names))
        found[str(index)] = _events(tracker, frames)
    result = evaluate_events(wanted, found)
    return {
        "precision": round(result.precision, 4),
        "recall": round(result.recall, 4),
        "f1": round(result.f1, 4),
        "by_interaction": result.by_interaction(),
    }


def _events(tracker: Any, frames: Recorded) -> list[PredictedEvent]:
    from hoiclip.evaluation.events import PredictedEvent, Sighting

    lives: dict[tuple[int, int, float], list[Any]] = {}
    transitions = [step for t_s, pairs in frames for step in tracker.update(t_s, pairs)]
    transitions += tracker.flush(frames[-1][0], "end_of_file")
    for step in transitions:
        lives.setdefault((step.pair_id, step.interaction, step.started_s), []).append(step)
    return [
        PredictedEvent(
            name=tracker.names[steps[0].interaction],
            human_id=steps[0].human_id,
            start_s=steps[0].started_s,
            end_s=steps[0].started_s + steps[-1].duration_s,
            announced_s=steps[0].t_s,
            closed_s=steps[-1].t_s,
            sightings=tuple(Sighting(s.t_s, s.human_box_xyxy_px) for s in steps if s.kind != "ended"),
        )
        for steps in lives.values()
    ]


def _yaml(suggestions: list[Suggestion], document: dict[str, Any], *, labelled: bool) -> str:
    import json

    lines = [f"# {document['frames']} frames; enter, leave; paste into the configuration", "tracker:", "  thresholds:"]
    for s in suggestions:
        seen = f", typically {s.typical:.2f}" if s.typical is not None else ""
        key = json.dumps(s.name, ensure_ascii=False)
        lines.append(f"    {key}: [{s.enter:.2f}, {s.leave:.2f}]  # {s.basis}: noise up to {s.noise:.2f}{seen}")
    if labelled:
        for kind, measured in document["measured"].items():
            numbers = ", ".join(f"{key} {measured[key]:.3f}" for key in ("precision", "recall", "f1"))
            lines.append(f"# with the {kind} thresholds: {numbers}")
        for name, counts in document["measured"]["suggested"]["by_interaction"].items():
            lines.append(f"#   {name}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    return "\n".join(lines)
