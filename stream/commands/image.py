"""`hoistream image`: interactions in single pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hoiclip.found import Interaction


def image(
    files: Annotated[list[Path], typer.Argument(help="Pictures: JPEG, PNG, WebP and whatever else Pillow reads.")],
    model: Annotated[
        str | None, typer.Option(help="Installed name such as hoiclip-hico, a path, or demo; see `hoistream models`.")
    ] = None,
    vocabulary: Annotated[
        Path | None, typer.Option(help="YAML with what to look for; everything the model knows if omitted.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
    annotated: Annotated[
        Path | None, typer.Option(help="Folder for pictures with the pairs drawn on them, NAME.jpg each.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=10_000, help="How many of a picture's best to rank.")] = 100,
    min_score: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Leave out what scores less: interaction score times object score.")
    ] = 0.3,
    engine: Annotated[str, typer.Option(help="What runs a bundle; a safetensors model runs through torch.")] = "auto",
    enhance: Annotated[
        bool,
        typer.Option("--enhance", help="Add CLIP's opinion of the whole picture (the paper's extra, no training)."),
    ] = False,
) -> None:
    """Find who does what with which object in pictures.

    A file that cannot be read costs one line on stderr and, in the end, exit code 1; the others are done.

    Example: hoistream image street.jpg kitchen.jpg --model hoiclip-hico --annotated drawn --json
    """
    import json

    from hoiclip.annotate import draw_pairs
    from hoiclip.errors import HoistreamError, InputError
    from hoiclip.found import named_interactions
    from hoiclip.lessons import open_vocabulary
    from hoiclip.predictor import PictureError, Predictor, read_picture
    from stream.run.config import EngineConfig
    from stream.run.engines import engine_pool
    from stream.run.models import open_model

    targets = _targets(files, annotated) if annotated else {}
    loaded = open_model(model)
    engines = engine_pool(loaded, EngineConfig.model_validate({"kind": engine}))
    predictor = Predictor(loaded.look(engines.infer), open_vocabulary(loaded, vocabulary), enhancement=enhance)
    if annotated:
        try:
            annotated.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--annotated {annotated}: cannot be made: {error.strerror}") from error
    documents: list[dict[str, Any]] = []
    failed = 0
    with engines:
        for file in files:
            try:
                picture = read_picture(file)
            except PictureError as error:
                if len(files) == 1:
                    raise
                failed += 1
                typer.echo(f"left out: {error}", err=True)
                continue
            found = predictor.predict(picture, top=top)
            height, width = picture.shape[:2]
            named = named_interactions(found, predictor, (height, width), min_score=min_score)
            rows = [_row(interaction) for interaction in named]
            size = {"width": width, "height": height}
            documents.append({"file": str(file), **size, "interactions": rows})
            if file in targets:
                _save(targets[file], draw_pairs(picture, _drawn(rows)))
            if not as_json:
                _print(file, rows)
    if as_json:
        document = {"model": loaded.fingerprint, "vocabulary": predictor.classifier.fingerprint, "images": documents}
        typer.echo(json.dumps(document, indent=2))
    if failed:
        raise HoistreamError(f"{failed} of {len(files)} pictures could not be read")


def _targets(files: list[Path], folder: Path) -> dict[Path, Path]:
    """Return where each annotated picture goes. Raises InputError if one would replace its source or another."""
    from hoiclip.errors import InputError

    targets: dict[Path, Path] = {}
    for file in dict.fromkeys(files):
        target = folder / f"{file.stem}.jpg"
        if target in targets.values():
            target = folder / f"{file.name}.jpg"
        if target in targets.values():
            raise InputError(f"{file}: another picture of that name is on the list; annotate them in two calls")
        if target.resolve() == file.resolve():
            raise InputError(f"--annotated {folder}: would replace {file}; choose another folder")
        targets[file] = target
    return targets


def _row(found: Interaction) -> dict[str, Any]:
    return {
        "interaction": found.interaction,
        "verb": found.verb,
        "object": found.object,
        "score": round(found.score, 4),
        "ranking_score": round(found.ranking_score, 4),
        "human_box_xyxy_px": [round(x, 1) for x in found.human_box],
        "object_box_xyxy_px": [round(x, 1) for x in found.object_box],
    }


def _drawn(rows: list[dict[str, Any]]) -> list[Any]:
    """Return the pairs to draw: rows of (nearly) the same two boxes share one plate."""
    import numpy as np

    from hoiclip.annotate import DrawnPair
    from hoiclip.postprocess import same_pair

    groups: list[list[dict[str, Any]]] = []
    for row in rows:
        boxes = np.array([row["human_box_xyxy_px"], row["object_box_xyxy_px"]], np.float32)
        for group in groups:
            leader = np.array([group[0]["human_box_xyxy_px"], group[0]["object_box_xyxy_px"]], np.float32)
            if same_pair(boxes[:1], boxes[1:], leader[:1], leader[1:])[0, 0]:
                if all(row["interaction"] != other["interaction"] for other in group):
                    group.append(row)
                break
        else:
            groups.append([row])
    return [
        DrawnPair(
            group[0]["human_box_xyxy_px"],
            group[0]["object_box_xyxy_px"],
            tuple(f"{row['interaction']} {row['score']:.2f}" for row in group[:3]),
            number,
        )
        for number, group in enumerate(groups)
    ]


def _save(path: Path, picture: NDArray[np.uint8]) -> None:
    from PIL import Image

    from hoiclip.errors import HoistreamError

    try:
        Image.fromarray(picture).save(path, quality=92)
    except OSError as error:
        raise HoistreamError(f"{path}: cannot be written: {error.strerror or error}") from error


def _print(file: Path, rows: list[dict[str, Any]]) -> None:
    if not rows:
        typer.echo(f"{file}: nothing found")
    for row in rows:
        boxes = (", ".join(f"{x:.0f}" for x in row[key]) for key in ("human_box_xyxy_px", "object_box_xyxy_px"))
        typer.echo(
            f"{file}: {row['score']:.2f} {row['interaction']} · human [{next(boxes)}] · {row['object']} [{next(boxes)}]"
        )
