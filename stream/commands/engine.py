"""`hoistream engine`: build, list, prune, verify and measure engines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hoiclip.loaded import LoadedModel
    from hoiclip.types import Canvas

app = typer.Typer(no_args_is_help=True, help="Build, list, prune, verify and measure engines.")

KindArgument = Annotated[str, typer.Argument(help="auto, torch, openvino, onnxruntime, tensorrt or tensorrt-rtx.")]
ModelOption = Annotated[str, typer.Option("--model", help="demo, an installed name or a path.")]
CanvasOption = Annotated[str | None, typer.Option("--canvas", help="HEIGHTxWIDTH; the model's own by default.")]
PrecisionOption = Annotated[str | None, typer.Option("--precision", help="The engine's default when not given.")]
CacheOption = Annotated[Path | None, typer.Option("--cache-dir", help="The user cache when not given.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def build(
    kind: KindArgument,
    model: ModelOption = "demo",
    canvas: CanvasOption = None,
    precision: PrecisionOption = None,
    target: Annotated[
        list[str] | None,
        typer.Option("--compute-capability", "--target", help="tensorrt-rtx: build ahead of time for it, such as 8.9."),
    ] = None,
    max_batch: Annotated[int, typer.Option(min=1, max=64)] = 8,
    out: Annotated[
        Path | None, typer.Option("--out", help="Ahead of time: a copy of the plan besides the cached one.")
    ] = None,
    video: Annotated[
        Path | None, typer.Option("--video", help="openvino int8: footage of your cameras to calibrate on.")
    ] = None,
    frames: Annotated[int, typer.Option(min=8, help="openvino int8: how many frames of it.")] = 100,
    cache_dir: CacheOption = None,
) -> None:
    """Compile an engine once, so that the next start finds it; or a TensorRT-RTX plan ahead of time, without a GPU.

    Example: hoistream engine build openvino --canvas 256x448
    """
    from engines.registry import open_engine
    from hoiclip.errors import InputError
    from stream.commands.support.build_progress import BuildProgress

    loaded, size = _model(model, canvas)
    if kind == "openvino" and precision == "int8":
        from engines.openvino_int8 import calibrate
        from stream.recordings.clip_frames import read_spread

        if video is None:
            raise InputError("int8 is calibrated on footage: give --video FILE with what your cameras show")
        calibrate(loaded, size, read_spread(video, size, frames), cache_dir)
    elif video is not None:
        raise InputError("--video belongs to `engine build openvino --precision int8`")
    if target or out:
        if kind != "tensorrt-rtx" or not target:
            raise InputError("--compute-capability and --out belong to `engine build tensorrt-rtx`, ahead of time")
        _build_ahead(loaded, size, target, max_batch, precision or "fp16", out, cache_dir)
        return
    with BuildProgress() as progress:
        engine = open_engine(
            kind,
            loaded,
            size,
            max_batch=max_batch,
            precision=precision,
            cache_dir=cache_dir,
            on_phase=progress,
        )
    with engine:
        typer.echo(f"{engine.name} {size}: ready")


def _build_ahead(
    loaded: LoadedModel,
    canvas: Canvas,
    targets: list[str],
    max_batch: int,
    precision: str,
    out: Path | None,
    cache_dir: Path | None,
) -> None:
    """Put a TensorRT-RTX plan into the cache, and a copy with what it depends on at `out`."""
    import json
    import shutil

    from engines.tensorrt_plan import plan_for
    from stream.commands.support.build_progress import BuildProgress

    with BuildProgress() as progress:
        plan = plan_for(
            "tensorrt-rtx",
            loaded,
            canvas,
            max_batch=max_batch,
            precision=precision,
            compute_capabilities=targets,
            cache_dir=cache_dir,
            on_phase=progress,
        )
    path = plan.path
    if out is not None:
        shutil.copyfile(path, out)
        facts = json.dumps({**plan.facts, **plan.record}, indent=2)
        out.with_name(out.name + ".json").write_text(facts + "\n", encoding="utf-8")
        path = out
    capabilities = ", ".join(plan.facts["compute_capability"])
    typer.echo(
        f"{path}: {precision} plan for compute capability {capabilities}, {canvas}, batch 1 to {max_batch}, "
        f"{plan.record['bytes'] / 2**20:.1f} MiB, built in {plan.record['seconds']} s; never run here"
    )


@app.command(name="list")
def list_builds(cache_dir: CacheOption = None, as_json: JsonOption = False) -> None:
    """List cached builds and what they depend on.

    Example: hoistream engine list
    """
    import json

    from hoiclip.cache import BuildCache

    entries = BuildCache(cache_dir).entries()
    if as_json:
        typer.echo(json.dumps([{"path": str(e.path), "bytes": e.size_bytes, "facts": e.facts} for e in entries]))
        return
    for entry in entries:
        facts = " ".join(f"{key}={value}" for key, value in entry.facts.items())
        typer.echo(f"{entry.path.name}  {entry.size_bytes / 2**20:.1f} MiB  {facts}")


@app.command()
def prune(cache_dir: CacheOption = None) -> None:
    """Remove every cached build; the next start makes what it needs again.

    Example: hoistream engine prune
    """
    from hoiclip.cache import BuildCache

    typer.echo(f"freed {BuildCache(cache_dir).prune() / 2**20:.1f} MiB")


@app.command()
def verify(
    kind: KindArgument,
    video: Annotated[Path | None, typer.Option("--video", help="Frames to compare on; the shipped clip.")] = None,
    frames: Annotated[int, typer.Option(min=1)] = 8,
    model: ModelOption = "demo",
    canvas: CanvasOption = None,
    precision: PrecisionOption = None,
    tolerance: Annotated[float, typer.Option(help="Largest error of any output that passes.")] = 1e-3,
    agreement: Annotated[float, typer.Option(help="Smallest agreement of the best 100 that passes.")] = 0.99,
    cache_dir: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare an engine with eager torch in single precision on real frames; fails (exit 1) outside the limits.

    Example: hoistream engine verify openvino --frames 16
    """
    import json

    from engines.parity import compare
    from engines.registry import open_engine
    from engines.request import EngineRequest
    from engines.torch_engine import TorchEngine
    from hoiclip.errors import HoistreamError
    from hoiclip.shipped import shipped
    from stream.recordings.clip_frames import read_spread

    loaded, size = _model(model, canvas)
    pictures = read_spread(video or shipped("assets/demo.mp4"), size, frames)
    with (
        TorchEngine(EngineRequest(loaded, size, 1), fold=False) as reference,
        open_engine(kind, loaded, size, max_batch=1, precision=precision, cache_dir=cache_dir) as engine,
    ):
        result = compare(reference, engine, pictures, loaded.classifier())
    if as_json:
        typer.echo(json.dumps(result.to_dict()))
    else:
        typer.echo(f"{result.engine} against eager fp32, {result.frames} frames at {size}")
        for name, error in result.errors.items():
            typer.echo(f"  {name:<24} max {error.maximum:.2e}   p99 {error.p99:.2e}")
        typer.echo(f"  best 100 in common {result.top_agreement:.1%}, scores drift {result.score_drift:.2e} at most")
    worst = max(error.maximum for error in result.errors.values())
    if not worst <= tolerance or result.top_agreement < agreement:
        raise HoistreamError(
            f"{result.engine}: worst error {worst:.2e} (limit {tolerance:g}), agreement {result.top_agreement:.1%} "
            f"(limit {agreement:.1%})"
        )


@app.command()
def bench(
    kinds: Annotated[list[str], typer.Argument(help="Engines, measured side by side, each as KIND or KIND:PRECISION.")],
    batch: Annotated[list[int] | None, typer.Option("--batch", help="Batch sizes; 1 by default.")] = None,
    rounds: Annotated[int, typer.Option(min=3)] = 15,
    threads: Annotated[int | None, typer.Option(min=1)] = None,
    model: ModelOption = "demo",
    canvas: CanvasOption = None,
    cache_dir: CacheOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file to write.")] = None,
) -> None:
    """Measure frames/s and latency; engines take turns in every round, so that other work slows all alike.

    Example: hoistream engine bench torch openvino openvino:bf16 --batch 1 --batch 4
    """
    import json

    from engines.bench import measure

    loaded, size = _model(model, canvas)
    report = measure(loaded, size, kinds, batch or [1], rounds=rounds, threads=threads, cache_dir=cache_dir)
    for row in report["results"]:
        typer.echo(
            f"{row['engine']:<24} {size} batch {row['batch']:<2} median {row['median_ms']:8.1f} ms  "
            f"p90 {row['p90_ms']:8.1f}  {row['frames_per_s']:7.1f} frames/s  {row['gflop_per_s']:7.0f} GFLOP/s  "
            f"x{row['speed_up']:.2f} of {report['baseline']}"
        )
    for name, peak in report["peak_gflop_per_s"].items():
        typer.echo(f"matrix product peak {name}: {peak:.0f} GFLOP/s")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _model(model: str, canvas: str | None) -> tuple[LoadedModel, Canvas]:
    from stream.run.canvases import model_canvas, parse_canvases
    from stream.run.models import open_model

    loaded = open_model(model)
    return loaded, parse_canvases([canvas])[0] if canvas else model_canvas(loaded)
