"""`hoistream bench`: what this machine carries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def bench(
    model: Annotated[str, typer.Option(help="demo, an installed name or a path.")] = "demo",
    engine: Annotated[str, typer.Option(help="auto, torch, openvino, onnxruntime, tensorrt, tensorrt-rtx.")] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="fp32, mixed, bf16, fp16, int8; the engine's default when not given.")
    ] = None,
    canvas: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH; the model's own by default.")] = None,
    fps: Annotated[float, typer.Option(min=0.1, max=60, help="Looks a second at each camera.")] = 5.0,
    quick: Annotated[bool, typer.Option("--quick", help="Only the steps; no trial with live cameras.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write machine.json, for planners, there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print that document instead of words.")] = False,
) -> None:
    """Measure decoding, engine, tracker and publishing on this machine, and say how many cameras it carries.

    Footage is made on the spot, as cameras send it. Then live 1080p cameras are tried, until one is too many: carried
    is what drops no frame and has a 95th percentile of latency below one second; a fifth of that is kept to spare.
    Takes two to four minutes; other work on the machine makes it look smaller.

    Example: hoistream bench --precision mixed --out machine.json
    """
    import json

    from engines.registry import open_engine
    from hoiclip.errors import InputError
    from hoiclip.files import write_whole
    from stream.capacity.measure import in_words, measure
    from stream.commands.support.build_progress import BuildProgress
    from stream.commands.support.progress import Counters
    from stream.run.canvases import model_canvas, parse_canvases
    from stream.run.models import open_model

    if out is not None and out.is_dir():
        out = out / "machine.json"
    if out is not None and not out.parent.is_dir():
        raise InputError(f"--out {out}: no folder {out.parent}; make it first")
    loaded = open_model(model)
    size = parse_canvases([canvas])[0] if canvas else model_canvas(loaded)
    with BuildProgress() as building:
        opened = open_engine(engine, loaded, size, max_batch=16, precision=precision, on_phase=building)
    with opened, Counters() as counters:
        capacity = measure(
            loaded,
            opened,
            lambda what, done, steps: counters.update("bench", done, steps, what),
            looks_per_s=fps,
            attempts=0 if quick else 4,
        )
    document = capacity.document()
    if out is not None:
        write_whole(out, json.dumps(document, indent=2) + "\n")
    if as_json:
        typer.echo(json.dumps(document))
        return
    for cost in capacity.decode:
        typer.echo(
            f"decode {cost.kind!s:<18} {cost.decode_ms:6.2f} ms, scale {cost.scale_ms:5.2f} ms a frame: "
            f"{cost.frames_per_s:6.0f} frames/s a core"
        )
    for kind, why in capacity.not_decoded.items():
        typer.echo(f"decode {kind:<18} not measured: {why}")
    for each in capacity.engine_costs:
        typer.echo(
            f"engine {capacity.engine} {capacity.canvas} batch {each.batch:<3} {each.frames_per_s:7.1f} frames/s, "
            f"p95 {each.p95_ms:.0f} ms"
        )
    typer.echo(f"head and tracker {capacity.head_ms:.2f} ms a frame; publishing {capacity.publish_per_s:,.0f} events/s")
    for line in in_words(capacity):
        typer.echo(line)
    if out is not None:
        typer.echo(f"written: {out}")
