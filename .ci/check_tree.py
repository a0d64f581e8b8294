"""What no commit may hold: a path of somebody's machine, a package registry's host, a large file, a conflict mark.

    python .ci/check_tree.py [FILE …]      (default: every file git tracks)

Prints one line a finding; exits with 1 if there is any.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LIMIT_MB = 20
# Written in pieces, so that this file does not find itself.
HOMES = "|".join(("ro" + "ot", "wo" + "rk", "ho" + "me", "Us" + "ers"))
PATH = re.compile(rf"(?<![\w.$}}/-])/(?:{HOMES})/[\w.-]+")
REGISTRY = re.compile("|".join(("pypi" + r"\.org", "pythonhosted" + r"\.org", "npmjs" + r"\.org", "debian" + r"\.org")))
CONFLICT = re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE)
ALLOWED = {"/home/hoistream"}  # none of a real machine


def findings(path: Path) -> list[str]:
    """Return what is wrong with one file, a line each."""
    if path.is_symlink() or not path.is_file():
        return []
    size = path.stat().st_size
    found = [f"{path}: {size / 2**20:.0f} MB, more than {LIMIT_MB}"] if size > LIMIT_MB * 2**20 else []
    text = path.read_bytes().decode("utf-8", "replace")
    if "\0" in text[:8192]:
        return found
    for number, line in enumerate(text.splitlines(), 1):
        found += [f"{path}:{number}: a path of a machine: {m}" for m in PATH.findall(line) if m not in ALLOWED]
        found += [f"{path}:{number}: a package registry's host: {m}" for m in REGISTRY.findall(line)]
    if CONFLICT.search(text):
        found.append(f"{path}: conflict marks")
    return found


def main() -> int:
    """Check the files given, or all that git tracks."""
    names = (
        sys.argv[1:]
        or subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout.splitlines()
    )
    found = [line for name in names for line in findings(Path(name))]
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
