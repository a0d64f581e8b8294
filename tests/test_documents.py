"""What the README and the documentation tell people to type exists: commands, options, Python names, Make targets."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

import hoistream
from hoistream.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks(kinds: set[str]) -> list[tuple[str, str]]:
    """Fenced blocks of these kinds: page and text, without the indentation of tabs."""
    found = []
    for page in PAGES:
        for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
            if block["kind"] in kinds:
                text = re.sub(rf"^{block['indent']}", "", block["text"], flags=re.MULTILINE)
                found.append((str(page.relative_to(ROOT)), text))
    return found


def command_lines() -> list[tuple[str, str]]:
    """Every `hoistream …` in a shell block or in a span of code of a page, as typed."""
    found = []
    for page, text in blocks({"", "sh", "bash", "shell"}):
        joined = text.replace("\\\n", " ")
        for line in joined.splitlines():
            for part in re.split(r"&&|\|\||\||;", line.partition("  #")[0].partition(" # ")[0]):
                words = part.strip()
                words = re.sub(r"^(\w+=\S* )+", "", words)  # variables before the command
                if words.startswith("hoistream "):
                    found.append((page, words))
    return found


@pytest.mark.parametrize(("page", "line"), sorted(set(command_lines())))
def test_a_command_in_the_documents_takes_what_is_typed(page: str, line: str, tmp_path: Path) -> None:
    try:
        words = shlex.split(line)[1:]
    except ValueError as error:
        pytest.fail(f"{page}: {line}: {error}")
    command: Any = typer.main.get_command(app)
    words = [word for word in words if word not in ("…", "...")]
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        name = words.pop(0)
        assert name in command.commands, f"{page}: {line}: no command {name}"
        command = command.commands[name]
    if words and words[0] in ("--help", "--version"):
        return
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        if word.startswith("-") and not re.fullmatch(r"-\d+(\.\d+)?", word):
            assert word.partition("=")[0] in known | {"--help", "-h"}, f"{page}: {line}: no option {word}"


@pytest.mark.parametrize(("page", "text"), blocks({"python", "py"}))
def test_python_in_the_documents_compiles_and_names_what_exists(page: str, text: str) -> None:
    tree = ast.parse(text, filename=page)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "hoistream":
            assert node.attr in hoistream.__all__, f"{page}: hoistream.{node.attr}"
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("stream", "hoiclip", "engines"):
            module = __import__(str(node.module), fromlist=["*"])
            for alias in node.names:
                assert hasattr(module, alias.name), f"{page}: {node.module}.{alias.name}"


def test_make_targets_in_the_documents_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"`make ([\w-]+)`|^make ([\w-]+)", page.read_text(encoding="utf-8"), re.MULTILINE):
            name = target[0] or target[1]
            assert name in targets, f"{page.name}: make {name}"


def test_the_tree_holds_no_path_of_a_machine_no_registry_and_no_large_file() -> None:
    done = subprocess.run(["python3", ".ci/check_tree.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_test_that_the_documents_name_exists() -> None:
    written = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    named = {
        (name, str(page.relative_to(ROOT)))
        for page in [*PAGES, *ROOT.glob("*.md")]
        for name in re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8"))
    }
    assert len(named) > 30
    assert [(name, page) for name, page in sorted(named) if name not in written] == []


def test_every_promise_about_delivery_names_its_tests() -> None:
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    section = page.partition("### What is promised")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 15
    assert [row for row in rows if "`test_" not in row.split(" | ")[1]] == []
