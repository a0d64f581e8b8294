"""Every page of help can be shown: brackets in a text are no markup."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
import typer.main
from typer.testing import CliRunner

from hoistream.cli import app


def pages(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from pages(inner, (*path, name))


ALL = list(pages(typer.main.get_command(app)))


def help_of(path: tuple[str, ...]) -> str:
    result = CliRunner(env={"COLUMNS": "160", "TERM": "dumb"}).invoke(app, [*path, "--help"])
    assert result.exit_code == 0, result.exception
    return result.output


@pytest.mark.parametrize("path", ALL, ids=[" ".join(path) or "hoistream" for path in ALL])
def test_help_is_shown(path: tuple[str, ...]) -> None:
    page = help_of(path)
    assert "Usage" in page
    assert "\\[" not in page


def test_every_command_was_asked() -> None:
    assert len(ALL) > 20


def test_a_url_is_shown_whole() -> None:
    assert "redis://[user:password@]host[:port][/db][?stream=NAME]" in help_of(("subscribe",))
