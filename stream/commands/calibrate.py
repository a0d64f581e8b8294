"""`hoistream calibrate`: thresholds for each interaction from recorded footage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hoiclip.classifier import TextClassifier
    from hoiclip.evaluation.event_types import TrueVideo
    from hoiclip.loaded import LoadedModel
    from hoiclip.vocabulary import DeploymentVocabulary, Vocabulary
    from stream.recordings.replay import PairFrame
    from stream.run.config import EngineConfig, TrackerConfig
    from stream.track.settings import TrackerSettings


def calibrate(
    video: Annotated[list[Path], typer.Option(help="Footage as the cameras see it; may be given several times.")],
    labels: Annotated[
        list[Path] | None,
        typer.Option(help="What happens in the videos, in their order, in the form that `hoistream synth` writes."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File for `tracker.calibration` and `batch --calibration`.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="The deployment's YAML: its model, words, engine, enhancement and smoothing.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="With --config: the source whose words and tracker count.")] = None,
    vocabulary: Annotated[
        Path | None, typer.Option(help="YAML with what to look for; everything the model knows if omitted.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Installed name, path, or demo; see `hoistream models`.")] = None,
    engine: Annotated[str | None, typer.Option(help="As in `hoistream batch`; auto if omitted.")] = None,
    enhance: Annotated[
        bool | None, typer.Option("--enhance/--no-enhance", help="CLIP's view of the whole frame as well.")
    ] = None,
    fps: Annotated[float, typer.Option(min=0.5, max=60, help="Frames a second to look at.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of YAML.")] = False,
) -> None:
    """Suggest thresholds for each interaction from footage without labels; with labels, say how good they are.

    Scores come from the deployment's own engine, head and smoothing: give --config, or the same options as to `batch`.
    Footage should hold the usual day, busy and quiet: an interaction that never happens in it only gets a distance
    from the noise.

    Example: hoistream calibrate --video monday.mp4 --model hoiclip-hico --vocabulary my.yaml --out monday.yaml
    """
    import json
    from dataclasses import asdict

    import numpy as np

    from hoiclip.calibration import smooth, suggest_thresholds
    from hoiclip.errors import InputError
    from hoiclip.files import write_whole
    from hoiclip.lessons import open_vocabulary
    from stream.run.calibration_file import CalibrationFile, calibration_text
    from stream.run.models import open_model

    if labels and len(labels) != len(video):
        raise InputError(f"{len(labels)} --labels for {len(video)} --video: give one for each, in the same order")
    if source is not None and config is None:
        raise InputError("--source names a source of --config; give both")
    truth = [_truth(path) for path in labels or []]
    deployed = _Deployed(model, vocabulary) if config is None else _of_config(config, source, model, vocabulary)
    deployed = deployed.changed(engine, enhance)
    loaded = open_model(deployed.model)
    classifier = open_vocabulary(loaded, deployed.vocabulary)
    settings = deployed.tracker_settings()
    recorded = _watch(video, loaded, classifier, deployed, fps)

    def smoothed(frames: Sequence[PairFrame]) -> NDArray[np.float32]:
        best = np.stack([frame.pairs.scores.max(0, initial=0.0) for frame in frames])
        return smooth([frame.t_s for frame in frames], best, settings.smoothing_s)

    scores = np.concatenate([smoothed(frames) for frames in recorded])
    audible = np.flatnonzero(~classifier.no_interaction)
    names = [classifier.names[k] for k in audible]
    defaults = [settings.thresholds_of(name) for name in names]
    suggestions = suggest_thresholds(names, scores[:, audible], defaults)
    thresholds = {s.name: (s.enter, s.leave) for s in suggestions}
    found = CalibrationFile(
        model=loaded.fingerprint, enhancement=deployed.enhancement, smoothing_s=settings.smoothing_s,
        frames=len(scores), thresholds=thresholds,
    )  # fmt: skip
    measured: dict[str, Any] = {}
    if truth:
        truth = [_in_the_words_of(classifier, one, loaded.vocabulary) for one in truth]
        measured = {
            "suggested": _measure(recorded, truth, classifier, replace(settings, thresholds=thresholds)),
            "default": _measure(recorded, truth, classifier, settings),
        }
    text = calibration_text(found, suggestions, _notes(measured))
    if out is not None:
        write_whole(out, text)
        typer.echo(f"{out}: thresholds of {len(suggestions)} interactions", err=True)
    if as_json:
        rows = [asdict(suggestion) for suggestion in suggestions]
        document = {**found.model_dump(), "interactions": rows, **({"measured": measured} if truth else {})}
        typer.echo(json.dumps(document, indent=2))
    elif out is None:
        typer.echo(text, nl=False)


@dataclass(frozen=True)
class _Deployed:
    """What decides the scores of a deployment."""

    model: str | None
    vocabulary: Path | DeploymentVocabulary | None
    enhancement: bool = False
    engine: EngineConfig | None = None
    canvases: tuple[str, ...] = ()
    trackers: tuple[TrackerConfig, ...] = ()

    def changed(self, engine: str | None, enhance: bool | None) -> _Deployed:
        """Return the same with what the command line says in its place."""
        from stream.run.config import EngineConfig

        given = self.engine or EngineConfig()
        chosen = given if engine is None else EngineConfig.model_validate({**given.model_dump(), "kind": engine})
        return replace(self, engine=chosen, enhancement=self.enhancement if enhance is None else enhance)

    def tracker_settings(self) -> TrackerSettings:
        """Return the tracker's settings without thresholds of single interactions: these are what is looked for."""
        from stream.run.settings import tracker_settings

        return replace(tracker_settings(*self.trackers), thresholds={})


def _of_config(config: Path, source: str | None, model: str | None, vocabulary: Path | None) -> _Deployed:
    """Return what a deployment's YAML says, for one of its sources if `source` names one."""
    from hoiclip.errors import InputError
    from stream.run.settings import load_run_config

    settings = load_run_config(config, model=model)
    chosen = [each for each in settings.sources if each.id == source]
    if source is not None and not chosen:
        known = ", ".join(each.id for each in settings.sources)
        raise InputError(f"{config}: no source {source!r}; there is {known}")
    words = [vocabulary, *(each.vocabulary for each in chosen), settings.vocabulary]
    return _Deployed(
        settings.model,
        next((path for path in words if path is not None), None),
        settings.enhancement,
        settings.engine,
        tuple(settings.canvases),
        (settings.tracker, *(each.tracker for each in chosen)),
    )


def _watch(
    videos: Sequence[Path], loaded: LoadedModel, classifier: TextClassifier, deployed: _Deployed, fps: float
) -> list[list[PairFrame]]:
    """Return the pairs of every frame of each video."""
    from engines.registry import open_engine
    from stream.commands.support.progress import Counters
    from stream.recordings.frame_scores import score_recording
    from stream.recordings.replay import detected
    from stream.run.canvases import canvases_of, parse_canvases
    from stream.run.config import EngineConfig

    recorded: list[list[PairFrame]] = []
    config = deployed.engine or EngineConfig()
    opened = open_engine(
        config.kind, loaded, canvases_of(parse_canvases(deployed.canvases), loaded)[0], max_batch=config.max_batch,
        precision=config.precision, cache_dir=config.cache_dir, threads=config.threads,
    )  # fmt: skip
    with opened as engine, Counters() as counters:
        for path in videos:

            def progress(t_s: float, name: str = path.name) -> None:
                counters.update(name, round(t_s), None, "s")

            frames = score_recording(
                path, engine, classifier, fps=fps, enhancement=deployed.enhancement, progress=progress
            )
            counters.update(path.name, len(frames), len(frames), "frames")
            recorded.append(detected(frames, classifier, deployed.tracker_settings()))
    return recorded


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


def _in_the_words_of(classifier: TextClassifier, video: TrueVideo, known: Vocabulary) -> TrueVideo:
    """Return the labels under the classifier's names; what it does not look for is left out.

    "push motorcycle" and "a person pushing a motorcycle" are one label, whichever of both the vocabulary says.
    """
    from hoiclip.vocabulary import find_pair, spoken

    rows: dict[Any, str] = {}
    for name, verb, item in zip(classifier.names, classifier.verbs, classifier.objects, strict=True):
        rows.setdefault(find_pair(f"{spoken(verb)} {item}", known) or find_pair(name, known) or spoken(name), name)
    named = [(rows.get(find_pair(label.name, known) or label.name), label) for label in video.interactions]
    return replace(video, interactions=tuple(replace(label, name=name) for name, label in named if name is not None))


def _measure(
    recorded: list[list[PairFrame]], truth: Sequence[TrueVideo], classifier: TextClassifier, settings: TrackerSettings
) -> dict[str, Any]:
    """Return precision and recall of the events that the tracker makes of the recorded pairs."""
    from hoiclip.evaluation.events import evaluate_events
    from stream.recordings.replay import track

    wanted = {str(index): video for index, video in enumerate(truth)}
    found = {str(index): track(frames, classifier, settings) for index, frames in enumerate(recorded)}
    result = evaluate_events(wanted, found)
    return {
        "precision": round(result.precision, 4),
        "recall": round(result.recall, 4),
        "f1": round(result.f1, 4),
        "by_interaction": result.by_interaction(),
    }


def _notes(measured: dict[str, Any]) -> list[str]:
    """Return what labels say about the thresholds, a line each."""
    lines = [
        f"with the {kind} thresholds: " + ", ".join(f"{key} {values[key]:.3f}" for key in ("precision", "recall", "f1"))
        for kind, values in measured.items()
    ]
    by_interaction = measured["suggested"]["by_interaction"] if measured else {}
    return lines + [
        f"  {name}: " + ", ".join(f"{count} {what}" for what, count in counts.items())
        for name, counts in by_interaction.items()
    ]
