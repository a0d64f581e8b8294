"""`hoistream eval robustness`: what weather, light, optics and networks cost, on drawn videos or one's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream.commands.support.tables import JsonOption

if TYPE_CHECKING:
    from hoiclip.evaluation.event_types import TrueVideo

LOST, WEAK = 0.5, 0.8  # of what is found on untouched frames: less is "not seen any more", less is "unreliable"


def robustness(
    annotations: Annotated[
        Path | None, typer.Option("--annotations", "-a", help="Folder of `hoistream synth`: videos with NAME.json.")
    ] = None,
    video: Annotated[
        list[Path] | None, typer.Option(help="Footage of one's own camera, without labels; may be given several times.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="demo, an installed name or a path; see `hoistream models`.")
    ] = None,
    vocabulary: Annotated[Path | None, typer.Option(help="YAML of what to look for.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Only this corruption; may be given several times. All twelve when not.")
    ] = None,
    sizes: Annotated[bool, typer.Option(help="Also find from what size on an interaction can be trusted.")] = True,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first videos.")] = None,
    fps: Annotated[float, typer.Option(min=0.1, max=120, help="Frames a second to look at.")] = 8.0,
    enter_score: Annotated[float | None, typer.Option(min=0, max=1, help="Score that counts as found.")] = None,
    engine: Annotated[str, typer.Option(help="As in batch.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds corrupt alike.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write curves.png, table.csv and measures.json there.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Twelve corruptions at three strengths, and the object size below which an interaction is unreliable.

    With --annotations everything is measured against the truth. With --video the model's own findings on the untouched
    footage are looked for again: a self-test of a camera that says what it could not see any more.

    Example: hoistream eval robustness --video camera1.mp4 --model hoiclip-hico
    """
    from engines.registry import open_engine
    from hoiclip.errors import InputError
    from hoiclip.lessons import open_vocabulary
    from stream.commands.support.progress import Counters
    from stream.recordings.corruptions import CORRUPTIONS, STRENGTHS
    from stream.recordings.robustness import SCALES, Footage, measure_robustness
    from stream.run.canvases import model_canvas
    from stream.run.config import TrackerConfig
    from stream.run.models import open_model
    from stream.run.settings import tracker_settings

    if (annotations is None) == (not video):
        raise InputError("give either --annotations (a folder with the truth) or --video (your own footage)")
    unknown = sorted(set(only or ()) - set(CORRUPTIONS))
    if unknown:
        raise InputError(f"--only {unknown[0]}: expected one of {', '.join(CORRUPTIONS)}")
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: a file is in the way; give a folder")
    recordings, truth = _annotated(annotations) if annotations is not None else (_own(video or []), {})
    names = list(recordings)[:limit]
    loaded = open_model(model)
    chosen = tuple(name for name in CORRUPTIONS if not only or name in only)
    scales = SCALES if sizes else ()
    with open_engine(engine, loaded, model_canvas(loaded)) as opened, Counters() as counters:
        footage = Footage(
            {name: recordings[name] for name in names},
            {name: truth[name] for name in names if name in truth},
            opened,
            open_vocabulary(loaded, vocabulary),
            tracker_settings(TrackerConfig(enter_score=enter_score)),
            fps,
        )
        total, done = 1 + len(chosen) * len(STRENGTHS) + len(scales), 0

        def progress(line: str) -> None:
            nonlocal done
            done += 1
            counters.update("passes", done, total, line)

        result = measure_robustness(footage, names=chosen, scales=scales, seed=seed, progress=progress)
    if out is not None:
        _write(out, result)
    if as_json:
        typer.echo(json.dumps(result, indent=2))
    else:
        typer.echo("\n".join(_lines(result)))


def _annotated(folder: Path) -> tuple[dict[str, Path], dict[str, TrueVideo]]:
    """Return the videos and the truth of a folder, by name."""
    from hoiclip.errors import InputError
    from hoiclip.evaluation.event_files import read_annotation
    from stream.recordings.media import video_of

    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    truth = {path.stem: known for path in sorted(folder.glob("*.json")) if (known := read_annotation(path)) is not None}
    recordings = {name: path for name in truth if (path := video_of(folder, name)) is not None}
    if not recordings:
        raise InputError(f"{folder}: no video with an annotation (NAME.json) beside it; `hoistream synth` writes such")
    return recordings, {name: truth[name] for name in recordings}


def _own(paths: list[Path]) -> dict[str, Path]:
    from stream.recordings.media import find_videos

    return {video.name: video.path for video in find_videos(paths)}


def _write(out: Path, result: Mapping[str, Any]) -> None:
    from hoiclip.evaluation.robustness_chart import robustness_chart
    from hoiclip.files import write_whole

    write_whole(out / "curves.png", robustness_chart(result, "f1", "event F1"))
    write_whole(out / "table.csv", _csv(result))
    write_whole(out / "measures.json", json.dumps(result, indent=2) + "\n")


def _csv(result: Mapping[str, Any]) -> str:
    import csv
    import io

    rows = [{"corruption": "none", "strength": 0, **result["clean"]}]
    for name, strengths in result["corruptions"].items():
        rows += [{"corruption": name, "strength": int(strength), **row} for strength, row in strengths.items()]
    for row in rows:
        low, high = row.pop("f1_interval") or (None, None)
        row |= {"f1_low": low, "f1_high": high}
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _lines(result: Mapping[str, Any]) -> list[str]:
    """Return a table for people, then what is lost, then sizes."""
    columns = ["f1", "recall", "false_alarms_per_hour", "frame_recall", "new_per_frame"]
    lines = [f"{'':18} strength  " + "  ".join(f"{column:>21}" for column in columns)]
    rows = [("untouched", "0", result["clean"])]
    rows += [(name, at, row) for name, strengths in result["corruptions"].items() for at, row in strengths.items()]
    for name, at, row in rows:
        lines.append(f"{name:18} {at:8}  " + "  ".join(f"{_number(row[column]):>21}" for column in columns))
    lines += ["", *_verdicts(result)]
    return lines


def _verdicts(result: Mapping[str, Any]) -> list[str]:
    """Say what cannot be seen any more, and from what size."""
    clean, lines = result["clean"], []
    for name, strengths in result["corruptions"].items():
        kept = {
            at: min(row[key] / clean[key] for key in ("frame_recall", "recall") if clean[key] and row[key] is not None)
            for at, row in strengths.items()
            if clean["frame_recall"]
        }
        for word, share in (("not seen any more", LOST), ("unreliable", WEAK)):
            at = [at for at, part in kept.items() if part < share]
            if at:
                lines.append(f"{name.replace('_', ' ')}: {word} from strength {at[0]} of 3")
                break
    for name, each in result.get("sizes", {}).items():
        own = each["own_size_median_px"]
        here = f" (objects here: {own:.0f} px in the median" if own is not None else ""
        if each["reliable_from_px"] is None:
            lines.append(f"`{name}` is reliable at no size that was seen{here + ')' if here else ''}")
        else:
            below = f", {100 * each['own_share_below']:.0f} % are smaller)" if here else ""
            lines.append(f"`{name}` is unreliable below {each['reliable_from_px']:.0f} px{here}{below}")
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
