"""Process recorded videos from a program: a table of events."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hoiclip.errors import HoistreamError, InputError
from hoiclip.lessons import open_vocabulary
from hoistream.choices import Words, layout_of, rules_of, sinks_of, tracker_of, vocabulary_of
from hoistream.models import EngineChoice, Model, load_model
from stream.commands.support.batch_progress import BatchProgress
from stream.events.schema import Event
from stream.publish.publisher import Publisher
from stream.recordings.batch_job import BatchJob, BatchSettings, Progress, VideoResult
from stream.recordings.media import find_videos
from stream.recordings.results import ResultPaths
from stream.recordings.summary import write_summary
from stream.recordings.table import event_columns
from stream.run.calibration_file import calibrated
from stream.run.canvases import canvases_of, parse_canvases
from stream.run.event_sink import EventSink
from stream.run.models import DEMO
from stream.run.rules import known_names, open_rules
from stream.run.settings import tracker_settings
from stream.run.source_run import Head
from stream.track.settings import TrackerSettings

if TYPE_CHECKING:
    import pyarrow as pa


class ProcessError(HoistreamError):
    """Some videos failed; the others are done, and nothing of them is lost."""

    def __init__(self, message: str, table: pa.Table, failed: dict[Path, str]) -> None:
        super().__init__(message)
        self.table = table  # the events of all videos that did not fail
        self.failed = failed  # why each of the others did, in one line


def process(
    paths: str | Path | Iterable[str | Path],
    *,
    out: str | Path | None = None,
    model: Model | str | Path = DEMO,
    vocabulary: Words | str | Path | None = None,
    tracker: TrackerSettings | Mapping[str, Any] | None = None,
    target_fps: float | None = 8.0,
    max_still_s: float = 0.0,
    engine: EngineChoice | None = None,
    precision: str | None = None,
    canvases: Sequence[str] = (),
    zones: Mapping[str, Any] | str | Path | None = None,
    rules: Mapping[str, Any] | str | Path | None = None,
    max_batch: int = 8,
    jobs: int | None = None,
    enhancement: bool = False,
    annotated: bool = False,
    sinks: Iterable[str | EventSink] = (),
    progress: bool = True,
) -> pa.Table:
    """Find the interactions in recorded videos; return a table with one row an event.

    Nothing is dropped, and equal videos and settings give equal events. A second call with the same `out` takes over
    what is finished there and goes on inside what was under way, so a killed job loses at most 20 s of work.

    Args:
        paths: videos, and folders that are searched for videos.
        out: folder for the results of each video: NAME.events.jsonl, NAME.events.parquet, NAME.timeline.png and, with
            `annotated`, NAME.annotated.mp4; none are left when None.
        model: from `hoistream.load_model`, or what that takes.
        vocabulary: what to look for: words, or a YAML file; all that the model knows when None.
        tracker: thresholds and times, as `hoistream.TrackerSettings` or a mapping of those that differ.
        target_fps: frames a second to look at; None for every frame.
        max_still_s: a picture in which nothing changes is not looked at again for so long; 0 looks at all.
        engine: what runs the model: a name, or a function that opens an engine for a `Canvas`; the model's when None.
        precision: arithmetic; the model's when None.
        canvases: frame sizes as HEIGHTxWIDTH; the model's when empty.
        zones: what is drawn on the picture, as a YAML file or a mapping with ``zones``, ``lines`` and ``masks``; see
            docs/zones.md.
        rules: what is an alert, as a YAML file or a mapping with ``rules``; see docs/rules.md.
        max_batch: most frames in one batch; never changes an event.
        jobs: videos read at once; as many as keep the engine full when None. Never changes an event.
        enhancement: use CLIP's view of the whole frame as well.
        annotated: also draw what was found; needs `out`.
        sinks: where events go as they are found: URLs, or objects with ``write(event)`` and ``close()``.
        progress: show a bar on a terminal and in a notebook, a line now and then elsewhere (on stderr).

    Returns:
        Columns ``video`` (the path) and every field of the events, whatever was found; see `InteractionEvent`.

    Raises InputError for what cannot be right, and ProcessError when videos failed, after all others were done.

    Example:
        >>> import hoistream
        >>> table = hoistream.process(clip, vocabulary=["ride bicycle"], progress=False)
        >>> ended = table.filter(pa.compute.equal(table["type"], "ended"))
        >>> ended["interaction"].unique().to_pylist()
        ['ride bicycle']
        >>> ended["duration_s"][0].as_py() > 1
        True
    """
    if annotated and out is None:
        raise InputError("annotated: give `out`, the folder for the videos")
    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    videos = find_videos([Path(path).expanduser() for path in listed])
    opened = model if isinstance(model, Model) else load_model(model)
    engine_config, own_engine = opened.engine_for(engine, precision, max_batch)
    tracking = tracker_settings(calibrated(tracker_of(tracker), opened.fingerprint, enhancement=enhancement))
    classifier = open_vocabulary(opened.loaded, vocabulary_of(vocabulary))
    drawn, wanted_rules = layout_of(zones), rules_of(rules)
    known = known_names(dict.fromkeys((video.name for video in videos), drawn), [classifier])
    settings = BatchSettings(
        tuple(canvases_of(parse_canvases(canvases), opened.loaded)),
        engine_config,
        tracking,
        target_fps,
        annotated,
        drawn.layout(),
        max_still_s,
        open_rules(wanted_rules, known) if wanted_rules is not None else None,
    )
    head = Head(classifier, opened.fingerprint, enhancement, tracking.min_pair_score, opened.loaded.training)
    with ExitStack() as stack:
        folder = Path(out).expanduser() if out is not None else _temporary(stack)
        sink = _sink(sinks, stack)
        job = BatchJob(opened.loaded, head, settings, folder, sink, own_engine, jobs=jobs)
        bar = stack.enter_context(BatchProgress(videos)) if progress else None
        on_progress: Callable[[Progress], None] = bar.progress if bar else lambda step: None
        on_done: Callable[[VideoResult], None] = bar.done if bar else lambda result: None
        results = job.run(videos, threading.Event(), on_progress, on_done)
        if out is not None:
            write_summary(folder, results)
        table = _table(folder, results)
    failed = {result.video.path: result.detail for result in results if result.state == "failed"}
    if failed:
        raise ProcessError(
            f"{len(failed)} of {len(videos)} videos failed (the error's `table` has the others): "
            f"{'; '.join(failed.values())}",
            table,
            failed,
        )
    return table


def _temporary(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hoistream-")))


def _sink(sinks: Iterable[str | EventSink], stack: ExitStack) -> Callable[[Event], object] | None:
    """Open the sinks until `stack` is closed; return what takes an event, or None where there are none."""
    urls, own = sinks_of(sinks)
    for sink in own:
        stack.callback(sink.close)
    if not urls and not own:
        return None
    publisher = stack.enter_context(Publisher(urls))

    def publish(event: Event) -> None:
        published = publisher.publish(event)
        for sink in own:
            sink.write(published)

    return publish


def _table(folder: Path, results: Sequence[VideoResult]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = pa.schema([pa.field("video", pa.string()), *event_columns()])
    tables = []
    for result in results:
        if result.state in ("done", "skipped"):
            events = pq.read_table(ResultPaths.of(folder, result.video.name).parquet)
            names = pa.array([str(result.video.path)] * events.num_rows, pa.string())
            tables.append(events.add_column(0, columns.field("video"), names))
    return pa.concat_tables(tables).combine_chunks() if tables else columns.empty_table()
