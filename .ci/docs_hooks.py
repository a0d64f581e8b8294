"""Pages of the documentation that are made from the code: every command's options, every module's first line."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("hoistream", "hoiclip", "engines", "stream", "benchmarks")


def on_page_markdown(markdown: str, page: object, **_: object) -> str:
    """Fill the places that ask for it."""
    if "{{ commands }}" in markdown:
        markdown = markdown.replace("{{ commands }}", _commands())
    if "{{ modules }}" in markdown:
        markdown = markdown.replace("{{ modules }}", _modules())
    return markdown


def _modules() -> str:
    """Return a table a folder: each module and what its first line says."""
    parts = []
    for package in PACKAGES:
        for folder in sorted({path.parent for path in (ROOT / package).rglob("*.py")}):
            rows = [
                f"| `{path.name}` | {_first_line(path)} |"
                for path in sorted(folder.glob("*.py"))
                if path.name != "__init__.py"
            ]
            if rows:
                own = folder / "__init__.py"
                about = _first_line(own) if own.exists() else ""
                parts += [f"## {folder.relative_to(ROOT)}/", "", about, "", "| file | |", "| --- | --- |", *rows, ""]
    return "\n".join(parts)


def _first_line(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.splitlines()[0].replace("|", "\\|").replace("<", "&lt;") if text else ""


def _commands() -> str:
    """Return each command's help, as a terminal of 100 columns shows it without colour."""
    from typer.testing import CliRunner

    from hoistream.cli import app

    runner, names = CliRunner(), []
    import typer

    group = typer.main.get_command(app)
    for name, command in sorted(group.commands.items()):  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        names += [[name, part] for part in sorted(inner)] if inner else [[name]]
    environment = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    parts = []
    for words in names:
        text = runner.invoke(app, [*words, "--help"], prog_name="hoistream", env=environment).stdout
        body = "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
        parts += [f"## hoistream {' '.join(words)}", "", "```text", body, "```", ""]
    return "\n".join(parts)
