"""The `hoistream` command: one function a command, each in its own file under `stream/commands`.

Command modules import heavy libraries inside their functions, so that `hoistream --help` answers at once.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer

from hoiclip.errors import HoistreamError
from stream.commands import (
    batch,
    calibrate,
    camera,
    convert,
    demo,
    doctor,
    engine,
    evaluate,
    image,
    run,
    schema,
    subscribe,
    synth,
    teach,
    train,
    validate,
    verbs,
)

app = typer.Typer(
    name="hoistream",
    help="Who does what with which object: human-object interactions from cameras and recorded video, as events.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

WATCH, LEARN, SET_UP = "Watch and process", "Teach, train and measure", "Set up and inspect"
for function, panel in (
    (demo.demo, WATCH),
    (run.run, WATCH),
    (batch.batch, WATCH),
    (image.image, WATCH),
    (subscribe.subscribe, WATCH),
    (camera.camera, WATCH),
    (teach.teach, LEARN),
    (calibrate.calibrate, LEARN),
    (train.train, LEARN),
    (verbs.verbs, LEARN),
    (synth.synth, LEARN),
    (doctor.doctor, SET_UP),
    (validate.validate, SET_UP),
    (convert.convert, SET_UP),
    (schema.schema, SET_UP),
):
    app.command(rich_help_panel=panel)(function)
app.add_typer(evaluate.app, name="eval", rich_help_panel=LEARN)
app.add_typer(engine.app, name="engine", rich_help_panel=SET_UP)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"hoistream {version('hoistream')}")
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every step to stderr.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Who does what with which object: human-object interactions from cameras and recorded video, as events.

    Start with `hoistream demo`. Exit codes: 0 done, 1 failed work, 2 bad usage or input.
    """
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    logging.getLogger("PIL").setLevel(logging.WARNING)


def main() -> None:
    """Run a command; known errors become one line on stderr and their exit code."""
    try:
        app()
    except HoistreamError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:  # `hoistream subscribe | head`: the reader left; keep Python from complaining at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


if __name__ == "__main__":
    main()
