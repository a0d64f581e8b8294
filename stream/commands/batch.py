"""`hoistream batch`: recorded videos in, a table of events, a timeline and an annotated video each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def batch(
    paths: Annotated[list[Path], typer.Argument(help="Videos, or folders searched for videos.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")],
    model: Annotated[
        str | None, typer.Option(help="Installed name such as hoiclip-hico, a path, or demo; see `hoistream models`.")
    ] = None,
    vocabulary: Annotated[
        Path | None, typer.Option(help="YAML of what to look for; all the model knows when not given.")
    ] = None,
    fps: Annotated[float, typer.Option(min=0.1, max=120, help="Frames a second to look at.")] = 8.0,
    max_still_s: Annotated[
        float,
        typer.Option(
            min=0, max=60, help="Do not look again at a picture in which nothing changes for so long; 0: look at all."
        ),
    ] = 0.0,
    canvas: Annotated[
        list[str] | None, typer.Option(help="Frame size HEIGHTxWIDTH; may be given several times.")
    ] = None,
    engine: Annotated[str, typer.Option(help="auto, torch, openvino, onnxruntime, tensorrt, tensorrt-rtx.")] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="fp32, mixed, bf16, fp16, int8; the engine's default when not given.")
    ] = None,
    max_batch: Annotated[
        int, typer.Option(min=1, max=64, help="Most frames in one batch; never changes the events.")
    ] = 8,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Videos read at once; as many as keep the engine full when not given."),
    ] = None,
    enter_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Smoothed score that opens an interaction.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Thresholds that `hoistream calibrate --out` wrote, for the same model.")
    ] = None,
    zones: Annotated[
        Path | None, typer.Option(help="YAML with `zones`, `lines` and `masks`, as under a source of `run`.")
    ] = None,
    rules: Annotated[Path | None, typer.Option(help="YAML of what is an alert; see docs/rules.md.")] = None,
    annotated: Annotated[bool, typer.Option("--annotated", help="Also write an annotated MP4 a video.")] = False,
    enhance: Annotated[bool, typer.Option("--enhance", help="Use CLIP's view of the whole frame as well.")] = False,
    sink: Annotated[list[str] | None, typer.Option(help="Also publish events: redis://…, jsonl:PATH, stdout:")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document of all results.")] = False,
) -> None:
    """Find the interactions in recorded videos; nothing is dropped, and a killed job goes on inside its videos.

    For each video NAME: NAME.events.jsonl, NAME.events.parquet, NAME.timeline.png and, with --annotated,
    NAME.annotated.mp4. Exit code 1 when a video failed; the others are done all the same.

    Example: hoistream batch recordings/ --model hoiclip-hico --out results --annotated
    """
    import json
    from contextlib import ExitStack
    from functools import partial

    from hoiclip.errors import HoistreamError
    from hoiclip.lessons import open_vocabulary
    from stream.commands.support.batch_progress import BatchProgress
    from stream.commands.support.signals import stop_on_signals
    from stream.recordings.batch_job import BatchJob, BatchSettings
    from stream.recordings.media import find_videos
    from stream.recordings.summary import summary_rows, write_summary
    from stream.run.calibration_file import calibrated
    from stream.run.canvases import canvases_of, parse_canvases
    from stream.run.config import EngineConfig, TrackerConfig
    from stream.run.layout_config import LayoutConfig, load_layout_config
    from stream.run.models import open_model
    from stream.run.rules import known_names, open_rules
    from stream.run.settings import tracker_settings
    from stream.run.source_run import Head

    videos = find_videos(paths)
    sizes = parse_canvases(canvas or [])
    loaded = open_model(model)
    thresholds = TrackerConfig(enter_score=enter_score, calibration=calibration)
    tracker = tracker_settings(calibrated(thresholds, loaded.fingerprint, enhancement=enhance))
    words = open_vocabulary(loaded, vocabulary)
    head = Head(words, loaded.fingerprint, enhance, tracker.min_pair_score, loaded.training)
    drawn = load_layout_config(zones) if zones is not None else LayoutConfig()
    known = known_names(dict.fromkeys((video.name for video in videos), drawn), [head.classifier])
    settings = BatchSettings(
        tuple(canvases_of(sizes, loaded)),
        EngineConfig.model_validate({"kind": engine, "precision": precision, "max_batch": max_batch}),
        tracker,
        fps,
        annotated,
        drawn.layout(),
        max_still_s,
        open_rules(rules, known) if rules is not None else None,
    )
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        publisher = publish = None
        if sink:
            from stream.publish.publisher import Publisher

            publisher = stack.enter_context(Publisher(sink))
            publish = partial(publisher.publish, stop=stop)
        bar = stack.enter_context(BatchProgress(videos))
        job = BatchJob(loaded, head, settings, out, publish, jobs=jobs)
        results = job.run(videos, stop, bar.progress, bar.done)
        if publisher is not None:
            publisher.flush(timeout_s=10.0)
    write_summary(out, results)
    if as_json:
        typer.echo(json.dumps(summary_rows(results)))
    failed = [r for r in results if r.state == "failed"]
    if failed:
        raise HoistreamError(
            f"{len(failed)} of {len(videos)} videos failed: {', '.join(r.video.path.name for r in failed)}"
        )
    if any(r.state in ("stopped", "waiting") for r in results):
        raise HoistreamError("stopped before the end; run the same command to go on")
