"""`hoistream teach`: add an interaction from a handful of examples, without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hoiclip.loaded import LoadedModel
    from hoiclip.types import Outputs

FPS = 5.0
MARGIN_S = 0.5  # about a stretch: neither an example nor certainly not one
MAX_BACKGROUND = 60  # frames a clip


def teach(
    vocabulary: Annotated[Path, typer.Option(help="YAML that gets the new line; made if missing.")],
    name: Annotated[str | None, typer.Argument(help='In words, such as "a person tapping a badge reader".')] = None,
    clip: Annotated[
        list[Path] | None, typer.Option(help="A recording that shows it; once for each example, or once for all.")
    ] = None,
    start: Annotated[
        list[float] | None, typer.Option("--from", min=0, help="Second at which an example begins.")
    ] = None,
    end: Annotated[list[float] | None, typer.Option("--to", min=0, help="Second at which it ends.")] = None,
    object_name: Annotated[str, typer.Option("--object", help="The object it is done with, or any.")] = "any",
    model: Annotated[str | None, typer.Option(help="Installed name, path, or demo; see `hoistream models`.")] = None,
    engine: Annotated[str, typer.Option(help="As in `hoistream batch`: any that runs the model.")] = "auto",
    list_lessons: Annotated[bool, typer.Option("--list", help="Show what was taught and stop.")] = False,
    remove: Annotated[str | None, typer.Option(metavar="NAME", help="Forget a lesson, all its versions.")] = None,
) -> None:
    """Teach an interaction from a few examples in recordings; five or more are good. Nothing is trained.

    The row is stored beside the vocabulary (my.yaml, my.taught/) and belongs to one model. Teaching a name again adds
    a version; the newest counts.

    Example: hoistream teach "a person tapping a badge reader" --model hoiclip-hico --vocabulary my.yaml
    --clip a.mp4 --from 3.2 --to 5.0 --clip b.mp4 --from 0.5 --to 2.5
    """
    from hoiclip.errors import InputError
    from hoiclip.lessons import Lesson, load_lessons, remove_lesson, store_lesson
    from hoiclip.teaching import teach_row
    from hoiclip.vocabulary import find_object, find_verb
    from stream.run.models import open_model

    if list_lessons:
        for lesson in load_lessons(vocabulary):
            shown_object = "any" if lesson.row.object is None else f"object {lesson.row.object}"
            shown = f"v{lesson.version}, {shown_object}, model {lesson.model_fingerprint}"
            typer.echo(f"{lesson.row.name}: {shown}; {', '.join(lesson.examples)}")
        return
    if remove is not None:
        typer.echo(f"removed `{remove}` ({remove_lesson(vocabulary, remove)} versions)")
        return
    if not name or not " ".join(name.split()):
        raise InputError('nothing to teach: give it in words, such as "a person tapping a badge reader"')
    name = " ".join(name.split())
    stretches = _stretches(clip or [], start or [], end or [])
    loaded = open_model(model)
    object_index = find_object(object_name, loaded.vocabulary, "--object")
    examples, background = _outputs(loaded, stretches, engine)
    taught = teach_row(
        name,
        examples,
        background,
        loaded.heads,
        loaded.encode_texts([name])[0],
        object_index=object_index,
        verb=find_verb(name, loaded.vocabulary),
    )
    described = tuple(f"{path.name} {first:g}-{last:g} s" for path, first, last in stretches)
    path = store_lesson(vocabulary, Lesson(taught.row, loaded.fingerprint, described))
    typer.echo(
        f"taught `{name}` from {len(examples)} examples ({taught.num_frames} frames, told apart from "
        f"{taught.num_others} other pairs with AUC {taught.separation:.2f}): {path}, used by {vocabulary}"
    )
    if taught.expected_ap is None:
        typer.echo(f"{len(examples)} examples: too few to say what to expect; give three or more")
    else:
        low, high = taught.expected_ap
        typer.echo(f"{len(examples)} examples: expected AP {low:.2f}–{high:.2f} on footage like these clips")
    if taught.separation < 0.9:
        typer.echo("the examples look much like other pairs in these clips; more or clearer examples help", err=True)


def _stretches(clips: list[Path], starts: list[float], ends: list[float]) -> list[tuple[Path, float, float]]:
    """Pair up the options. Raises InputError if they do not fit together."""
    from hoiclip.errors import InputError

    if not clips or not starts:
        raise InputError("no examples: give --clip FILE --from SECOND --to SECOND, once for each")
    if len(starts) != len(ends) or len(clips) not in (1, len(starts)):
        raise InputError(
            f"{len(clips)} --clip, {len(starts)} --from and {len(ends)} --to do not fit together: give all "
            "three for each example, or one --clip for all"
        )
    if len(clips) == 1:
        clips = clips * len(starts)
    for first, last in zip(starts, ends, strict=True):
        if last <= first:
            raise InputError(f"--from {first:g} --to {last:g}: an example must end after it begins")
    return list(zip(clips, starts, ends, strict=True))


def _outputs(
    loaded: LoadedModel, stretches: list[tuple[Path, float, float]], engine: str
) -> tuple[list[Outputs[NDArray[np.float32]]], list[Outputs[NDArray[np.float32]]]]:
    """Return the model's outputs on each example, and on each clip's frames well away from all of them."""
    import numpy as np

    from stream.commands.support.progress import Counters
    from stream.recordings.clip_frames import ClipFrame, read_clip
    from stream.run.canvases import model_canvas
    from stream.run.config import EngineConfig
    from stream.run.engines import engine_pool

    canvas = model_canvas(loaded)
    clips = list(dict.fromkeys(path for path, _, _ in stretches))
    examples, background = [], []
    steps = len(stretches) + len(clips)
    with engine_pool(loaded, EngineConfig.model_validate({"kind": engine})) as engines, Counters() as counters:

        def run(frames: list[ClipFrame]) -> Outputs[NDArray[np.float32]]:
            return engines.infer(canvas, np.stack([frame.pixels for frame in frames]))

        for number, path in enumerate(clips, 1):
            mine = [(first, last) for other, first, last in stretches if other == path]
            for first, last in mine:
                examples.append(run(list(read_clip(path, canvas, fps=FPS, start_s=first, end_s=last))))
                counters.update("stretches", len(examples) + number - 1, steps, f"{path.name} {first:g}-{last:g} s")
            until = max(last for _, last in mine) + 10.0
            away = [
                frame
                for frame in read_clip(path, canvas, fps=FPS / 2, end_s=until)
                if all(frame.t_s < first - MARGIN_S or frame.t_s > last + MARGIN_S for first, last in mine)
            ]
            away = away[:: max(1, len(away) // MAX_BACKGROUND)]
            if away:
                background.append(run(away))
            counters.update("stretches", len(examples) + number, steps, f"{path.name} elsewhere")
    return examples, background
