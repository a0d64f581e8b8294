"""The `hoistream` command: one function a command, each in its own file under `stream/commands`.

Command modules import heavy libraries inside their functions, so that `hoistream --help` answers at once.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from typing import Annotated, Any, NoReturn

import typer
import typer.core

from hoiclip.errors import HoistreamError
from hoiclip.extras import missing_extra
from hoistream.official import commands as models
from stream.commands import (
    batch,
    bench,
    bundle,
    calibrate,
    camera,
    convert,
    demo,
    doctor,
    engine,
    evaluate,
    events,
    image,
    replay,
    rules,
    run,
    schema,
    subscribe,
    synth,
    teach,
    train,
    validate,
    verbs,
)
from stream.redaction import redact
from stream.safe_logs import redact_logs, redact_tracebacks


class CommandLine(typer.core.TyperGroup):
    """Runs a command; what users can cause ends in one line on stderr and an exit code, never in a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command: exit 2 for misuse, 1 for failed work, 130 for Ctrl-C, 0 when the reader of a pipe left."""
        try:
            result = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()
        except HoistreamError as error:
            _fail(str(error), error.exit_code)
        except ModuleNotFoundError as error:
            missing = missing_extra(error, f"hoistream {ctx.invoked_subcommand}")
            if missing is None:
                raise
            _fail(str(missing), missing.exit_code)
        except ValueError as error:  # an option's value that only the configuration's own check refuses
            from pydantic import ValidationError

            if not isinstance(error, ValidationError):
                raise
            first = error.errors(include_url=False, include_input=False)[0]
            name = "-".join(map(str, first["loc"])).replace("_", "-").replace("kind", "engine")
            _fail(f"--{name}: {first['msg'].removeprefix('Value error, ')}", 2)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BrokenPipeError:  # `hoistream subscribe | head`
            _leave_stdout()
        except MemoryError:
            _fail("out of memory; use a smaller canvas, fewer sources or a smaller `engine.max_batch`", 1)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _fail(f"{where}{error.strerror or error}", 2 if error.errno in _WRONG_PLACE else 1)
        else:
            return result


# What a wrong path gives; a full or broken disk is no misuse.
_WRONG_PLACE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EACCES, errno.EPERM, errno.EROFS}


def _fail(message: str, exit_code: int) -> NoReturn:
    typer.echo(f"error: {redact(message)}", err=True)
    raise typer.Exit(exit_code)


def _leave_stdout() -> NoReturn:
    """End quietly; what is still buffered goes nowhere, so that Python does not complain at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(0)


app = typer.Typer(
    name="hoistream",
    cls=CommandLine,
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
    (events.events, WATCH),
    (camera.camera, WATCH),
    (teach.teach, LEARN),
    (calibrate.calibrate, LEARN),
    (train.train, LEARN),
    (verbs.verbs, LEARN),
    (synth.synth, LEARN),
    (doctor.doctor, SET_UP),
    (bench.bench, SET_UP),
    (validate.validate, SET_UP),
    (convert.convert, SET_UP),
    (bundle.bundle, SET_UP),
    (schema.schema, SET_UP),
    (replay.replay, SET_UP),
):
    app.command(rich_help_panel=panel)(function)
app.add_typer(evaluate.app, name="eval", rich_help_panel=LEARN)
app.add_typer(rules.app, name="rules", rich_help_panel=WATCH)
app.add_typer(engine.app, name="engine", rich_help_panel=SET_UP)
app.add_typer(models.app, name="models", rich_help_panel=SET_UP)


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

    Start with `hoistream demo`. Exit codes: 0 done, 1 failed work, 2 bad usage or input, 130 Ctrl-C.
    """
    redact_logs(None)
    redact_tracebacks()
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    logging.getLogger("PIL").setLevel(logging.WARNING)


def main() -> None:
    """Run a command; see `CommandLine` for how it ends."""
    app(prog_name="hoistream")


if __name__ == "__main__":
    main()
