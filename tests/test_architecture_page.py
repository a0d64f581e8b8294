"""`docs/architecture.md` names every module there is, once, and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("hoiclip", "engines", "stream", "benchmarks")
LINE = re.compile(r"- `(?P<name>\w+\.py)`: (?P<words>.{10,})")


def listed() -> list[str]:
    """Return the modules of the page, as paths, in its order."""
    found, folder = [], ""
    for line in (ROOT / "docs" / "architecture.md").read_text().splitlines():
        if heading := re.fullmatch(r"### `([\w/]+)/`", line):
            folder = heading[1]
        elif module := LINE.fullmatch(line):
            found.append(f"{folder}/{module['name']}")
    return found


def test_the_architecture_page_has_one_line_for_every_module_and_none_for_others() -> None:
    modules = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    }
    page = listed()
    missing, stale = sorted(modules - set(page)), sorted(set(page) - modules)
    assert not missing, f"docs/architecture.md: add a line for {', '.join(missing)}"
    assert not stale, f"docs/architecture.md: no such module: {', '.join(stale)}"
    assert len(page) == len(set(page))
    assert page == sorted(page, key=lambda name: (PACKAGES.index(name.split("/")[0]), name.rpartition("/")))
