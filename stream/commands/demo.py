"""`hoistream demo`: everything at once, with nothing to install or configure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("out/demo"),
    engine: Annotated[str, typer.Option(help="auto, torch, openvino, onnxruntime, tensorrt, tensorrt-rtx.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document at the end.")] = False,
) -> None:
    """Play the shipped clip as a live RTSP camera and as a file, show events as they come, and score them.

    Starts an embedded Redis-protocol server and an RTSP camera on free ports of 127.0.0.1 and stops them at the end.
    Leaves an annotated MP4, events.jsonl and a timeline picture in OUT.

    Example: hoistream demo --out out/demo
    """
    import json

    from stream.commands.support.demo import run_demo

    result = run_demo(out, engine=engine)
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    typer.echo("")
    typer.echo(
        f"recording: {result['frames'].get('recording', 0)} frames, camera: {result['frames'].get('camera', 0)} frames"
    )
    typer.echo(
        f"against the clip's truth: precision {result['precision']}, recall {result['recall']}, F1 {result['f1']}"
    )
    typer.echo(f"look at {out}/demo.annotated.mp4, {out}/timeline.png and {out}/events.jsonl")
