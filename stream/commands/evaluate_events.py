"""`hoistream eval events`: events against the truth, as somebody who must live with them would judge them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream.commands.support.tables import JsonOption, print_measures

if TYPE_CHECKING:
    from hoiclip.classifier import TextClassifier
    from hoiclip.evaluation.events import Candidates
    from hoiclip.evaluation.trade_off import OperatingPoint
    from stream.recordings.replay import PairFrame
    from stream.track.tracker import TrackerSettings


def events(
    predictions: Annotated[Path, typer.Option("--predictions", "-p", help="Output folder of `hoistream batch`.")],
    annotations: Annotated[Path, typer.Option("--annotations", "-a", help="Folder of `hoistream synth`: NAME.json.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write report.html, det.png, det.csv and measures.json there.")
    ] = None,
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Run the model over the videos again: where do errors come from?")
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="For --rerun: demo, an installed name or a path; see `hoistream models`.")
    ] = None,
    vocabulary: Annotated[Path | None, typer.Option(help="For --rerun: YAML of what to look for.")] = None,
    fps: Annotated[float, typer.Option(min=0.1, max=120, help="For --rerun: frames a second, as in batch.")] = 8.0,
    enter_score: Annotated[float | None, typer.Option(min=0, max=1, help="For --rerun: as in batch.")] = None,
    engine: Annotated[str, typer.Option(help="For --rerun: as in batch.")] = "auto",
    pictures: Annotated[int, typer.Option(min=0, max=100, help="How many errors the report shows.")] = 12,
    as_json: JsonOption = False,
) -> None:
    """Precision, recall and F1 of events, false alarms an hour and a day, delays, tracking, and why events are wrong.

    Rates, shares and F1 come with 95 % intervals. With --rerun also: the tracker at other thresholds, a plain threshold
    on each frame, and the same footage with true boxes or true interactions fed in.

    Example: hoistream eval events --predictions results --annotations world --out report --rerun --model demo
    """
    from hoiclip.errors import InputError
    from hoiclip.evaluation.event_files import read_folders
    from hoiclip.evaluation.event_measures import measure
    from hoiclip.evaluation.events import compare
    from hoiclip.evaluation.trade_off import trade_off

    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: a file is in the way; give a folder")
    truth, told = read_folders(predictions, annotations)
    compared = compare(truth, told)
    measures = measure(compared)
    curves = {"by peak score": trade_off(compared)}
    frames: dict[str, list[PairFrame]] = {}
    classifier, settings = None, _settings(enter_score)
    if rerun:
        from stream.recordings.rerun import rerun_measures

        classifier, frames = _look_again(annotations, list(truth), model, vocabulary, fps, engine, settings)
        more, points = rerun_measures(truth, frames, classifier, settings)
        by_interaction = measures.pop("by_interaction")
        measures = measures | more | {"by_interaction": by_interaction}
        curves["by enter score"] = points
    if out is not None:
        _write(out, annotations, measures, curves, compared, pictures, frames, classifier, settings)
        typer.echo(f"report: {out / 'report.html'}", err=True)
    by_interaction = measures.pop("by_interaction")
    print_measures(_for_people(measures) if not as_json else measures, by_interaction, as_json)


def _settings(enter_score: float | None) -> TrackerSettings:
    from stream.run.config import TrackerConfig
    from stream.run.settings import tracker_settings

    return tracker_settings(TrackerConfig(enter_score=enter_score))


def _look_again(
    annotations: Path,
    names: Sequence[str],
    model: str | None,
    vocabulary: Path | None,
    fps: float,
    engine: str,
    settings: TrackerSettings,
) -> tuple[TextClassifier, dict[str, list[PairFrame]]]:
    """Run the model over the annotated videos; return its classifier and the pairs of each frame."""
    from engines.registry import open_engine
    from hoiclip.errors import InputError
    from hoiclip.lessons import open_vocabulary
    from stream.commands.support.progress import Counters
    from stream.recordings.frame_scores import score_recording
    from stream.recordings.media import video_of
    from stream.recordings.replay import detected
    from stream.run.canvases import model_canvas
    from stream.run.models import open_model

    recordings = {name: video_of(annotations, name) for name in names}
    missing = [name for name, path in recordings.items() if path is None]
    if missing:
        raise InputError(
            f"--rerun: no video beside {annotations / missing[0]}.json ({len(missing)} of {len(names)} are missing); "
            "the model can only run again where the videos are"
        )
    loaded = open_model(model)
    classifier = open_vocabulary(loaded, vocabulary)
    frames = {}
    with open_engine(engine, loaded, model_canvas(loaded)) as opened, Counters() as counters:
        for done, (name, path) in enumerate(recordings.items(), start=1):
            assert path is not None
            scored = score_recording(path, opened, classifier, fps=fps)
            frames[name] = detected(scored, classifier, settings)
            counters.update("videos", done, len(recordings), f"{name}: {len(scored)} frames")
    return classifier, frames


def _write(
    out: Path,
    annotations: Path,
    measures: Mapping[str, Any],
    curves: Mapping[str, Sequence[OperatingPoint]],
    compared: Sequence[Candidates],
    pictures: int,
    frames: Mapping[str, Sequence[PairFrame]],
    classifier: TextClassifier | None,
    settings: TrackerSettings,
) -> None:
    """Write the report, the curve as picture and table, and all measures."""
    from hoiclip.evaluation.event_charts import det_chart
    from hoiclip.evaluation.event_errors import find_errors
    from hoiclip.files import write_whole
    from stream.recordings.error_pictures import Scene, draw_error, worst
    from stream.recordings.event_report import build_report
    from stream.recordings.media import video_of

    scenes = {
        each.video: Scene(each.truth, each.events, video_of(annotations, each.video), frames.get(each.video, ()))
        for each in compared
    }
    drawn = [
        draw_error(error, scenes[error.video], classifier, settings) for error in worst(find_errors(compared), pictures)
    ]
    det = det_chart(curves)
    about = {
        "videos": str(measures["num_videos"]),
        "camera-hours": f"{measures['camera_hours']:.3g}",
        "true interactions": str(measures["num_true"]),
        "events": str(measures["num_predicted"]),
    }
    write_whole(out / "report.html", build_report(measures, det, drawn, about))
    write_whole(out / "det.png", det)
    write_whole(out / "det.csv", _csv(curves))
    write_whole(out / "measures.json", json.dumps(measures, indent=2) + "\n")


def _csv(curves: Mapping[str, Sequence[OperatingPoint]]) -> str:
    text = io.StringIO()
    rows = [{"curve": name} | point.row() for name, points in curves.items() for point in points]
    table = csv.DictWriter(text, list(rows[0]) if rows else ["curve"], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _for_people(measures: Mapping[str, Any]) -> dict[str, Any]:
    """Return what fits on a screen: rates as one line each, the trade-off at a few rates, no long tables."""
    shown = {key: value for key, value in measures.items() if key not in ("at_false_alarm_rates", "by_enter_score")}
    for key in ("at_false_alarm_rates_by_enter_score", "at_false_alarm_rates"):
        if key in measures:
            rows = measures[key]
            shown.pop(key, None)
            shown["at_most_an_hour"] = {f"{row['limit_per_hour']:g}": _short(row) for row in rows}
            break
    for key in ("true_parts", "plain_threshold"):
        if key in shown:
            shown[key] = {
                name: f"f1 {row['f1']:.3f}, {row['num_false']} false, {row['num_missed']} missed"
                for name, row in shown[key].items()
            }
    return shown


def _short(row: Mapping[str, Any]) -> str:
    if row["threshold"] is None:
        return "no threshold keeps it"
    delay = row["onset_delay_p95_s"]
    late = "" if delay is None else f", onset p95 {delay:.2f} s"
    return f"recall {row['recall']:.3f} at threshold {row['threshold']:.2f}{late}"
